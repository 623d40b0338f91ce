"""The station.json of an earlier run."""

from __future__ import annotations

import json
from typing import Any

from .gridtie_machine import read_text


def station(config_dir: str) -> dict[str, Any]:
    """What it says; empty where there is none."""
    try:
        found = json.loads(read_text(f"{config_dir}/station.json") or "{}")
    except ValueError:
        return {}  # Cut by a crash of the machine: written anew by this run.
    return found if isinstance(found, dict) else {}
