"""docs/models.md says what the catalogue says."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from gridtie.catalogue import Catalogue, load
from gridtie.host.catalogue import Flag, License, Speed

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "scripts" / "models_page.py"
CATALOGUE = load(ROOT / "config" / "models.yaml")


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("models_page", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_every_model_is_in_the_tables_of_sizes_scores_and_sources(pages: ModuleType) -> None:
    coders = [model for model in CATALOGUE.models.values() if model.purposes != ("embeddings",)]
    for make in (pages.sizes, pages.purposes, pages.sources):
        assert len(make(CATALOGUE).splitlines()) == len(CATALOGUE.models) + 2
    assert len(pages.scores(CATALOGUE).splitlines()) == len(coders) + 2


def test_a_change_of_the_catalogue_changes_the_page(pages: ModuleType) -> None:
    text = (ROOT / "docs" / "models.md").read_text()
    model = CATALOGUE.models["llama3:8b"]
    for changed in (
        replace(model, license=License("Other", False)),
        replace(model, file=replace(model.file, bytes=1)),
        replace(model, scores=()),
        replace(model, speeds=(Speed(1.0, "an abacus", "2026-01-01"),)),
        replace(model, title="Another"),
        replace(model, flags=(Flag("code", "it is odd", "nobody"),)),
    ):
        assert pages.page(text, Catalogue({**CATALOGUE.models, model.name: changed})) != text


def test_a_page_without_marks_is_refused(pages: ModuleType) -> None:
    with pytest.raises(ValueError, match="has no marks for sizes"):
        pages.page("# Models\n", CATALOGUE)


def test_the_figures_of_one_line_are_those_of_the_catalogue_and_of_memory_fit(pages: ModuleType) -> None:
    line = next(line for line in pages.sizes(CATALOGUE).splitlines() if "`qwen2.5-coder:7b`" in line)

    assert line == "| `qwen2.5-coder:7b` | 7.6B | 4.68 | 5.1 | 6.4 | - | 32,768 | configuration, 2026-11 | Apache-2.0 |"
