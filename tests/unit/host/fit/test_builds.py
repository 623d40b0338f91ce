"""Memory is counted for the build of llama.cpp that an engine has."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gridtie.host.fit.builds import build_of
from gridtie.host.fit.memory import BUILD
from gridtie.host.models.resolve import AUTO, Request

ARTEFACTS = yaml.safe_load((Path(__file__).parents[4] / "config" / "artefacts.yaml").read_text())


@pytest.mark.parametrize("pinned", [ARTEFACTS["ollama"], ARTEFACTS["ollama"]["packages"]])
def test_each_pinned_release_of_ollama_has_the_build_that_its_source_names(pinned: dict[str, str]) -> None:
    assert build_of("ollama", pinned["version"], stock=False) == int(pinned["llama_cpp"].removeprefix("b"))


def test_what_is_packaged_has_the_build_of_its_wheel_whatever_the_engine_says() -> None:
    wheel = int(ARTEFACTS["wheels"]["xllamacpp"]["version"].rpartition(".")[2])

    assert wheel == BUILD == build_of("ollama", "0.34.4", stock=True) == build_of("embedded", "0.1", stock=False)
    assert build_of("ollama", "", stock=False) == BUILD


@pytest.mark.parametrize(
    ("version", "build"), [("0.31.0", 10488), ("0.33.1", 10488), ("0.35.0-rc1", 11081), ("dev", 10488)]
)
def test_a_release_that_is_not_known_counts_as_the_one_before_it(version: str, build: int) -> None:
    assert build_of("ollama", version, stock=False) == build


def test_a_choice_counts_for_the_engine_that_runs_or_will() -> None:
    released = Request(AUTO, "ollama", engine_version="0.32.15").wishes({}, frozenset())
    compiled = Request(AUTO, "ollama", engine_version="0.34.4", stock=True).wishes({}, frozenset())

    assert (released.settings.build, compiled.settings.build) == (10488, BUILD)
