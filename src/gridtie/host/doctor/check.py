"""What a check is, the ordered list of them, and how they become one verdict."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any, Callable, Sequence

from gridtie.host.doctor.look import Look, NotThere
from gridtie.host.router import Declined, Unreachable


@dataclass(frozen=True)
class Finding:
    """What one look at the station gave."""

    ok: bool
    found: str
    wanted: str = ""
    fix: str = ""
    # What holds and is hardly meant: it fails nothing, and is said wherever the verdict is.
    warning: str = ""


def good(found: str, wanted: str = "", warning: str = "") -> Finding:
    return Finding(True, found, wanted, warning=warning)


def bad(found: str, wanted: str, fix: str) -> Finding:
    return Finding(False, found, wanted, fix)


@dataclass(frozen=True)
class Check:
    """One promise of the station. It is looked at only if what it `needs` holds: its failure would mislead."""

    id: str
    what: str
    look: Callable[[Look], Finding]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """One line of the verdict. `blocked_by` holds the failed checks for whose sake this one was not made."""

    id: str
    ok: bool
    what: str
    found: str
    wanted: str
    fix: str
    blocked_by: tuple[str, ...] = ()
    warning: str = ""


@dataclass(frozen=True)
class Report:
    """The verdict: PASS when every check holds, else FAIL."""

    results: tuple[Result, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        return bool(self.results) and all(result.ok for result in self.results)

    def as_document(self) -> dict[str, Any]:
        return {
            "verdict": "PASS" if self.ok else "FAIL",
            "seconds": round(self.seconds, 2),
            "checks": [{**asdict(result), "blocked_by": list(result.blocked_by)} for result in self.results],
        }


def examine(checks: Sequence[Check], look: Look, told: Callable[[Result], None] = lambda _: None) -> Report:
    """Make every check in order; `told` hears of each as it is known."""
    began = time.monotonic()
    results: dict[str, Result] = {}
    for check in checks:
        result = _blocked(check, results) or _made(check, look)
        results[check.id] = result
        told(result)
    return Report(tuple(results.values()), time.monotonic() - began)


def _blocked(check: Check, before: dict[str, Result]) -> Result | None:
    # A check is also blocked by what blocked its own needs: name the root, there the fix is.
    failed = [before[need] for need in check.needs if not before[need].ok]
    if not failed:
        return None
    roots = tuple(dict.fromkeys(root for result in failed for root in (result.blocked_by or (result.id,))))
    named = ", ".join(roots)
    return Result(
        check.id, False, check.what, f"not checked, it rests on {named}", "", f"first put {named} right", roots
    )


def _made(check: Check, look: Look) -> Result:
    try:
        finding = check.look(look)
    except NotThere as error:
        finding = bad(str(error), error.wanted, error.fix)
    except Unreachable as error:
        finding = bad(str(error), "an answer", f"look at `docker ps -a` and `{look.router_log}`")
    except Declined as error:
        finding = bad(f"the router answered {error.status}: {error}", "an answer", f"see `{look.router_log}`")
    except PermissionError as error:
        finding = bad(f"{error.filename} may not be read by this user", "access to it", "run it with sudo")
    except OSError as error:
        finding = bad(f"{error.filename}: {error.strerror}", "a readable file", "run `make site` to put it in place")
    except Exception as error:  # one broken check must not take the verdict on all others with it
        finding = bad(f"the check itself failed: {type(error).__name__}: {error}", "a finding", "report this as a bug")
    # Checks are worded for a checkout; whoever installed the collection has no Makefile.
    fix = finding.fix.replace("make site", look.site_command)
    warning = finding.warning.replace("make site", look.site_command)
    return Result(check.id, finding.ok, check.what, finding.found, finding.wanted, fix, warning=warning)
