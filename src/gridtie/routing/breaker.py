"""How long a target is left alone after a failure. Pure: changes a `TargetState`, asks no clock.

Clouds get longer pauses, so that a broken one costs nobody a time-out on every request. A local target gets
a short one at most: it is often the only way, restarts within seconds, and is looked at by probes anyway.
"""

from __future__ import annotations

from typing import Literal

from gridtie.config.schema import Locality
from gridtie.dialects.types import Failed, Failure
from gridtie.routing.snapshot import TargetState

# Failures in a row before a cloud is left alone: one 500 among many answers is noise.
CLOUD_FAILURES = 3
# Seconds of the first pause, doubled with each further failure up to the longest.
CLOUD_PAUSE, CLOUD_LONGEST = 1.0, 60.0
LOCAL_PAUSE = 0.5
# A refused key or a missing model is the same a moment later; only a person mends it.
MISTAKE_PAUSE = {"cloud": 30.0, "local": 5.0}
# Clouds ask for seconds or, at the end of a quota, for hours. Longer than this we look again by ourselves.
LONGEST_RETRY_AFTER = 600.0
# A local engine that is full gets room as soon as one answer ends, whatever it asks for.
LOCAL_BUSY_PAUSE, LOCAL_LONGEST = 0.25, 5.0

_HEALTH = frozenset({Failed.UNREACHABLE, Failed.TIMEOUT, Failed.BROKEN})
_MISTAKES = frozenset({Failed.AUTH, Failed.MODEL_MISSING})


def failed(state: TargetState, locality: Locality, failure: Failure, now: float) -> None:
    """Note a failure; a request that does not fit or is wrong itself says nothing against the target."""
    pause = _pause(state, locality, failure, now)
    if pause is None:
        return
    state.last_error = failure.message
    state.paused_by = _cause(failure.kind)
    state.retry_at = max(state.retry_at, now + pause)


def _cause(kind: Failed) -> Literal["limited", "misconfigured", "failing"]:
    if kind is Failed.BUSY:
        return "limited"
    return "misconfigured" if kind in _MISTAKES else "failing"


def _pause(state: TargetState, locality: Locality, failure: Failure, now: float) -> float | None:
    kind = failure.kind
    if kind is Failed.BUSY:
        return _busy(state, locality, failure, now)
    if kind in _MISTAKES:
        return MISTAKE_PAUSE[locality]
    if kind not in _HEALTH:
        return None
    if state.retry_at <= now:  # requests that were under way together count as one failure
        state.failures += 1
    if locality == "local":
        return LOCAL_PAUSE
    return _doubled(state.failures - CLOUD_FAILURES) if state.failures >= CLOUD_FAILURES else 0.0


def _busy(state: TargetState, locality: Locality, failure: Failure, now: float) -> float:
    if failure.retry_after is not None and failure.retry_after >= 0:
        return min(failure.retry_after, LOCAL_LONGEST if locality == "local" else LONGEST_RETRY_AFTER)
    if locality == "local":
        return LOCAL_BUSY_PAUSE
    if state.retry_at <= now:
        state.failures += 1
    return _doubled(state.failures - 1)


def _doubled(times: int) -> float:
    # The exponent is bounded first: a float has no 2 ** 2000.
    return min(CLOUD_PAUSE * 2.0 ** min(max(times, 0), 16), CLOUD_LONGEST)
