"""The station.json of an earlier run, and what lies beside it."""

from __future__ import annotations

import json
from typing import Any

from .gridtie_host.paths import RESTORE_PLAN
from .gridtie_machine import read_text


def station(config_dir: str) -> dict[str, Any]:
    """What it says; empty where there is none."""
    return _table(f"{config_dir}/station.json")


def restore(config_dir: str) -> dict[str, Any]:
    """How far a `gridtie restore` came that was broken off; empty where none was."""
    return _table(f"{config_dir}/{RESTORE_PLAN}")


def _table(path: str) -> dict[str, Any]:
    try:
        found = json.loads(read_text(path) or "{}")
    except ValueError:
        return {}  # Cut by a crash of the machine: written anew by this run.
    return found if isinstance(found, dict) else {}
