"""Standing in line at several members of a pool at once: the first that has a slot gets the request.

Where a request waits at one member it waits for the answers that happen to be before it there, although another may be
free long before. So what waits is not the request: each member is asked to hold a slot, in its own order of arrival,
and the others are left when one does. This comes close to one line before all members, which nobody has to keep, and
does not rest on how new anybody's knowledge is (docs/decisions/0066-the-slot-waits-not-the-request.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING

import msgspec

from gridtie.dialects.types import Failed, Failure
from gridtie.providers import relay
from gridtie.routing.plan import PlannedAttempt
from gridtie.upstream.connection import Connection
from gridtie.upstream.endpoint import Endpoint
from gridtie.upstream.errors import Broken, UpstreamError

if TYPE_CHECKING:
    from gridtie.routing.runner import Runner

# Seconds for a member to be reached, and for it to say that it has nothing.
_REACHED = 2.0

# An answer holds the name of a slot, or an error.
_MOST_BYTES = 16 * 1024

_encode = msgspec.json.Encoder().encode


class Granted(msgspec.Struct, frozen=True):
    """The member whose turn it is, and the slot that it holds; "" where it is of before and holds none.

    `leave` gives the slot back, as long as no request has come for it.
    """

    attempt: PlannedAttempt
    slot: str
    leave: Callable[[], None]


async def stand(runner: Runner, members: Sequence[PlannedAttempt], seconds: float) -> Granted | None:
    """The first of the members that holds a slot within so many seconds (0: now or never); None where none does."""
    asked = [_Asked(runner.desk(each.target), each) for each in members]
    tasks = {runner.loop.create_task(each.slot(seconds)): each for each in asked}
    granted: Granted | None = None
    try:
        granted = await _first(runner, tasks, monotonic() + seconds + _REACHED)
    finally:
        for task in tasks:
            task.cancel()
            if task.done() and not task.cancelled():
                task.exception()  # nobody asks for it any more
        for each in asked:
            if granted is None or each.attempt is not granted.attempt:
                each.leave()
    return granted


async def _first(runner: Runner, tasks: Mapping[asyncio.Task[str | None], _Asked], end: float) -> Granted | None:
    pending, of_before = set(tasks), None
    while pending and (left := end - monotonic()) > 0:
        done, pending = await asyncio.wait(pending, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        # In the order of the plan, where several come at the same moment.
        for task in [task for task in tasks if task in done]:
            asked = tasks[task]
            try:
                slot = task.result()
            except UpstreamError as error:
                failure = Failure(kind=Failed.UNREACHABLE, message=str(error), ours=True)
                runner.state.failed(asked.attempt.target.id, failure, monotonic())
                continue
            if slot:
                return Granted(asked.attempt, slot, asked.leave)
            if slot == "":
                of_before = of_before or asked
    # Where nobody else is left, it waits at one that knows no slots.
    return None if of_before is None or pending else Granted(of_before.attempt, "", of_before.leave)


class _Asked:
    """One member that is asked: a `Receiver` of the connection to it, which holds the place, and then the slot."""

    def __init__(self, endpoint: Endpoint, attempt: PlannedAttempt) -> None:
        self.attempt = attempt
        self._endpoint = endpoint
        self._connection: Connection | None = None
        self._answered: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._status = 0
        self._body = b""

    async def slot(self, seconds: float) -> str | None:
        """The slot that is held, "" where such things are not known, None where there is none to be had.

        Raises `UpstreamError`.
        """
        body = _encode(relay.Wanted(model=self.attempt.target.model, wait=seconds))
        head = self._endpoint.head("POST", relay.PATH, (), len(body))
        connection = self._endpoint.pool.take()
        reused = connection is not None
        if connection is None:
            connection = await self._endpoint.pool.open(_REACHED)
        self._send(connection, head, body)
        try:
            return await self._answered
        except Broken as error:
            if not (reused and error.unanswered):
                raise
        # It had been closed while it was idle.
        self._answered = asyncio.get_running_loop().create_future()
        self._send(await self._endpoint.pool.open(_REACHED), head, body)
        return await self._answered

    def _send(self, connection: Connection, head: bytes, body: bytes) -> None:
        self._connection = connection
        connection.send(head, body, self)

    def leave(self) -> None:
        """Give up the place, or the slot. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()

    def on_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        self._status = status

    def on_body(self, data: bytes, last: bool) -> None:
        self._body += data[: _MOST_BYTES - len(self._body)]
        if last:
            self._connection = None
        if self._answered.done():
            return
        if self._status == 200:
            # The answer ends when the slot is used: its name comes before that.
            if slot := relay.read_held(self._body):
                self._answered.set_result(slot)
            elif last:
                self._answered.set_result(None)
        elif last:
            # 403: a router of before refuses a relay whatever it does not know.
            self._answered.set_result("" if self._status in (403, 404, 405) else None)

    def on_error(self, error: Broken) -> None:
        self._connection = None
        if not self._answered.done():
            self._answered.set_exception(error)
