"""How one request went: filled in by the executor as it goes, read by whoever answers and keeps the books."""

from __future__ import annotations

import msgspec

from gridtie.dialects.types import Failed, Failure, Usage
from gridtie.ledger.entry import Try
from gridtie.providers.target import Target
from gridtie.routing.plan import Plan, RequestInfo


class Outcome(msgspec.Struct):
    """`started` is monotonic, durations are seconds since then."""

    ask: RequestInfo
    plan: Plan
    time: float  # Unix time of arrival
    started: float
    tries: list[Try] = []
    # Requests sent, or meant to be: what `limits.attempts` bounds.
    attempts: int = 0
    # The target at work, and once it is over the one that answered; None where none did.
    target: Target | None = None
    usage: Usage | None = None
    first_token: float | None = None
    duration: float = 0.0
    # What the client saw in the end; None where nothing failed.
    failure: Failure | None = None
    # Content has been passed to the client: no other target may answer any more.
    committed: bool = False
    # The client left before the end.
    gone: bool = False
    # Frames that the last attempt's upstream sent, for an estimate of what it generated.
    frames: int = 0

    @property
    def complete(self) -> bool:
        """Whether the client got a whole answer."""
        return self.failure is None and not self.gone

    def tokens(self) -> Usage | None:
        """What was used: counted by upstream, else estimated and flagged; None where nothing was generated."""
        if self.usage is not None:
            return self.usage
        if self.target is None:
            return None
        # A frame carries one token, as a rule.
        return Usage(input=self.ask.prompt_tokens, output=self.frames, estimated=True)


def summary(tries: list[Try], last: Failure) -> Failure:
    """One failure for a client that no target answered: the last one's kind, and all of what happened."""
    if len(tries) < 2:
        return last
    told = "; ".join(f"{tried.target}: {tried.message or tried.outcome}" for tried in tries)
    return Failure(
        kind=last.kind,
        message=f"no target answered: {told}",
        status=last.status,
        retry_after=last.retry_after,
        prompt_tokens=last.prompt_tokens,
        context=last.context,
        body=last.body if last.kind is Failed.INVALID else None,
    )
