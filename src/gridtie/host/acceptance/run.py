"""Accept a model: each check in its turn, within a time that the caller sets."""

from __future__ import annotations

import time
from typing import Any, Callable, Mapping, Optional

from ..purpose_names import SMOKE_TEST
from .checks import Subject, checks_of, late, refused, unreadable
from .engine import Clock, OutOfTime, Refused, engine_of
from .memory import TOLERANCE
from .processes import Process, serving
from .record import NOT_RUN, Acceptance, Acceptances, Result

# Seconds for all checks of one model, unless somebody says otherwise. Nobody works with the model of the smoke test, so
# that its context is not worth filling in every run.
LIMIT_S, SMOKE_TEST_LIMIT_S = 120.0, 5.0


def limit_of(model: Mapping[str, Any], most: float = LIMIT_S) -> float:
    """Seconds that there are for a model of station.json in a run that gives each at `most` so many."""
    return min(most, SMOKE_TEST_LIMIT_S) if SMOKE_TEST in model.get("purposes", ()) else most


def accept(
    model: Mapping[str, Any],
    url: str,
    engine: str,
    version: str,
    records: Acceptances,
    *,
    limit_s: Optional[float] = None,
    again: bool = False,
    process: Optional[Callable[[], Optional[Process]]] = None,
    tolerance: float = TOLERANCE,
    say: Callable[[str], None] = lambda line: None,
) -> Acceptance:
    """Let the model (as station.json has it) show at the engine's `url` what it can, and record it.

    With a record of the same digest, settings and engine version nothing is asked, unless `again`. Checks that would
    pass `limit_s` (of `limit_of` by default) are not run, and say so. `process` finds what serves the model,
    None where nobody can tell; by default among the processes of this kernel. `tolerance` is
    wider on graphics cards (memory.py). Raises router.Unreachable where no engine answers; nothing is recorded then.
    """
    known = None if again else records.find(model, engine, version)
    if known is not None:
        return known
    clock = Clock(limit_of(model) if limit_s is None else limit_s)
    subject = Subject(
        model,
        engine_of(engine, url, str(model["name"]), clock, "reasoning" in model.get("capabilities", ())),
        clock,
        process or (lambda: serving(str(model.get("file") or ""))),
        tolerance=tolerance,
    )
    results = []
    for check, look in checks_of(model):
        say(f"{model['name']}: {check}")
        results.append(_made(check, look, subject))
    done = Acceptance(
        model=str(model["name"]),
        catalogue=str(model.get("catalogue") or model["name"]),
        digest=str(model["digest"]),
        context=int(model["context"]),
        parallel=int(model.get("parallel", 1)),
        engine=engine,
        engine_version=version,
        date=time.strftime("%Y-%m-%d", time.gmtime()),
        seconds=round(clock.used, 1),
        results=tuple(results),
    )
    records.add(done)
    return done


def told(found: Acceptance) -> list[str]:
    """The acceptance for people, a line a check."""
    marks = {"held": "ok  ", "failed": "FAIL", NOT_RUN: "--  "}
    lines = []
    for result in found.results:
        lines.append(f"{marks[result.outcome]}  {result.id:<8} {result.found}")
        lines += [f"{'':6}{'wanted':<8} {result.wanted}"] if result.wanted else []
    return lines


def _made(check: str, look: Callable[[Subject], Result], subject: Subject) -> Result:
    try:
        return look(subject)
    except OutOfTime:
        return late(check, subject.clock)
    except Refused as error:
        return refused(check, error)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        return unreadable(check, error)
