"""Which digests a station needs, and what is told of those that nobody knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from plugins.module_utils import gridtie_image_plan as plan
from plugins.plugin_utils import gridtie_needed_pins as needs
from plugins.plugin_utils.gridtie_needed_pins import Needed

ROOT = Path(__file__).resolve().parents[3]
ARTEFACTS = yaml.safe_load((ROOT / "config/artefacts.yaml").read_text())
VERSION = ARTEFACTS["ollama"]["version"]
DEBIAN = ARTEFACTS["images"]["debian"]["reference"]
MACHINE: dict[str, Any] = {"system": {"id": "debian"}, "architecture": "x86_64", "init": "systemd"}
RELEASE = {"engine": "ollama", "mode": "native", "source": "release"}


def lacking(choice: dict[str, str], base: str = "packages", gpu: str = "auto", **cards: Any) -> list[str]:
    machine = {**MACHINE, "graphics": {"container": {"variant": "", "settings": {}, **cards}}}
    needed = needs.of_engine(choice, machine, ARTEFACTS, gpu, base)
    return [each.reference for each in needs.missing(needed, {})]


@pytest.mark.parametrize("mode", ["native", "container"])
def test_upstreams_release_for_a_processor_is_pinned_by_the_project(mode: str) -> None:
    assert lacking({**RELEASE, "mode": mode}) == []
    assert lacking({**RELEASE, "mode": mode}, gpu="off", variant="rocm") == []


def test_what_graphics_cards_ask_for_is_missed() -> None:
    assert lacking(RELEASE, variant="rocm") == [f"{VERSION}/ollama-linux-amd64-rocm.tar.zst"]
    assert lacking(RELEASE, settings={"GRIDTIE_GPU_JETPACK": "6"}) == [f"{VERSION}/ollama-linux-arm64-jetpack6.tar.zst"]
    assert lacking({**RELEASE, "mode": "container"}, variant="rocm") == [f"docker.io/ollama/ollama:{VERSION}-rocm"]


@pytest.mark.parametrize("choice", [{**RELEASE, "source": "packages"}, {"engine": "embedded"}, {}], ids=str)
def test_a_base_of_signed_packages_needs_no_digest_and_one_of_a_registry_does(choice: dict[str, str]) -> None:
    assert lacking(choice, base="packages") == []
    assert lacking(choice, base="registry") == [DEBIAN]


@pytest.mark.parametrize(
    ("system", "known", "source"),
    [
        ("debian", False, "packages"),
        ("debian", True, "registry"),
        ("ubuntu", False, "packages"),
        # No packages of that distribution make a base.
        ("fedora", False, "registry"),
    ],
)
def test_where_no_digest_is_known_and_none_may_be_learned_the_base_is_bootstrapped(
    system: str, known: bool, source: str
) -> None:
    assert plan.base_source("registry", ARTEFACTS, system, known) == source


def test_a_known_digest_is_not_missed_whoever_knows_it() -> None:
    pinned, learned, neither = Needed("images", "a:1", "sha256:x"), Needed("images", "b:1"), Needed("images", "c:1")

    assert needs.missing([pinned, learned, neither], {"images": {"b:1": {"digest": "sha256:y"}}}) == [neither]


def test_a_lock_that_differs_from_the_project_is_named_since_the_project_counts() -> None:
    pinned = Needed("images", "a:1", "sha256:x")

    assert needs.outranked([pinned], {"images": {"a:1": {"digest": "sha256:y"}}}) == [pinned]
    assert needs.outranked([pinned], {"images": {"a:1": {"digest": "sha256:x"}}}) == []
    assert needs.outranked([pinned, Needed("images", "b:1")], {}) == []


MISSING = [Needed("models", "a:1"), Needed("images", "b:1"), Needed("models", "c:1"), Needed("archives", "1/d.tgz")]


def test_all_that_is_missing_is_one_line_with_the_commands_that_fill_the_lock() -> None:
    (problem,) = needs.required(MISSING, "/inv/gridtie.lock.yaml", "ansible-playbook site.yml -e gridtie_pins=learn")

    assert "the models a:1, c:1 and the image b:1 and the archive 1/d.tgz" in problem["found"]
    assert 'make pins MODELS="a:1 c:1" ARGS="--into /inv/gridtie.lock.yaml"' in problem["fix"]
    assert problem["fix"].endswith("ansible-playbook site.yml -e gridtie_pins=learn")
    assert needs.required([], "/inv/gridtie.lock.yaml", "") == []


def test_an_installed_collection_has_no_makefile() -> None:
    (problem,) = needs.required(MISSING, "/inv/lock.yaml", "ansible-playbook gridtie.gridtie.site", checkout=False)

    assert "make" not in problem["fix"]
    assert problem["fix"].endswith("ansible-playbook gridtie.gridtie.site")


def test_what_would_be_learned_and_lost_is_one_line_that_names_the_setting() -> None:
    (problem,) = needs.lost(MISSING[:1], True, "/tmp is a temporary directory", "/tmp/gridtie.lock.yaml")

    assert "the model a:1 and what gridtie_models: auto chooses" in problem["found"]
    assert "/tmp is a temporary directory" in problem["found"]
    assert "gridtie_lock_file" in problem["fix"]
    assert needs.lost([], False, "why", "x") == []
