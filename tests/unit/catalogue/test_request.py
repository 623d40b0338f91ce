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
    [
        "auto",
        [],
        ["qwen2.5-coder:7b"],
        ["qwen2.5-coder:7b", {"name": "llama3.1:8b", "context": 65536}, {"name": "smollm2:135m", "context": "4096"}],
        ["llama3:8b", "llama3:8b"],
        [{"name": "mine:1", "gguf": "/x.gguf", "sha256": "0" * 64, "context": 8192}],
        [{"name": "mine:1", "ollama": "some/model:7b", "manifest": "0" * 64}],
    ],
    ids=["auto", "only the probe", "a name", "names and contexts", "a name twice", "a file", "a library's"],
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

    assert "gridtie_models[0].name: 'mine:7b-cloud'" in found[0]["found"]
    assert "ollama.com" in found[0]["found"]


FAULTS = [
    (7, "found 7, wanted: a name of the catalogue, or {name, context}"),
    ("", "found '', wanted: a name of the catalogue"),
    ({"context": 4096}, "an entry needs a 'name'"),
    ({"name": "llama3:8b", "contxt": 4096}, "contxt: unknown key; did you mean context?"),
    ({"name": "llama3:8b", "context": "8K"}, "context: found '8K', wanted a whole number of tokens such as 32768"),
    ({"name": "llama3:8b", "context": True}, "context: found True, wanted a whole number of tokens"),
    ({"name": "llama3:8b", "context": 4096.5}, "context: found 4096.5, wanted a whole number of tokens"),
    ({"name": "llama3:8b", "context": -1}, "context: found -1, wanted 256 tokens or more"),
    ({"name": "llama3:8b", "context": 16384}, "llama3:8b was trained for 8192 tokens of context, found 16384"),
    ({"name": "mine:1", "gguf": 5, "sha256": "0" * 64}, "gguf: found 5, wanted a text"),
    ({"name": "mine:1", "gguf": "/x", "sha256": "0" * 64, "ollama": "y:1", "manifest": "0" * 64}, "two sources"),
    ({"name": "llama3:8b", "sha256": "0" * 64}, "'sha256' needs a text for 'gguf'"),
    ({"name": "smollm2:135m", "gguf": "/x", "sha256": "0" * 64}, "smollm2:135m is a name of the catalogue"),
    ({"name": "qwen2.5-coder:7b", "context": 1024}, "qwen2.5-coder:7b is there twice and differs"),
]


@pytest.mark.parametrize(("entry", "sentence"), FAULTS, ids=[sentence for _, sentence in FAULTS])
def test_each_fault_of_an_entry_is_one_sentence_that_says_where(entry: Any, sentence: str) -> None:
    (problem,) = problems(["qwen2.5-coder:7b", entry], *FILES)

    assert problem["found"].startswith("gridtie_models[1]") and sentence in problem["found"]
    assert "\n" not in problem["found"]


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
