"""Accept a model: each check in its turn, within a time that the caller sets."""

from __future__ import annotations

from typing import Any, Callable, Mapping, Optional

from .record import Acceptance, Acceptances

# Seconds for all checks of one model, unless somebody says otherwise.
LIMIT_S = 120.0


def accept(
    model: Mapping[str, Any],
    url: str,
    engine: str,
    version: str,
    records: Acceptances,
    *,
    limit_s: float = LIMIT_S,
    again: bool = False,
    resident: Callable[[], Optional[int]] = lambda: None,
    say: Callable[[str], None] = lambda line: None,
) -> Acceptance:
    """Let the model (as station.json has it) show at the engine's `url` what it can, and record it.

    With a record of the same digest, settings and engine version nothing is asked, unless `again`. Checks that would
    pass `limit_s` are not run, and say so. `resident` tells the bytes that the engine's processes hold, None where
    nobody can tell. Raises router.Unreachable where no engine answers.
    """
    raise NotImplementedError
