"""The collection on the controller, in a checkout or installed: its files, its version, its own Python package."""

from __future__ import annotations

import importlib
import json
import os
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml
from ansible.errors import AnsibleError

ROOT = Path(__file__).resolve().parents[2]
_MANIFEST = "MANIFEST.json"

# Plugins that import this module find the project's package here, before another version of it that may be installed.
if str(ROOT / "src") not in sys.path:
    sys.path.insert(0, str(ROOT / "src"))


def installed(root: Path = ROOT) -> bool:
    """Whether ansible-galaxy put it here: then there is neither a Makefile nor a site.yml beside it."""
    return (root / _MANIFEST).is_file()


def version(root: Path = ROOT) -> str:
    """As the manifest says it, which takes the place of galaxy.yml where the collection is installed."""
    if installed(root):
        manifest = json.loads((root / _MANIFEST).read_text(encoding="utf-8"))
        return str(manifest["collection_info"]["version"])
    return str(yaml.safe_load((root / "galaxy.yml").read_text(encoding="utf-8"))["version"])


def command(playbook: str, *arguments: str, root: Path = ROOT) -> str:
    """What a person types to run one of the playbooks."""
    given = " ".join(arguments)
    if installed(root):
        return f"ansible-playbook gridtie.gridtie.{playbook} {given}".rstrip()
    return f'make {playbook} ARGS="{given}"' if given else f"make {playbook}"


def artefacts_file(given: str = "", root: Path = ROOT) -> Path:
    """What is pinned: the file that was given, else the project's own."""
    return Path(os.path.normpath(Path(given).expanduser())) if given else root / "config/artefacts.yaml"


def artefacts_in(given: str = "") -> dict[str, Any]:
    """The document of what is pinned. Raises AnsibleError with all that is wrong with it."""
    artefacts, problems = package("gridtie.artefacts"), package("gridtie.config.problems")
    try:
        document: dict[str, Any] = artefacts.read(artefacts_file(given))
    except problems.ConfigError as error:
        raise AnsibleError(str(error)) from None
    return document


def package(name: str) -> ModuleType:
    """A module of the project's package; where it cannot be imported, what to install."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        # Without the cause: Ansible would append it to the command.
        raise AnsibleError(
            f"the Python that runs Ansible lacks what this collection needs there ({error}); nothing was changed. "
            f"Install it: {shlex.join([sys.executable, '-m', 'pip', 'install', '-r', str(ROOT / 'requirements.txt')])}"
        ) from None
