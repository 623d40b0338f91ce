"""What is true right now, as data: what `decide` reads beside the request and the rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from gridtie.providers.target import Target


class TargetState(msgspec.Struct):
    """What is known about a target right now; owned by `routing.state`, read by `decide`."""

    in_flight: int = 0
    waiting: int = 0
    # None: not known (a cloud); a local engine reports which models are in memory.
    loaded: bool | None = None
    # What the engine says of itself, where it does: the most tokens of a request; requests that it computes and that
    # wait inside it, those of others among them; the used share of its cache.
    context: int | None = None
    running: int | None = None
    queued: int = 0
    cache_used: float | None = None
    # How many of our requests it could have at once, by its last word: a member of the pool, and vllm-router, some of
    # whose servers may be away. None: it does not say.
    offered: int | None = None
    # Tokens and seconds of its latest answers, older ones counting less, and when the last of them came (monotonic).
    tokens: float = 0.0
    seconds: float = 0.0
    measured_at: float = 0.0
    # False: a probe found that the engine does not answer. Never probed counts as ready.
    ready: bool = True
    # Monotonic seconds until which a failing target is left alone; 0: it is fine.
    retry_at: float = 0.0
    failures: int = 0
    last_error: str = ""
    # Why it is left alone: it asked for it, only a person can mend it, or it fails.
    paused_by: Literal["limited", "misconfigured", "failing"] = "failing"


def slots_of(target: Target, state: TargetState) -> int | None:
    """How many requests of ours it takes at once; None: any number."""
    return target.slots if state.offered is None else state.offered


def relayed_at(provider: str) -> str:
    """Under which name a provider's requests of other stations are counted. No provider's: those have no slash."""
    return f"{provider}/relayed"


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at one instant: `decide` is a pure function of a request, the rules and this."""

    now: float
    states: Mapping[str, TargetState]
    # Requests in flight per provider: what `max_in_flight` of a provider is held against; and those of other stations
    # under the name that `relayed_at` gives them.
    provider_in_flight: Mapping[str, int] = {}
    # Budget name -> US dollars left in its current period, reservations already taken off.
    budget_left: Mapping[str, float] = {}
    # The target that holds the prefix of the request's session; "": none, or not known.
    holds_prefix: str = ""
