"""Files of docs/results: what commands wrote about this project, each with its command, date, machine and version."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"
TESTS = "tests"
SCHEMA = 1
_FIELD = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True)
class Record:
    """One command that was run to its end. `result` is the JSON that it gave, or what was counted of its tests."""

    name: str
    command: str
    date: str
    machine: dict[str, Any]
    gridtie: str
    commit: str
    exit_status: int
    seconds: float
    result: Any

    @property
    def where(self) -> str:
        """Date and machine, for people."""
        return f"{self.date[:10]}, {machine_words(self.machine)}"


def machine_words(machine: dict[str, Any]) -> str:
    """A machine on one line."""
    memory = machine.get("memory_bytes") or 0
    parts = (
        str(machine.get("processor") or "unknown processor"),
        f"{machine['cores']} cores" if machine.get("cores") else "",
        f"{memory / 2**30:.1f} GiB" if memory else "",
        ", ".join(machine.get("graphics") or ()) or "no graphics card",
    )
    return ", ".join(part for part in parts if part)


def read(name: str, directory: Path = RESULTS) -> Record | None:
    """A record; None where nobody has run it. Raises ValueError where the file is none."""
    path = directory / f"{name}.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if not isinstance(found, dict) or found.pop("schema", None) != SCHEMA:
        raise ValueError(f"{path.name}: schema {SCHEMA} wanted; write it anew with `make record NAMES={name}`")
    return Record(**found)


def tests(directory: Path = RESULTS) -> dict[str, Record]:
    """The last recorded run of each file of tests."""
    path = directory / f"{TESTS}.json"
    if not path.exists():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    if found.get("schema") != SCHEMA:
        raise ValueError(f"{path.name}: schema {SCHEMA} wanted")
    return {name: Record(name=name, **entry) for name, entry in found["files"].items()}


def told(template: str, record: Record) -> str:
    """A sentence with the record's own figures: `{verdict}`, `{checks.#}` (how many), `{rows.0.tokens_in}`.

    Raises ValueError where the record has no such figure.
    """
    return _FIELD.sub(lambda field: _shown(look_up(record.result, field[1])), template)


def look_up(found: Any, path: str) -> Any:
    """What lies at a path of names and numbers, with dots between. Raises ValueError."""
    for step in path.split("."):
        try:
            found = len(found) if step == "#" else found[int(step) if isinstance(found, list) else step]
        except (KeyError, IndexError, TypeError, ValueError):
            raise ValueError(f"there is no {path} in the result: nothing at {step}") from None
    return found


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
