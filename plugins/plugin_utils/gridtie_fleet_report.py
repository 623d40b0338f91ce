"""What a run came to on each host: one table for people, one document for programs."""

from __future__ import annotations

import datetime
import json
import os
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCHEMA = 1

_COLUMNS = ("host", "outcome", "verdict", "engine", "model", "")


@dataclass
class Row:
    """One host. ``outcome`` is one of upgraded, rolled back, changed, unchanged, failed, unreachable, not reached."""

    host: str
    outcome: str = ""
    why: str = ""
    verdict: str = ""
    engine: str = ""
    models: list[str] = field(default_factory=list)
    failed_checks: list[str] = field(default_factory=list)


class FleetReport:
    """Listens to a run; tells at its end."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._hosts: list[str] = []
        self._waiting: set[str] = set()
        self._passed_over: set[str] = set()
        self._failures: dict[str, str] = {}
        self._judged = False

    def begin(self, hosts: Sequence[str], batch: Collection[str]) -> None:
        """A play, or a wave of one, starts on ``batch``; ``hosts`` are those of all its waves."""
        for host in hosts:
            self._rows.setdefault(host, Row(host))
        # The waves of one play have no host in common.
        if list(hosts) != self._hosts or not set(batch) <= self._waiting:
            self._passed_over |= self._waiting
            self._hosts, self._waiting = list(hosts), set(hosts)
        self._waiting -= set(batch)

    def take_facts(self, host: str, facts: Mapping[str, Any]) -> None:
        """What a task found out about a host."""
        row = self._rows.setdefault(host, Row(host))
        station = facts.get("gridtie_station") or {}
        engine = facts.get("gridtie_resolved_engine") or station.get("engine")
        models = facts.get("gridtie_resolved_models") or station.get("models")
        if engine:
            row.engine = f"{engine.get('kind', '')} {engine.get('version') or ''}".strip()
        if models:
            row.models = [str(model["name"]) for model in models]
        if outcome := facts.get("gridtie_resolved_outcome"):
            self._judged = True
            row.outcome, row.why = str(outcome["state"]), str(outcome.get("why") or "")

    def take_verdict(self, host: str, report: Mapping[str, Any]) -> None:
        """A report of the doctor."""
        row = self._rows.setdefault(host, Row(host))
        self._judged = True
        row.verdict = str(report.get("verdict", ""))
        row.failed_checks = [str(check["id"]) for check in report.get("checks", []) if not check["ok"]]

    def take_failure(self, host: str, task: str) -> None:
        """A task that failed, also one that the playbook itself answers."""
        self._failures[host] = task

    def is_told(self, rows: Sequence[Row]) -> bool:
        """Whether the table says more than that something was changed."""
        return len(rows) > 1 and (self._judged or any(row.outcome not in ("changed", "unchanged") for row in rows))

    def rows(self, counts: Mapping[str, Mapping[str, int]]) -> list[Row]:
        """``counts`` is what Ansible counted of each host: changed, failures, unreachable."""
        for host, row in self._rows.items():
            counted = counts.get(host, {})
            if counted.get("unreachable"):
                row.outcome = "unreachable"
            elif not row.outcome and counted.get("failures"):
                row.outcome = "failed"
            elif not row.outcome and host in self._waiting | self._passed_over:
                row.outcome = "not reached"
            elif not row.outcome:
                row.outcome = "changed" if counted.get("changed") else "unchanged"
            if row.outcome in ("failed", "unreachable") and not row.why:
                row.why = self._failures.get(host, "")
        return list(self._rows.values())


def table(rows: Sequence[Row]) -> str:
    """One line a host, under a head."""
    cells = [_COLUMNS, *map(_cells, rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_COLUMNS))]
    lines = ("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)) for line in cells)
    return "\n".join(f"  {line}".rstrip() for line in lines)


def _cells(row: Row) -> tuple[str, ...]:
    more = f" and {len(row.models) - 1} more" if len(row.models) > 1 else ""
    model = f"{row.models[0]}{more}" if row.models else ""
    checks = f"failed checks: {', '.join(row.failed_checks)}" if row.failed_checks else ""
    why = "; ".join(part for part in (" ".join(row.why.split()), checks) if part)
    return (row.host, row.outcome, row.verdict, row.engine, model, why)


def document(rows: Sequence[Row], playbook: str, now: datetime.datetime) -> dict[str, Any]:
    """The same for programs."""
    return {
        "schema": SCHEMA,
        "playbook": playbook,
        "ended": now.isoformat(timespec="seconds"),
        "hosts": [vars(row) for row in rows],
    }


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Replace the file in one step: whoever reads it sees this run's verdicts or those of the run before."""
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=2)
            file.write("\n")
            os.fchmod(file.fileno(), 0o644)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
