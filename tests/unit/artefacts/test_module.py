"""The Go module follows the version, or stays as it was. `go` is a script that plays its part."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridtie.artefacts.module import module_of
from gridtie.artefacts.update import ArtefactsError

MOD = "module m\n\ntool github.com/ollama/ollama\n\nrequire github.com/ollama/ollama v1.0.0 // indirect\n"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    module = tmp_path / "module"
    module.mkdir()
    (module / "go.mod").write_text(MOD)
    (module / "go.sum").write_text("old sums\n")
    return module


def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tidy: str) -> None:
    """A `go` that runs `tidy` for `go mod tidy` and names a directory with the release's source."""
    (tmp_path / "LLAMA_CPP_VERSION").write_text("b12345\n")
    program = tmp_path / "bin/go"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\ncase "$1" in mod) {tidy} ;; list) echo {tmp_path} ;; esac\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


def test_version_and_sums_follow_and_the_llama_cpp_tag_is_told(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(tmp_path, monkeypatch, "echo new sums >go.sum")

    with module_of(directory, "1.2.3") as llama_cpp:
        assert llama_cpp == "b12345"
    assert (directory / "go.mod").read_text() == MOD.replace("v1.0.0", "v1.2.3")
    assert (directory / "go.sum").read_text() == "new sums\n"


def test_a_version_that_go_cannot_get_leaves_both_files_alone(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(tmp_path, monkeypatch, "echo half >go.sum; echo unknown revision v1.2.3 >&2; exit 1")

    with pytest.raises(ArtefactsError, match="unknown revision"), module_of(directory, "1.2.3"):
        pass
    assert untouched(directory)


def test_where_no_wheel_is_found_for_it_both_files_are_as_they_were(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(tmp_path, monkeypatch, "echo new sums >go.sum")

    with pytest.raises(ArtefactsError, match="no wheel"), module_of(directory, "1.2.3"):
        raise ArtefactsError("no wheel")
    assert untouched(directory)


def untouched(directory: Path) -> bool:
    return (directory / "go.mod").read_text() == MOD and (directory / "go.sum").read_text() == "old sums\n"


def test_without_go_it_says_so(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")

    with pytest.raises(ArtefactsError, match="--only release"), module_of(directory, "1.2.3"):
        pass
