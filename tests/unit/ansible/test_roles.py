"""Every role: its defaults, its argument specs and its page agree."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if (path / "meta").is_dir())


def load(path: str) -> Any:
    file = ROOT / "roles" / path
    return yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else None


def options(role: str) -> dict[str, dict[str, Any]]:
    specs = load(f"{role}/meta/argument_specs.yml")["argument_specs"].values()
    return {name: option for spec in specs for name, option in (spec.get("options") or {}).items()}


@pytest.mark.parametrize("role", ROLES)
def test_the_documented_variables_are_those_with_defaults(role: str) -> None:
    assert set(options(role)) == set(load(f"{role}/defaults/main.yml") or {})


@pytest.mark.parametrize("role", ROLES)
def test_documented_defaults_are_the_real_ones(role: str) -> None:
    defaults = load(f"{role}/defaults/main.yml") or {}
    # A default that depends on the machine is told in words.
    documented = {name: option["default"] for name, option in options(role).items() if "default" in option}

    assert documented == {name: defaults[name] for name in documented}


@pytest.mark.parametrize("role", ROLES)
def test_public_names_begin_with_the_project_and_private_ones_with_an_underscore(role: str) -> None:
    files = [*(ROOT / "roles" / role).glob("vars/*.yml")]
    private = [name for file in files for name in yaml.safe_load(file.read_text(encoding="utf-8"))]

    assert [name for name in options(role) if not name.startswith("gridtie_")] == []
    assert [name for name in private if not name.startswith("_")] == []


@pytest.mark.parametrize("role", ROLES)
def test_every_default_has_its_comment(role: str) -> None:
    text = (ROOT / "roles" / role / "defaults/main.yml").read_text(encoding="utf-8")
    # A comment may head a group of neighbours; a blank line ends the group.
    groups = re.split(r"\n\s*\n", text.removeprefix("---\n"))

    assert [group for group in groups if re.search(r"^\w", group, re.M) and not group.lstrip().startswith("#")] == []


@pytest.mark.parametrize("role", ROLES)
def test_no_variable_belongs_to_two_roles(role: str) -> None:
    others = {name: other for other in ROLES if other != role for name in options(other)}

    assert sorted(set(options(role)) & set(others)) == []


def test_the_pages_are_up_to_date() -> None:
    check = subprocess.run(
        [sys.executable, ROOT / "scripts/role_readmes.py", "--check"], capture_output=True, text=True, check=False
    )

    assert check.stderr == ""
    assert check.returncode == 0
