"""docs/memory-fit.md says what `gridtie fit` says, and the recorded machines get what the page explains."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from gridtie.catalogue import load

ROOT = Path(__file__).parents[4]
CATALOGUE = load(ROOT / "config" / "models.yaml")


@pytest.fixture(scope="module")
def docs() -> Any:
    """scripts/fit_docs.py as a module."""
    spec = importlib.util.spec_from_file_location("fit_docs", ROOT / "scripts" / "fit_docs.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_generated_parts_are_as_the_program_has_them(docs: Any) -> None:
    text = (ROOT / "docs" / "memory-fit.md").read_text(encoding="utf-8")

    assert docs.page(text) == text, "run scripts/fit_docs.py"


def test_every_recorded_machine_is_on_the_page_with_an_explanation(docs: Any) -> None:
    sections = (ROOT / "docs" / "memory-fit.md").read_text(encoding="utf-8").split("\n### ")[1:]
    explained = {section.split("\n")[0]: section.split("<!-- fit:")[0] for section in sections}

    assert set(docs.names()) == set(explained)
    assert all(len(text) > 200 for text in explained.values())


@pytest.mark.parametrize(
    ("profile", "model", "context"),
    [
        ("laptop-8gb", "qwen2.5-coder:1.5b", 32768),
        ("mac-16gb", "qwen3:8b", 32768),
        ("nvidia-8gb", "qwen2.5-coder:7b", 16384),
        ("nvidia-12gb", "qwen3:8b", 32768),
        ("nvidia-24gb", "qwen3:14b", 32768),
        ("nvidia-2x24gb", "qwen3:14b", 32768),
    ],
)
def test_a_machine_gets_the_model_that_the_page_explains(docs: Any, profile: str, model: str, context: int) -> None:
    best = docs.best_coder(docs.judged(CATALOGUE, profile)[1])

    assert (best.model.name, best.context) == (model, context)
    assert best.speed is not None
    assert best.speed >= 8
