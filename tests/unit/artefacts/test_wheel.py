"""Which wheel belongs to an Ollama. `pip` is a script that answers as pip does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gridtie.artefacts.update import ArtefactsError, Wheel
from gridtie.artefacts.wheel import nearest, wheel_for

VERSIONS = ["2026.10.11549", "2026.9.11063", "2026.9.10809", "2026.4.8672.1", "0.2.14"]


@pytest.mark.parametrize(
    ("tag", "version"),
    [("b11081", "2026.9.11063"), ("b11063", "2026.9.11063"), ("b99999", "2026.10.11549"), ("b1", "2026.9.10809")],
)
def test_the_wheel_with_the_nearest_build_is_taken_before_or_after(tag: str, version: str) -> None:
    assert nearest(VERSIONS, tag) == version


def test_of_two_as_near_the_later_is_taken() -> None:
    assert nearest(["2026.1.1010", "2026.1.1020"], "b1015") == "2026.1.1020"


def test_an_index_without_a_build_in_any_version_is_an_error() -> None:
    with pytest.raises(ArtefactsError, match="tells its build"):
        nearest(["0.2.14"], "b11081")


def pip(tmp_path: Path, lacks: str = "none") -> list[str]:
    """A pip whose index has the versions, without a wheel for the platform that it `lacks`."""
    report = {"install": [{"download_info": {"archive_info": {"hashes": {"sha256": "PLATFORM"}}}}]}
    program = tmp_path / "pip"
    program.write_text(
        f"""#!/bin/sh
[ "$1" = index ] && {{ echo "xllamacpp (2026.10.11549)"; echo "Available versions: {", ".join(VERSIONS)}"; exit; }}
case "$*" in *{lacks}*) echo "ERROR: No matching distribution found" >&2; exit 1 ;; esac
while [ "$1" != --platform ]; do shift; done
echo '{json.dumps(report)}' | sed "s/PLATFORM/$2/"
"""
    )
    program.chmod(0o755)
    return [str(program)]


def test_the_checksums_are_those_of_each_architecture(tmp_path: Path) -> None:
    sums = {"x86_64": "manylinux2014_x86_64", "aarch64": "manylinux2014_aarch64"}

    assert wheel_for("b11081", pip=pip(tmp_path)) == Wheel("2026.9.11063", sums)


def test_a_wheel_that_one_architecture_lacks_is_an_error_in_pips_own_words(tmp_path: Path) -> None:
    with pytest.raises(ArtefactsError, match="No matching distribution found"):
        wheel_for("b11081", pip=pip(tmp_path, lacks="aarch64"))
