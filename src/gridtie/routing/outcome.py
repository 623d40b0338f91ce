"""How one request went: filled in by the router as it goes, read by whoever answers and meters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec
from msgspec.structs import replace

from gridtie.dialects.types import Failed, Failure, Usage
from gridtie.ledger.entry import Entry, Try
from gridtie.providers.target import Target
from gridtie.routing.plan import Plan, PlannedAttempt, Refusal, RequestInfo


class Trace(Protocol):
    """What is told of a request for its trace, where there are traces."""

    def upstream(self, target: Target) -> tuple[tuple[str, str], ...]:
        """The attempt under way is about to be sent: the header fields by which its target joins the trace."""
        ...

    def tried(self, planned: PlannedAttempt, started: float, tried: Try) -> None:
        """It has ended; `started` is monotonic."""
        ...

    def ended(self, outcome: Outcome, entry: Entry) -> None:
        """The request has, and is in the ledger."""
        ...


class Outcome(msgspec.Struct):
    """`started` is monotonic, durations are seconds since then."""

    info: RequestInfo
    plan: Plan
    time: float  # Unix time of arrival
    started: float
    # None: nobody traces it.
    trace: Trace | None = None
    tries: list[Try] = []
    # Requests sent, or meant to be: what `limits.attempts` bounds.
    attempts: int = 0
    # What is being tried, and once it is over what answered; None where nothing did.
    planned: PlannedAttempt | None = None
    target: Target | None = None
    usage: Usage | None = None
    first_token: float | None = None
    duration: float = 0.0
    # Seconds in queues.
    waited: float = 0.0
    # What the client saw in the end; None where nothing failed.
    failure: Failure | None = None
    refusal: Refusal | None = None
    # Content has been passed to the client: no other target may answer any more.
    committed: bool = False
    # The client left before the end.
    gone: bool = False
    # Frames that the last attempt's upstream sent, for an estimate of what it generated.
    frames: int = 0

    def tokens(self) -> Usage | None:
        """What was used: counted by upstream, else estimated and flagged; None where nothing was.

        A refused request used nothing. One whose client left may have been billed up to then: estimated.
        """
        if self.target is None or (
            (self.failure is not None or self.refusal is not None) and not self.committed and not self.gone
        ):
            return None
        if self.usage is not None:
            return self.usage
        # A frame carries one token, as a rule.
        return Usage(input=self.info.prompt_tokens, output=self.frames, estimated=True)


# Which of several failures a client can act on best: wait, send less, try again, leave something out; what only the
# operator can mend comes last.
_ORDER = (
    Failed.BUSY,
    Failed.INVALID,
    Failed.POLICY,
    Failed.CONTEXT,
    Failed.TIMEOUT,
    Failed.UNREACHABLE,
    Failed.BROKEN,
    Failed.CAPABILITY,
    Failed.MODEL_MISSING,
    Failed.AUTH,
)


def telling(
    setbacks: Sequence[Failure | Refusal],
    tries: Sequence[Try],
    details: Mapping[int, str],
    paused: Refusal | None = None,
) -> Failure | Refusal | None:
    """One error for a client that no target answered: the one it can act on, and all of what happened.

    `details`: what upstream itself said, by the place of the try; for the client alone. `paused`: of what was not even
    tried, what is to be waited for. None where nothing failed: targets were passed over alone.
    """
    if not setbacks:
        return None
    told = min([*reversed(setbacks), *([] if paused is None else [paused])], key=_rank)
    if len(tries) < 2 and paused is None:
        return told
    message = _all_of(tries, {}, paused)
    if isinstance(told, Refusal):
        return replace(told, message=message)
    return replace(told, message=message, detail=_all_of(tries, details, paused))


def _all_of(tries: Sequence[Try], details: Mapping[int, str], paused: Refusal | None) -> str:
    parts = [f"{each.target}: {details.get(at) or each.message or each.outcome}" for at, each in enumerate(tries)]
    if paused is not None:
        parts.append(paused.message)
    return f"no target answered: {'; '.join(parts)}"


def _rank(setback: Failure | Refusal) -> int:
    if isinstance(setback, Refusal):
        kind = Failed.CAPABILITY if setback.retry_after is None else Failed.BUSY
    else:
        kind = setback.kind
    return _ORDER.index(kind) if kind in _ORDER else len(_ORDER)
