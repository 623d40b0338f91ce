"""The table of what a station runs on, and what it rests on."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
import yaml
from plugins.module_utils import gridtie_support
from plugins.module_utils.gridtie_support import PLATFORMS, UNSUPPORTED, find, refusal

ROOT = Path(__file__).resolve().parents[3]
SUPPORTED = [row for row in PLATFORMS if row.level != UNSUPPORTED]


def system(id: str, version: str) -> dict[str, str]:
    return {"id": id, "version": version, "name": f"{id} {version}"}


@pytest.mark.parametrize("row", PLATFORMS, ids=lambda row: row.name)
def test_every_row_is_the_row_of_some_machine(row: gridtie_support.Platform) -> None:
    kinds = product(row.ids or ("arch",), row.versions or ("1",), row.architectures or ("riscv64",))
    wsl = row.wsl or 0

    assert row in {find(system(id, version), architecture, wsl) for id, version, architecture in kinds}


def test_whoever_is_refused_is_told_what_was_found_what_runs_and_what_is_missing() -> None:
    said = refusal(system("fedora", "44"), "x86_64")

    assert said.startswith("this is fedora 44 on x86_64, and a station runs on Debian 12")
    assert "would have to be had: " in said


@pytest.mark.parametrize(
    "row", [row for row in PLATFORMS if row.level != gridtie_support.TESTED], ids=lambda row: row.name
)
def test_what_is_not_tested_says_why(row: gridtie_support.Platform) -> None:
    assert row.remark


def test_each_supported_release_of_linux_has_its_package_names_and_a_base_image() -> None:
    releases = {
        (id, version) for row in SUPPORTED for id in row.ids for version in row.versions
        if find(system(id, version), "x86_64").level != UNSUPPORTED
    }  # fmt: skip
    bases = yaml.safe_load((ROOT / "config/artefacts.yaml").read_text(encoding="utf-8"))["bootstrap"]

    assert {f"{id}-{version}" for id, version in releases} == {
        path.stem for path in (ROOT / "roles/container_engine/vars").glob("*-*.yml")
    }
    assert {id for id, _ in releases} <= set(bases)
