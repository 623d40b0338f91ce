"""A wish for models that cannot be met anywhere is told before a machine is touched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gridtie.catalogue import load, load_lock
from gridtie.catalogue.request import problems, unpinned
from gridtie.host.catalogue import Pin

CONFIG = Path(__file__).parents[3] / "config"
FILES = (CONFIG / "models.yaml", CONFIG / "models.lock.yaml")


@pytest.mark.parametrize(
    "models",
    ["auto", [], ["qwen2.5-coder:7b"], [{"name": "mine:1", "gguf": "/x.gguf", "sha256": "0" * 64}]],
    ids=["auto", "only the probe", "a name", "a file"],
)
def test_a_wish_that_can_be_met_has_no_problems(models: Any) -> None:
    assert problems(models, *FILES) == []


def test_all_problems_are_told_at_once_with_what_to_do() -> None:
    found = problems(["llama3:9b", "qwen3:30b", {"name": "x"}], *FILES)

    assert len(found) == 3
    assert "did you mean llama3:8b" in found[0]["found"]
    assert all(problem["fix"] for problem in found)


def test_a_file_of_ones_own_has_no_name_that_ollama_sends_away() -> None:
    found = problems([{"name": "mine:7b-cloud", "gguf": "/x.gguf", "sha256": "0" * 64}], *FILES)

    assert "gridtie_models.name: 'mine:7b-cloud'" in found[0]["found"]
    assert "ollama.com" in found[0]["found"]


@pytest.mark.parametrize("models", ["qwen2.5-coder:7b", 7, {"a": 1}, None])
def test_what_is_neither_auto_nor_a_list_is_refused(models: Any) -> None:
    assert problems(models, *FILES)[0]["fix"] == "set it to auto, or to a list of names"


def test_models_without_a_digest_are_known_before_anything_is_fetched() -> None:
    catalogue, pins = load(FILES[0]), load_lock(FILES[1])
    named = ["qwen2.5-coder:7b", "smollm2:135m", "llama3:8b"]

    assert unpinned(named, catalogue, pins) == ["qwen2.5-coder:7b", "llama3:8b"]
    assert unpinned([], catalogue, {}) == ["smollm2:135m"]
    # A library's model is held to its manifest: the file's own digest alone says nothing of the rest.
    assert unpinned(["llama3:8b"], catalogue, {**pins, "llama3:8b": Pin(gguf="0" * 64)}) == ["llama3:8b"]
    assert unpinned(["llama3:8b"], catalogue, {**pins, "llama3:8b": Pin(manifest="0" * 64)}) == []


def test_a_mistake_in_the_catalogue_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "models.yaml"
    path.write_text("schema: 1\nmodels:\n  - nmae: x\n")

    assert (
        f"{path}:3: models[0].nmae: unknown key; did you mean 'name'?" in problems("auto", path, FILES[1])[0]["found"]
    )
