"""Papers: the licence is the one that the metadata names, links lead somewhere, commands are there."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from pages import links

ROOT = Path(__file__).resolve().parents[2]
LISTED = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
PAGES = sorted(set(LISTED.splitlines())) or [path.name for path in ROOT.glob("*.md")]


def test_the_licence_is_the_one_that_all_metadata_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    roles = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in ROOT.glob("roles/*/meta/main.yml")]
    text = " ".join((ROOT / "LICENSE").read_text(encoding="utf-8").split())

    assert text.startswith("Apache License Version 2.0, January 2004")
    assert "END OF TERMS AND CONDITIONS" in text
    named = {project["license"], *galaxy["license"], *(role["galaxy_info"]["license"] for role in roles)}
    assert named == {"Apache-2.0"}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_to_a_file_of_the_project_leads_to_one(page: str) -> None:
    assert [target for target in links(ROOT / page) if not (ROOT / page).parent.joinpath(target).exists()] == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/collection.md"])
def test_every_target_of_make_that_a_page_names_is_there(page: str) -> None:
    targets = set(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE))

    assert named - targets == set()
