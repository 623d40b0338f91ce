"""One try at one target: a slot, a connection, a request written, an answer read as it comes.

    queued ──► connecting ──► sent ──► reading ──► ended
       │            │           │         │          ▲
       └────────────┴───────────┴─────────┴──────────┘  without an answer

Where an idle connection is at hand, queued leads to sent; where the server had closed that one, sent leads back to
connecting, once.

queued       no slot is free, and the plan waits for one (else this is passed over)
connecting   the slot is ours; no idle connection was at hand
sent         the request is on its way; not one byte of an answer's head has come
reading      the head is there: a stream, a whole body, or an error's body
ended        closed, or its connection given back; the slot goes back right after

Clocks go by content: a ping, a comment or half a head is no sign that an answer is being made.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from enum import Enum
from time import monotonic, time
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gridtie.dialects.codecs import CODECS, HELD_CODECS
from gridtie.dialects.types import (
    AnswerOptions,
    Chunk,
    Failed,
    Failure,
    RequestOptions,
    StreamDecoder,
    Untranslatable,
    UpstreamRequest,
    Usage,
)
from gridtie.ledger.entry import Try
from gridtie.ledger.ledger import LedgerError
from gridtie.providers import relay
from gridtie.routing.line import Granted, stand
from gridtie.routing.plan import PlannedAttempt, Refusal
from gridtie.routing.ports import Lease
from gridtie.routing.refusals import OVERLOADED, barred, cannot, malformed
from gridtie.upstream.connection import Connection
from gridtie.upstream.errors import Broken, ConnectFailed, ConnectTimeout

if TYPE_CHECKING:
    import asyncio

    from gridtie.routing.request import Request

log = logging.getLogger(__name__)

# A whole answer that is larger than this is none.
WHOLE_BYTES = 16 * 1024 * 1024

# An error's body is read for its message.
ERROR_BYTES = 256 * 1024

# Copies smaller than this are not counted against `limits.held_bytes`: `limits.max_connections` bounds their number.
COUNTED_BYTES = 16 * 1024

# Seconds from the first byte of an answer's head to its end: servers write it at once.
HEAD_SECONDS = 10.0

# Seconds from the finish of an answer to the mark that ends its stream; what comes between is usage alone.
FINISH_SECONDS = 5.0

# Seconds within which a reused connection must break for the request to be sent again: a server that had closed it
# while it was idle says so within a round trip. Later, work may have begun that a second sending would bill again.
STALE_SECONDS = 0.5

# Seconds that upstream may take to end its message after the last frame, before the connection is closed.
DRAIN_SECONDS = 2.0

# While a stream passes unread it is looked for content once in this share of the time between tokens.
LOOK_SHARE = 0.05


class Phase(Enum):
    """Where an attempt is; see above."""

    QUEUED = "queued"
    CONNECTING = "connecting"
    SENT = "sent"
    READING = "reading"
    ENDED = "ended"


# A member of an Enum is looked up by a descriptor each time, and these are asked for several times a request.
QUEUED, CONNECTING, SENT, READING, ENDED = Phase


class Attempt:
    """A `Receiver` of its connection. Tells its request what came; everything else it keeps to itself."""

    # What an attempt does not pay for until it is set.
    phase = QUEUED
    _lease: Lease | None = None
    _connection: Connection | None = None
    _task: asyncio.Task[None] | None = None
    _decoder: StreamDecoder | None = None
    _message: UpstreamRequest | None = None
    _counted = 0
    _reused = False
    _resent = False
    # At a member of the pool: the slot that it holds for this, or that it must have one now; "": neither is asked.
    _slot = ""
    # The place in line that led to it.
    _place: Granted | None = None
    # No connection was to be had, for a reason that may pass: nothing was sent.
    unreached = False
    _collected: bytearray | None = None
    # Where a stream's bytes go once it is committed.
    _pass: Callable[[bytes], None] | None = None
    _look_at = 0.0
    # Headers and status of the answer; set by `on_head`.
    _status = 0
    # A function and not a bound method, which would make a cycle that only the garbage collector can free.
    _read: Callable[[Attempt, bytes, bool], None]
    # When what is waited for (`_late` names it) has to be there; until it is sent, the request's own end holds alone.
    _deadline = float("inf")
    _late = "total"

    def __init__(self, request: Request, planned: PlannedAttempt) -> None:
        self.planned = planned
        self.target = planned.target
        self._request = request
        self._runner = request.runner
        between = (request.facts.dialect, planned.target.dialect)
        held = planned.target.held_calls and "tools" in request.facts.needs
        self._codec = (HELD_CODECS if held else CODECS)[between]
        # Targets whose answers are translated are asked to stream, so that content is seen as it comes.
        self._streams = request.facts.stream or self._codec.translates
        self._started = monotonic()

    @property
    def collects(self) -> bool:
        """Whether it streams, for a client that wants a whole answer."""
        return self._streams and not self._request.facts.stream

    # -- going -------------------------------------------------------------------------------------------------------

    def start(self) -> bool:
        """Reserve and go; False where this attempt is passed over, and the next is to be taken up."""
        runner, target = self._runner, self.target
        try:
            self._endpoint = runner.endpoint(target)
            self._message = self._written()
        except Untranslatable as error:
            if not error.needs:
                self._request.abandon(malformed(str(error)))
                return True
            return self._pass_over(Failed.CAPABILITY.value, str(error), cannot(self.target.id, str(error)))
        except ValueError as error:
            unreachable = Failure(kind=Failed.UNREACHABLE, message=str(error), ours=True)
            return self._pass_over(Failed.UNREACHABLE.value, str(error), unreachable)
        self._lease = (self._request.held and self._held()) or runner.state.reserve(self.planned)
        if self._lease is not None:
            if self.planned.line:
                self._slot = relay.NOW
            self._open()
        elif self.planned.max_wait > 0:
            # One copy of a body while it waits; the other was made to see that it can be made.
            self._message = None
            self._run(self._stand() if self.planned.line else self._wait())
        else:
            return self._pass_over("skipped", "busy, or its budget is used up")
        return True

    def _held(self) -> Lease | None:
        """The slot that a relayed request came with."""
        request = self._request
        held = request.held
        if held is None or held.target_id != self.target.id:
            return None
        request.held = None
        return held

    def _written(self) -> UpstreamRequest:
        target = self.target
        options = RequestOptions(
            self._streams, target.include_usage, self.planned.output_limit, target.output_limit_field
        )
        return self._codec.request(self._request.facts, target.model, options)

    def _pass_over(self, result: str, message: str, setback: Failure | Refusal | None = None) -> bool:
        self.note(result, message)
        if setback is not None:
            self._request.set_back(setback)
        self.phase = ENDED
        return False

    async def _wait(self) -> None:
        """Queue for a slot."""
        waited_from = monotonic()
        deadline = min(waited_from + self.planned.max_wait, self._request.end)
        lease = await self._runner.state.wait(self.planned, deadline)
        self._task = None
        self._request.outcome.waited += monotonic() - waited_from
        if lease is None:
            self._pass_over("skipped", f"busy for {self.planned.max_wait:g} s")
            self._request.advance()
        else:
            self._lease = lease
            self._message = self._written()
            self._open()

    def stand(self) -> None:
        """Wait for a slot at this member of the pool and at all that are as good: the one it was sent to has none."""
        self._run(self._stand())

    async def _stand(self) -> None:
        request, waited_from = self._request, monotonic()
        seconds = request.patience(self.planned)
        granted = await stand(self._runner, request.alike(self.planned), seconds)
        self._task = None
        request.outcome.waited += monotonic() - waited_from
        if granted is None:
            self._pass_over("skipped", f"no member of the pool had a slot within {seconds:g} s")
            request.stood_in_vain(self.planned)
            return
        self._place, self.planned, self._slot = granted, granted.attempt, granted.slot
        self.target = granted.attempt.target
        self._endpoint = self._runner.endpoint(self.target)
        self._lease = self._runner.state.granted(self.planned)
        self._message = self._written()
        self._started = monotonic()
        self._open()

    def measure(self) -> None:
        """Tell how fast the answer was that is whole now."""
        usage, now = self._request.outcome.usage, monotonic()
        if usage is not None and usage.output > 0:
            self._runner.state.measured(self.target.id, usage.output, now - self._sent, now)

    def _open(self) -> None:
        """Find a connection, now that the slot is ours."""
        info, target = self._request.info, self.target
        if (target.locality != "local" or info.tags or info.relayed) and (why := self._forbidden()):
            # `decide` never plans this. Should it ever, this is the last place where it can be stopped.
            log.error("%s: the plan names %s, but %s", self._request.info.id, self.target.id, why)
            self._request.attempt_failed(Failure(kind=Failed.CAPABILITY, message=why, ours=True))
            return
        connection = self._endpoint.pool.take()
        if connection is not None:
            self._reused = True
            self._send(connection)
        else:
            self._connect()

    def _forbidden(self) -> str:
        request, target = self._request, self.target
        if target.locality != "local" and request.outcome.plan.local_only:
            return "this request must not leave for a cloud"
        return barred(request.info, target)

    def _connect(self) -> None:
        self.phase = CONNECTING
        self._reused = False
        self._run(self._connected())

    async def _connected(self) -> None:
        seconds = max(0.0, min(self._request.timeouts.connect, self._request.end - monotonic()))
        try:
            connection = await self._endpoint.pool.open(seconds)
        except ConnectTimeout as error:
            self._task = None
            self._request.outcome.attempts += 1
            setting = self._setting("connect" if seconds == self._request.timeouts.connect else "total")
            message = f"{error} ({setting})"
            self._request.attempt_failed(Failure(kind=Failed.TIMEOUT, message=message, ours=True))
        except ConnectFailed as error:
            self._task = None
            self._request.outcome.attempts += 1
            self.unreached = error.passing
            self._request.attempt_failed(Failure(kind=Failed.UNREACHABLE, message=str(error), ours=True))
        else:
            self._task = None
            self._send(connection)

    def _send(self, connection: Connection) -> None:
        request, message = self._request, self._message
        assert message is not None  # noqa: S101 (made by `start` or `_wait`, dropped by `on_head`)
        self._connection = connection
        self.phase = SENT
        outcome = request.outcome
        outcome.attempts += 1
        outcome.planned = self.planned
        outcome.target = self.target
        size = len(message.body)
        if size > COUNTED_BYTES and not self._counted:
            if not request.holding.take(size):
                request.abandon(OVERLOADED)
                return
            self._counted = size
        if self.target.locality != "local":
            try:
                self._runner.begin(outcome, self.planned)
            except LedgerError as error:
                # What cannot be metered is not sent.
                request.abandon(Refusal(status=503, code="not_metered", message=str(error), retry_after=5))
                return
        self._sent = now = monotonic()
        if self._streams:
            self._deadline, self._late = now + self.planned.first_token, "first token"
        else:
            self._deadline, self._late = now + (request.timeouts.whole or request.timeouts.total), "whole"
        if outcome.trace is not None:
            message = replace(message, headers=message.headers + outcome.trace.upstream(self.target))
        if self._slot:
            message = replace(message, headers=(*message.headers, (relay.HEADER, self._slot)))
        head = self._endpoint.head(message.method, message.path, message.headers, size)
        connection.send(head, message.body, self)

    def _run(self, work: Coroutine[object, object, None]) -> None:
        self._task = self._runner.loop.create_task(self._guarded(work))

    async def _guarded(self, work: Coroutine[object, object, None]) -> None:
        """A fault of ours inside a task must still end the request."""
        try:
            await work
        except Exception as error:
            self._task = None
            self._request.fault(error)

    # -- upstream's side (a Receiver); the connection guards these calls ---------------------------------------------

    def on_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        self.phase = READING
        self._status, self._headers = status, headers
        self._message = None
        if self._counted:
            self._give_back()
        if not 200 <= status < 300:
            self._read = Attempt._read_error
        elif not self._streams:
            self._read = Attempt._read_whole
        else:
            self._read = Attempt._read_stream
            decoder = self._codec.collect if self.collects else self._codec.stream
            self._decoder = decoder(self._answer_options())

    def _answer_options(self) -> AnswerOptions:
        facts, info = self._request.facts, self._request.info
        return AnswerOptions(
            info.prompt_tokens,
            int(time()),
            facts.wants_usage,
            facts.choices,
            facts.one_tool_call,
            facts.must_call,
            info.id,
            facts.previous,
            facts.keeps,
        )

    def on_body(self, data: bytes, last: bool) -> None:
        if self._pass is not None and not last:
            # What nearly every read of a stream comes to.
            chunk = self._decoder.feed(data)  # type: ignore[union-attr]
            if chunk.unread:
                self._request.outcome.frames += chunk.frames
                self._pass(chunk.out)
                if (now := monotonic()) >= self._look_at:
                    self._look(data, now)
            else:
                self._take(chunk)
            return
        if last:
            self._connection = None
        if self.phase is not ENDED:
            self._read(self, data, last)
        elif last:
            self._request.attempt_drained()

    def on_error(self, error: Broken) -> None:
        self._connection = None
        if self.phase is ENDED:
            self._request.attempt_drained()
        elif error.internal:
            self._request.fault(error)
        elif self._is_stale(error):
            self._send_again()
        elif not self._whole_without_its_end():
            kind = Failed.UNREACHABLE if error.unanswered else Failed.BROKEN
            self._request.attempt_failed(Failure(kind=kind, message=str(error), ours=error.unanswered))

    def _is_stale(self, error: Broken) -> bool:
        """Whether the server had closed the connection while it was idle: then nothing was begun."""
        at_once = monotonic() - self._sent < STALE_SECONDS
        return error.unanswered and self._reused and not self._resent and at_once

    def _send_again(self) -> None:
        self.note("stale", "the server had closed the idle connection; sent again over a new one")
        self._resent = True
        self._started = monotonic()
        self._deadline, self._late = self._request.end, "total"
        self._connect()

    def _whole_without_its_end(self) -> bool:
        """Whether the answer is whole although its transport broke: the protocol says when it is, not the transport."""
        if self._decoder is not None and self._decoder.whole_at_end():
            self._end_stream()
            return True
        if self._read_as_whole() and self._collected:
            whole = self._codec.whole(bytes(self._collected), self._request.info.prompt_tokens)
            if whole.failure is None:
                self._request.attempt_answered(whole)
                return True
        return False

    def _read_as_whole(self) -> bool:
        return self.phase is READING and self._read is Attempt._read_whole

    # -- reading -----------------------------------------------------------------------------------------------------

    def _read_stream(self, data: bytes, last: bool) -> None:
        if data:
            self._take(self._decoder.feed(data))  # type: ignore[union-attr]
        if last and self.phase is not ENDED:
            self._end_stream()

    def _end_stream(self) -> None:
        chunk = self._decoder.eof()  # type: ignore[union-attr]
        if not (chunk.done or chunk.failure):
            chunk.failure = Failure(kind=Failed.BROKEN, message="upstream ended its stream before the answer was")
        self._take(chunk)

    def _take(self, chunk: Chunk) -> None:
        if chunk.content or chunk.withheld:
            self._expect("between", self._request.timeouts.between_tokens)
        if not (chunk.done or chunk.failure) and not self._room_for_what_is_kept():
            self._request.abandon(OVERLOADED)
            return
        self._request.attempt_read(chunk)
        if chunk.content and self.phase is READING and self._decoder is not None and self._decoder.whole_at_end():
            self._expect("finish", FINISH_SECONDS)

    def _room_for_what_is_kept(self) -> bool:
        """Keep the account of an answer that the decoder collects; False where it is too much in sum."""
        return self._decoder is None or self._count(self._decoder.held())

    def committed(self, pass_on: Callable[[bytes], None]) -> None:
        """The first content has been passed on; what follows goes there."""
        self._pass = pass_on

    def _look(self, data: bytes, now: float) -> None:
        """Whether what passes unread has content in it."""
        if self._decoder is not None and self._decoder.says_something(data):
            between = self._request.timeouts.between_tokens
            self._look_at = now + LOOK_SHARE * between
            if self._late != "client":
                self._deadline, self._late = self._look_at + between, "between"

    def _read_whole(self, data: bytes, last: bool) -> None:
        body = data if last and self._collected is None else self._collect(data, last, WHOLE_BYTES)
        if body is None:
            return
        request = self._request
        whole = self._codec.whole(body, request.info.prompt_tokens)
        if whole.failure is not None:
            request.attempt_failed(whole.failure)
        else:
            request.attempt_answered(whole)

    def _read_error(self, data: bytes, last: bool) -> None:
        body = self._collect(data, last, ERROR_BYTES)
        if body is None:
            return
        if 300 <= self._status < 400:
            what = f"upstream redirects ({self._status}), which is not followed"
            failure = Failure(kind=Failed.BROKEN, message=what, status=self._status)
        else:
            failure = self._codec.failure(self._status, self._headers, body)
            if self._slot and relay.says_busy(body) and self._request.attempt_turned_away():
                return
        self._request.attempt_failed(failure)

    def _collect(self, data: bytes, last: bool, most: int) -> bytes | None:
        """A body that is read whole; None until it is, and when it cannot be."""
        if last and self._collected is None:
            return data
        if self._collected is None:
            self._collected = bytearray()
        self._collected += data
        # Blanks keep a connection open while an answer is computed; a body that has begun goes on.
        if not data.isspace():
            self._expect_rest()
        if len(self._collected) > most:
            message = f"upstream's answer exceeds {most} bytes"
            self._request.attempt_failed(Failure(kind=Failed.BROKEN, message=message))
        elif not self._count(len(self._collected)):
            self._request.abandon(OVERLOADED)
        elif last:
            body, self._collected = bytes(self._collected), None
            return body
        return None

    def _expect_rest(self) -> None:
        """More of a body within the time between tokens, and all of it within that of a whole answer."""
        timeouts = self._request.timeouts
        rest, end = monotonic() + timeouts.between_tokens, self._sent + (timeouts.whole or timeouts.total)
        self._deadline, self._late = (rest, "between") if rest < end else (end, "whole")

    def _count(self, size: int) -> bool:
        """Keep the account of what is collected, in steps; False where it is too much in sum."""
        if size <= self._counted + COUNTED_BYTES:
            return True
        if not self._request.holding.take(size - self._counted):
            return False
        self._counted = size
        return True

    # -- time --------------------------------------------------------------------------------------------------------

    def _expect(self, what: str, seconds: float) -> None:
        if self._late != "client":
            self._deadline, self._late = monotonic() + seconds, what

    def pause(self) -> None:
        """The client takes no more for now, so no more is read for it."""
        # Whose fault it is that nothing moves is the client connection's to judge; upstream is not late.
        self._deadline, self._late = self._request.end, "client"
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        """The client takes more."""
        self._deadline, self._late = monotonic() + self._request.timeouts.between_tokens, "between"
        if self._connection is not None:
            self._connection.resume()

    def sweep(self, now: float) -> None:
        """End what is late."""
        if self.phase is ENDED:
            if now >= self._deadline:
                self._request.attempt_drained()
            return
        connection = self._connection
        if now >= self._request.end:
            self._expire(f"not done within {self._request.timeouts.total:g} s ({self._setting('total')})")
        elif now >= self._deadline:
            self._expire(self._lateness())
        elif connection is not None and connection.head_begun and now - connection.head_begun > HEAD_SECONDS:
            self._expire(f"an answer's head began and did not end within {HEAD_SECONDS:g} s")

    def _expire(self, message: str) -> None:
        if self.phase is READING and self._whole_without_its_end():
            return
        if self.phase is QUEUED:
            # There is nothing yet that could fail.
            self.note("skipped", message)
            self._request.fail(Failure(kind=Failed.TIMEOUT, message=message, ours=True))
        else:
            self._request.attempt_failed(Failure(kind=Failed.TIMEOUT, message=message, ours=True))

    def _lateness(self) -> str:
        timeouts = self._request.timeouts
        if self._late == "first token":
            name = "first_token" if self.planned.first_token == timeouts.first_token else "first_token_cold"
            return f"no first token within {self.planned.first_token:g} s ({self._setting(name)})"
        if self._late == "whole":
            setting = self._setting("whole" if timeouts.whole else "total")
            return f"no whole answer within {timeouts.whole or timeouts.total:g} s ({setting})"
        if self._late == "finish":
            return f"its stream did not end within {FINISH_SECONDS:g} s after the answer's finish"
        return f"nothing more within {timeouts.between_tokens:g} s ({self._setting('between_tokens')})"

    def _setting(self, name: str) -> str:
        return self._request.outcome.plan.bounds.setting(f"timeouts.{name}")

    # -- ends --------------------------------------------------------------------------------------------------------

    def note(self, result: str, message: str = "") -> None:
        """Enter into the record of the request what became of this."""
        outcome = self._request.outcome
        outcome.tries.append(
            Try(
                target=self.target.id,
                locality=self.target.locality,
                outcome=result,
                duration=monotonic() - self._started,
                message=message,
            )
        )
        if outcome.trace is not None:
            outcome.trace.tried(self.planned, self._started, outcome.tries[-1])

    @property
    def begun(self) -> bool:
        """Whether there is something that a stop would break off: a place in a queue, or a slot."""
        return self._lease is not None or self._task is not None

    def metered(self) -> Usage | None:
        """What is known of the tokens of an answer that is given up; None where nothing of it has come."""
        return None if self._decoder is None or self.phase is not READING else self._decoder.usage()

    def drain(self) -> bool:
        """The answer is whole; whether upstream's message has ended, too. The slot stays taken until it has."""
        self.phase = ENDED
        self._pass = None
        if self._connection is None:
            return True
        self._deadline = monotonic() + DRAIN_SECONDS
        # A client that reads slowly must not hold it up: nothing more is passed on.
        self._connection.resume()
        return False

    def close(self) -> None:
        """Stop whatever is under way, and close the connection; what was reserved is kept. Idempotent."""
        self.phase = ENDED
        self._pass = self._collected = self._message = None
        if self._counted:
            self._give_back()
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._connection is not None:
            self._connection.abort()
            self._connection = None
        if self._place is not None:
            # Where the request never came there, nobody else shall wait for it.
            self._place.leave()
            self._place = None

    def release(self) -> None:
        """Give slot and reserved money back; after `close`, for the slot stands for the socket. Idempotent."""
        if self._lease is not None:
            self._lease.release()
            self._lease = None

    def _give_back(self) -> None:
        self._request.holding.give(self._counted)
        self._counted = 0
