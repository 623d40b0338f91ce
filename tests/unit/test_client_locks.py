"""The clients of the tests are pinned by hashes, and come from whichever registry a person has."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NODE = sorted((ROOT / "tests/clients").glob("*/package-lock.json"))
VLLM = ROOT / "requirements" / "vllm.lock"
PYTHON = [*sorted((ROOT / "requirements").glob("clients-*.lock")), VLLM]


@pytest.mark.parametrize("lock", NODE, ids=lambda path: path.parent.name)
def test_nodes_packages_have_a_hash_each_and_no_address(lock: Path) -> None:
    packages = {name: found for name, found in json.loads(lock.read_text())["packages"].items() if name}

    assert packages
    assert [name for name, found in packages.items() if "resolved" in found] == []
    # What is inside another's archive comes with its hash.
    assert [name for name, found in packages.items() if "integrity" not in found and not found.get("inBundle")] == []


@pytest.mark.parametrize("lock", PYTHON, ids=lambda path: path.stem)
def test_pythons_packages_have_hashes_and_no_address(lock: Path) -> None:
    text = lock.read_text()

    assert "--hash=sha256:" in text
    assert "://" not in text
    assert text.count("==") <= text.count("--hash=sha256:")


def test_vllm_has_the_torch_that_package_indexes_have_and_nothing_for_pictures_and_sound() -> None:
    names = {line.partition("==")[0]: line for line in VLLM.read_text().splitlines() if "==" in line and line[0] != " "}

    assert re.match(r"torch==[0-9.]+ ", names["torch"])
    assert names.keys().isdisjoint({"torchaudio", "torchcodec", "torchvision", "vllm"})


@pytest.mark.parametrize("kind", ["sdks", "agents"])
def test_what_is_asked_for_is_an_exact_version(kind: str) -> None:
    asked = json.loads((ROOT / f"tests/clients/{kind}/package.json").read_text())
    versions = (asked["dependencies"] | asked.get("devDependencies", {})).values()

    assert [version for version in versions if version.count(".") != 2 or not version[0].isdigit()] == []
