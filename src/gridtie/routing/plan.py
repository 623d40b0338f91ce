"""What is asked, what is known, what is decided: the plain data of one routing decision."""

from __future__ import annotations

from typing import Literal

import msgspec

from gridtie.dialects.types import Surface
from gridtie.providers.target import Target
from gridtie.routing.bounds import Bounds

__all__ = [
    "Plan",
    "PlannedAttempt",
    "Refusal",
    "RequestInfo",
    "Skip",
    "SkipCode",
    "Surface",
    "Target",
]

# Why a target is left out, for programs; `Skip.reason` says it for people.
SkipCode = Literal[
    "absent",  # the rule names it and nothing of the kind is configured
    "policy",  # `never` or `private` forbids it
    "capability",  # it cannot do what the request needs
    "min_score",  # its coding score is below what the alias asks of a fallback for the cloud
    "price",  # more than `max_cost`, or a limit on money holds and no price is known
    "budget",  # a budget is used up
    "unready",  # its engine does not answer
    "failing",  # it failed just now and is left alone for a while
    "limited",  # a cloud asked for a pause (429, 503)
    "misconfigured",  # it refuses the router's key, or does not have the model
    "drained",  # its weight is 0
    "busy",  # no slot, and the rule does not wait
]


class RequestInfo(msgspec.Struct, frozen=True):
    """One request in the router's terms: its facts, its key and what it claims; all that `decide` may look at.

    Names that are compared (environment, agent, tags) are canonical, see `config.names.canonical`.
    """

    id: str
    surface: Surface
    # As sent; "" for a request that names no model.
    alias: str
    environment: str
    key: str
    agent: str | None = None
    tags: frozenset[str] = frozenset()
    # Passed on by another station's router: for this station's own engine, and for nothing else.
    relayed: bool = False
    stream: bool = False
    # Of "tools", "vision", "json", "embeddings": what the target must be able to do.
    needs: frozenset[str] = frozenset()
    # An estimate: good enough to order by size, never to refuse by.
    prompt_tokens: int = 0
    # Bytes of its text, and messages: what it is reserved for where money is limited.
    text_bytes: int = 0
    messages: int = 0
    images: int = 0
    # Whether parts are marked for a provider's prompt cache, which may be dearer to write than to read.
    caches: bool = False
    # Tokens of one answer that the client allows; None where it names no limit.
    max_output: int | None = None
    # Answers that are asked for at once.
    choices: int = 1
    # What is billed apart from tokens, or by rules that are not known here; names for a message.
    extras: frozenset[str] = frozenset()
    # The tool's own traffic, by what sends it (doctor, verify, demo, ...): in no saving; "": somebody's.
    purpose: str = ""
    # What its headers call its session; "" where they name none.
    session: str = ""
    # It goes on from an answer whose request must not reach a cloud.
    stays: bool = False
    # Relayed, and to be refused where no slot is free: the router that sent it stands in line elsewhere as well.
    at_once: bool = False


class PlannedAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a plan: where to send the request next, and why there."""

    target: Target
    reason: str
    # Seconds to wait for a slot if the target is busy; 0: skip it when busy.
    max_wait: float = 0.0
    first_token: float = 60.0
    # US dollars reserved against the budgets before it is sent; 0 for local.
    reserve_usd: float = 0.0
    # Names of the budgets that `reserve_usd` is held against.
    budgets: tuple[str, ...] = ()
    # Tokens of one answer that the router allows where the client names no limit; None: no limit is written.
    output_limit: int | None = None
    # Its place in the rule's order; those that share one by weight have the same.
    rank: int = 0
    # Of another station's router: what it does for others is limited.
    relayed: bool = False
    # Members of a pool that are as good as each other have one: a request that finds none of them free stands in line
    # at all of them. "": it waits for this target alone.
    line: str = ""


class Skip(msgspec.Struct, frozen=True, kw_only=True):
    """A target that the rule names but the plan leaves out, and why."""

    target: str
    reason: str
    code: SkipCode
    # Seconds until it is asked again; None where that is not known.
    retry_after: float | None = None


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why the router does not answer: the error the client gets.

    `retry_after`: seconds after which it may have passed by itself; None: it does not.
    """

    status: int
    code: str
    message: str
    retry_after: int | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Ordered attempts, each with its reason; `refusal` is set exactly when there are none."""

    rule: str
    attempts: tuple[PlannedAttempt, ...] = ()
    skipped: tuple[Skip, ...] = ()
    refusal: Refusal | None = None
    baseline: str = ""
    # True where this request must not reach a cloud on any path, also not by a later decision.
    local_only: bool = False
    bounds: Bounds = Bounds()
    # Budgets that had too little left for what was wanted.
    lacking: tuple[str, ...] = ()
