"""What requests need of others: the state it reserves in, and the client it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from gridtie.dialects.types import Failure
from gridtie.routing.outcome import Outcome
from gridtie.routing.plan import PlannedAttempt, Refusal
from gridtie.routing.snapshot import Snapshot


class Lease(Protocol):
    """A slot, and money held against the budgets."""

    @property
    def target_id(self) -> str: ...

    def release(self) -> None:
        """Give both back; idempotent."""
        ...


class State(Protocol):
    """What is known about the targets, and what of them is taken."""

    def snapshot(self, now: float, session: bytes = b"") -> Snapshot: ...

    def reserve(self, attempt: PlannedAttempt) -> Lease | None:
        """Take what the attempt needs; None where it is not to be had."""
        ...

    async def wait(self, attempt: PlannedAttempt, deadline: float) -> Lease | None:
        """Queue for it until `deadline` (monotonic)."""
        ...

    def granted(self, attempt: PlannedAttempt) -> Lease:
        """Take a slot that a member of the pool holds for us."""
        ...

    def full(self, target_id: str) -> None:
        """A member of the pool has refused the request under way there for want of a slot."""
        ...

    def free(self, attempt: PlannedAttempt) -> bool:
        """Whether it could begin now."""
        ...

    def measured(self, target_id: str, tokens: int, seconds: float, now: float) -> None:
        """An answer of so many tokens took a target so long."""
        ...

    def lacked(self, budgets: Iterable[str]) -> None:
        """These had too little left for a target that a request might have gone to."""
        ...

    def succeeded(self, target_id: str) -> None: ...

    def answered(self, session: bytes, target_id: str, now: float) -> None: ...

    def failed(self, target_id: str, failure: Failure, now: float) -> None: ...

    def retry_at(self, target_id: str) -> float:
        """Until when it is left alone (monotonic); 0 where it is not."""
        ...


class Client(Protocol):
    """Who asked.

    Hears `answer`, or `commit` and `finish`; and at any point before the end `refuse`, `fail`
    or `left` instead. Nothing follows any of `answer`, `finish`, `refuse`, `fail` and `left`.
    """

    def refuse(self, outcome: Outcome, refusal: Refusal) -> None:
        """No answer, or no end to one, and that by the router's own doing."""
        ...

    def answer(self, outcome: Outcome, body: bytes) -> None:
        """A whole, unstreamed answer."""
        ...

    def sign_of_life(self, outcome: Outcome) -> None:
        """A stream that has to wait: nothing is decided yet, but it is being worked on."""
        ...

    def commit(self, outcome: Outcome, data: bytes) -> Callable[[bytes], None]:
        """The first content of a stream: no other target will answer any more. Says where the rest goes."""
        ...

    def finish(self, outcome: Outcome, data: bytes) -> None:
        """The last bytes of a stream."""
        ...

    def fail(self, outcome: Outcome, failure: Failure) -> None:
        """No answer, or no end to one: upstream failed."""
        ...

    def left(self, outcome: Outcome) -> None:
        """The client itself has gone, or stopped reading; it remains to be metered."""
        ...
