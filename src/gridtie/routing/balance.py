"""Which of several members of a pool that have one model comes first. Pure.

Many routers choose at the same time, each by what it heard up to two seconds ago. So the choice alone keeps nobody from
waiting: it only makes it likely that the first that is asked is free and fast. A member that is not free says so at
once, and the request goes to the first of all that has a slot (`routing.line`); however many choose the same member, it
gets no more than it has slots for.
"""

from __future__ import annotations

import math

from gridtie.providers.target import Target
from gridtie.routing.shares import uniform
from gridtie.routing.snapshot import TargetState, slots_of

# Speeds of less than this ratio are the same: the latest answers of one machine differ by as much.
_SAME = 1.25

# A member so many times slower than the fastest is none of its kind: it is there for when no other is.
SLOW = 8.0

# Seconds after which a speed is forgotten, so that a member that was slow is tried again.
SPEED_SECONDS = 300.0

# Standing in a list: the least comes first.
Standing = tuple[bool, bool, bool, int, float, float]


def speed(state: TargetState, now: float) -> float | None:
    """Tokens a second of the latest answers of a target, from the request to the end; None where that is not known."""
    if state.seconds <= 0.0 or now - state.measured_at > SPEED_SECONDS:
        return None
    return state.tokens / state.seconds


def fastest(states: list[TargetState], now: float) -> float:
    """The speed of the fastest of several; 0 where none is known."""
    return max((speed(state, now) or 0.0 for state in states), default=0.0)


def slow(state: TargetState, best: float, now: float) -> bool:
    """Whether it is no help beside one of the speed `best`."""
    own = speed(state, now)
    return own is not None and own * SLOW < best


def standing(target: Target, state: TargetState, busy: bool, best: float, now: float, lot: str) -> Standing:
    """Free before busy, then not too slow, with the model in memory, faster, and with more of its slots free.

    One whose speed is not known counts as fast, so that it becomes known. `lot` is the request's own: where all is
    equal, each request has another order, so that routers that know the same do not choose the same.
    """
    own = speed(state, now)
    behind = 0 if own is None or best <= 0.0 else math.floor(math.log(best / max(own, best / 1e6), _SAME))
    return (
        busy,
        slow(state, best, now),
        state.loaded is False,
        behind,
        _used(target, state),
        uniform(lot, target),
    )


def _used(target: Target, state: TargetState) -> float:
    """The share of its slots that is taken, by others as well where it says so."""
    if not target.slots:
        return float(state.in_flight)
    return 1.0 - ((slots_of(target, state) or 0) - state.in_flight) / target.slots
