"""What a model has shown on an engine: kept in one file of the station, by model digest and engine version.

Tool calls, schemas and context depend on the engine as much as on the file, so that neither is asked again while both
stay, and both are where one of them changes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

from ..json_file import read_table, write_json

SCHEMA = 1
FILE = "accepted.json"

HELD, FAILED, NOT_RUN = "held", "failed", "not run"

# What a model is not for where the check failed; the rest of it may be as good as any.
PURPOSE_OF = {"tools": "agents", "middle": "completion"}


@dataclass(frozen=True)
class Result:
    """One check: its `outcome` (held, failed, not run), what was found or why it was not run, what was wanted, and
    numbers for whoever compares them.
    """

    id: str
    outcome: str
    found: str
    wanted: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Acceptance:
    """All checks of one model on one engine. `date` is the day in UTC, `seconds` what they took."""

    model: str
    catalogue: str
    digest: str
    context: int
    parallel: int
    engine: str
    engine_version: str
    date: str
    seconds: float
    results: Sequence[Result]

    @property
    def accepted(self) -> bool:
        """Whether nothing failed; what was not run is not held against it."""
        return all(result.outcome != FAILED for result in self.results)

    @property
    def failed(self) -> tuple[Result, ...]:
        return tuple(result for result in self.results if result.outcome == FAILED)

    @property
    def grave(self) -> tuple[Result, ...]:
        """What failed and takes no purpose away: the model is not what it is said to be."""
        return tuple(result for result in self.failed if result.id not in PURPOSE_OF)

    @property
    def not_run(self) -> tuple[Result, ...]:
        return tuple(result for result in self.results if result.outcome == NOT_RUN)

    @property
    def unfit(self) -> dict[str, Result]:
        """Purposes that it is not for, by what failed."""
        return {PURPOSE_OF[result.id]: result for result in self.failed if result.id in PURPOSE_OF}

    def summary(self) -> dict[str, Any]:
        """What the router and the doctor are told, as station.json has it."""
        return {
            "date": self.date,
            "engine_version": self.engine_version,
            "checks": {result.id: result.outcome for result in self.results},
        }

    def told_of(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """A model of station.json with this, without the purposes that it is not for; with those again that an earlier
        acceptance took away.
        """
        intended = (model.get("acceptance") or {}).get("intended") or list(model.get("purposes", ()))
        purposes = [purpose for purpose in intended if purpose not in self.unfit]
        taken = {"intended": intended} if purposes != intended else {}
        return {**model, "purposes": purposes, "acceptance": {**self.summary(), **taken}}

    def is_of(self, model: Mapping[str, Any], engine: str, version: str) -> bool:
        """Whether it is of a model of station.json as it is now: with another prediction its settings are others (the
        cache's type, flash attention, graphics), or what was held against the old one has to be held against this.
        """
        predicted = next((each.figures.get("predicted") for each in self.results if each.id == "memory"), None)
        if predicted is not None and predicted != model.get("predicted_bytes"):
            return False
        mine = (self.digest, self.context, self.parallel, self.engine, self.engine_version)
        found = (model.get("digest"), model.get("context"), model.get("parallel", 1))
        return mine == (*found, engine, version)


class Acceptances:
    """The file with what was found; nothing of another schema is read, and it is written anew then."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = self._read()

    def find(self, model: Mapping[str, Any], engine: str, version: str) -> Optional[Acceptance]:
        """What a model of station.json has shown as it is now, on this engine."""
        return next((each for each in self._known if each.is_of(model, engine, version)), None)

    def add(self, found: Acceptance) -> None:
        """Put it in the place of what the model showed on that version before."""
        mine = (found.model, found.engine, found.engine_version)
        # Asking takes minutes, in which a run of the playbook or a person may have recorded others.
        kept = [each for each in self._read() if (each.model, each.engine, each.engine_version) != mine]
        self._known = [*kept, found]
        write_json(self._path, {"schema": SCHEMA, "accepted": [asdict(each) for each in self._known]})

    def _read(self) -> list[Acceptance]:
        return recorded(read_table(self._path))

    def unfit(self, engine: str, version: str) -> dict[str, dict[str, str]]:
        """By purpose the names of the catalogue that are not for it on this engine, with what was found and when."""
        told: dict[str, dict[str, str]] = {}
        for each in self._known:
            if (each.engine, each.engine_version) == (engine, version):
                for purpose, result in each.unfit.items():
                    why = f"{result.found} (accepted on this machine, {each.date})"
                    told.setdefault(purpose, {})[each.catalogue] = why
        return told


def recorded(document: Any) -> list[Acceptance]:
    """What a file of this schema holds; nothing of another one."""
    rows = document.get("accepted") if isinstance(document, dict) and document.get("schema") == SCHEMA else None
    return [found for row in (rows if isinstance(rows, list) else ()) if (found := _read(row)) is not None]


def _read(row: Any) -> Optional[Acceptance]:
    """None for what is damaged: the model is then asked again."""
    try:
        results = [Result(**result) for result in row["results"]]
        return Acceptance(**{**row, "results": tuple(results)})
    except (KeyError, TypeError):
        return None


def as_json(found: Acceptance) -> str:
    """For programs."""
    return json.dumps({**asdict(found), "accepted": found.accepted}, indent=2)
