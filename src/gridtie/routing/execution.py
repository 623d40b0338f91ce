"""One request on its way through its plan: attempt after attempt until one answers, and then that answer alone.

Callbacks, not tasks: on the way that most requests take (a slot is free, a connection is open) nothing is
scheduled and no timer is set. Only waiting for a slot and opening a connection are tasks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from time import monotonic, time
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gridtie.config.schema import Routing
from gridtie.dialects.codecs import codec
from gridtie.dialects.types import Call, Chunk, Codec, Failed, Failure, StreamDecoder, Untranslatable
from gridtie.ledger.entry import Try
from gridtie.ledger.ledger import LedgerError
from gridtie.providers.target import Target
from gridtie.routing.outcome import Outcome, summary
from gridtie.routing.plan import PlannedAttempt, Refusal
from gridtie.routing.ports import Client, Lease
from gridtie.routing.refusals import barred
from gridtie.upstream.connection import Connection
from gridtie.upstream.endpoint import Endpoint
from gridtie.upstream.errors import Broken, ConnectFailed, ConnectTimeout

if TYPE_CHECKING:
    from gridtie.routing.executor import Executor

log = logging.getLogger(__name__)

# What is held back before the commit point: frames without content, such as roles and pings. Bifrost's bounds.
HELD_FRAMES = 64
HELD_BYTES = 256 * 1024

# A whole answer that is larger than this is none.
WHOLE_BYTES = 16 * 1024 * 1024

# An error's body is read for its message.
ERROR_BYTES = 256 * 1024

# Seconds without content after which a stream gets its status and a comment, and again as often. Many clients
# and proxies give up on a silent connection after 30 or 60.
SIGN_OF_LIFE = 10.0

# Seconds that upstream may take to end its message after the last frame, before the connection is closed.
DRAIN = 2.0


class Execution:
    """The state machine of one request. `start` it once; `cancel`, `pause` and `resume` are the client's."""

    # What belongs to the attempt at work; set by `_take`.
    _attempt: PlannedAttempt
    _target: Target
    _codec: Codec
    _call: Call
    _endpoint: Endpoint
    # What belongs to its answer; set by `on_head`.
    # A function and not a bound method, which would make a cycle that only the garbage collector can free.
    _read: Callable[[Execution, bytes, bool], None]
    _decoder: StreamDecoder
    # Where the rest of a stream goes; set by the commit.
    _more: Callable[[bytes], None]

    # What a request does not pay for until it is set.
    _index = 0
    _over = False
    _late = "total"
    _resendable = False
    # A stream that is committed and has not ended.
    _passing = False
    _last: Failure | None = None
    _lease: Lease | None = None
    _connection: Connection | None = None
    _task: asyncio.Task[None] | None = None
    _held_bytes = 0
    _held_frames = 0

    def __init__(
        self, executor: Executor, outcome: Outcome, body: bytes, wants_usage: bool, routing: Routing, client: Client
    ) -> None:
        self.outcome = outcome
        self._executor = executor
        self._client = client
        self._body = body
        self._wants_usage = wants_usage
        self._routing = routing
        self._stream = outcome.ask.stream
        self._between = routing.timeouts.between_tokens
        # Nothing goes on beyond this.
        self._end = outcome.started + routing.timeouts.total
        # When what is waited for now (`_late` names it) has to be there.
        self._deadline = self._end
        self._next_sign = outcome.started + SIGN_OF_LIFE
        self._held: list[bytes] = []

    # -- the client's side -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Send the first attempt, or refuse."""
        self._executor.sweeper.add(self)
        if self.outcome.plan.refusal is None:
            self._advance()
        else:
            self.abandon(self.outcome.plan.refusal)

    def cancel(self) -> None:
        """The client has gone: upstream is stopped at once. Idempotent."""
        if self._over:
            return
        self.outcome.gone = True
        if self._lease is not None or self._task is not None:
            self._note("cancelled", "the client left")
        self._stop()
        try:
            self._client.left(self.outcome)
        finally:
            self._release()

    def abandon(self, refusal: Refusal) -> None:
        """The router cannot or will not go on with it."""
        if self._over:
            return
        if self._lease is not None or self._task is not None:
            self._note("cancelled", refusal.message)
        self._stop()
        try:
            self._client.refuse(self.outcome, refusal)
        finally:
            self._release()

    def pause(self) -> None:
        """The client takes no more for now, so no more is read for it."""
        if self._over or not self.outcome.committed:
            return
        # Whose fault it is that nothing moves is the front's to judge; upstream is not late.
        self._deadline, self._late = self._end, "client"
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        """The client takes more."""
        if self._over or not self.outcome.committed:
            return
        self._expect("between", self._between)
        if self._connection is not None:
            self._connection.resume()

    def sweep(self, now: float) -> None:
        """Called ten times a second: end what is late, reassure who waits."""
        if now >= self._deadline or now >= self._end:
            self._expire(now)
        elif self._stream and now >= self._next_sign and not (self.outcome.committed or self._over):
            self._next_sign = now + SIGN_OF_LIFE
            self._client.sign_of_life(self.outcome)

    # -- walking the plan --------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Take up the next attempt that can be taken up; fail if there is none."""
        attempts = self.outcome.plan.attempts
        limit = self._routing.limits.attempts
        while self._index < len(attempts) and self.outcome.attempts < limit and monotonic() < self._end:
            self._index += 1
            if self._take(attempts[self._index - 1]):
                return
        last = self._last or Failure(
            kind=Failed.BUSY, message="every target is busy, or its budget is used up", retry_after=1.0
        )
        self._fail(summary(self.outcome.tries, last))

    def _take(self, attempt: PlannedAttempt) -> bool:
        """Reserve and go; False if this attempt is to be skipped."""
        self._attempt, self._target = attempt, attempt.target
        self._attempt_started = monotonic()
        try:
            self._endpoint = self._executor.endpoint(self._target)
            self._codec = codec(self.outcome.ask.surface, self._target.dialect)
            self._call = self._codec.call(
                self._body, self._target.model, stream=self._stream, include_usage=self._target.include_usage
            )
        except Untranslatable as error:
            if error.needs:
                return self._skip(Failure(kind=Failed.CAPABILITY, message=str(error)))
            # Wrong everywhere: no other target can make sense of it, and one might bill for trying.
            self._note(Failed.INVALID.value, str(error))
            self._fail(Failure(kind=Failed.INVALID, message=str(error)))
            return True
        except ValueError as error:
            return self._skip(Failure(kind=Failed.UNREACHABLE, message=str(error)))
        self._lease = self._executor.state.reserve(attempt)
        if self._lease is not None:
            self._open()
        elif attempt.max_wait > 0:
            self._run(self._wait())
        else:
            self._note("skipped", "busy, or its budget is used up")
            return False
        return True

    def _skip(self, failure: Failure) -> bool:
        self._note(failure.kind.value, failure.message)
        self._last = failure
        return False

    async def _wait(self) -> None:
        """Queue for a slot."""
        deadline = min(monotonic() + self._attempt.max_wait, self._end)
        lease = await self._executor.state.wait(self._attempt, deadline)
        self._task = None
        if lease is None:
            self._note("skipped", f"busy for {self._attempt.max_wait:g} s")
            self._advance()
        else:
            self._lease = lease
            self._open()

    def _open(self) -> None:
        """Find a connection, now that the slot is ours."""
        if why := self._forbidden():
            # `decide` never plans this. Should it ever, this is the last place where it can be stopped.
            log.error("%s: the plan names %s, but %s", self.outcome.ask.id, self._target.id, why)
            self._close_attempt()
            self._skip(Failure(kind=Failed.CAPABILITY, message=why))
            return self._advance()
        self.outcome.attempts += 1
        connection = self._endpoint.bucket.take()
        if connection is not None:
            self._resendable = True
            self._send(connection)
        else:
            self._resendable = False
            self._run(self._connect())
        return None

    def _forbidden(self) -> str:
        if self.outcome.plan.local_only and self._target.locality != "local":
            return "this request must not leave for a cloud"
        return barred(self.outcome.ask, self._target)

    async def _connect(self) -> None:
        seconds = max(0.0, min(self._routing.timeouts.connect, self._end - monotonic()))
        try:
            connection = await self._endpoint.bucket.open(seconds)
        except ConnectTimeout as error:
            self._task = None
            self._attempt_failed(Failure(kind=Failed.TIMEOUT, message=str(error)))
        except ConnectFailed as error:
            self._task = None
            self._attempt_failed(Failure(kind=Failed.UNREACHABLE, message=str(error)))
        else:
            self._task = None
            self._send(connection)

    def _send(self, connection: Connection) -> None:
        target, call = self._target, self._call
        self._connection = connection
        self.outcome.target = target
        if target.locality != "local":
            try:
                self._executor.begin(self.outcome, self._attempt)
            except LedgerError as error:
                # What cannot be metered is not sent.
                self.abandon(Refusal(status=503, code="not_metered", message=str(error)))
                return
        if self._stream:
            self._expect("first token", self._attempt.first_token)
        connection.send(self._endpoint.head(call.method, call.path, call.headers, len(call.body)), call.body, self)

    def _run(self, work: Coroutine[object, object, None]) -> None:
        self._task = self._executor.loop.create_task(self._guarded(work))

    async def _guarded(self, work: Coroutine[object, object, None]) -> None:
        """A fault of ours inside a task must still end the request."""
        try:
            await work
        except Exception:
            self._task = None
            log.exception("%s: failed inside the router", self.outcome.ask.id)
            self.abandon(Refusal(status=500, code="internal_error", message="the router failed; its log says why"))

    # -- upstream's side (a Receiver) --------------------------------------------------------------------------------

    def on_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        self._status, self._headers = status, headers
        if not 200 <= status < 300:
            self._read = Execution._read_error
        elif self._stream:
            self._decoder = self._codec.stream(
                client_wants_usage=self._wants_usage,
                prompt_estimate=self.outcome.ask.prompt_tokens,
                created=int(time()),
            )
            self._read = Execution._read_stream
        else:
            self._read = Execution._read_whole

    def on_body(self, data: bytes, last: bool) -> None:
        if self._passing and not last:
            # What nearly every read of a stream comes to; the same as below in fewer steps.
            chunk = self._decoder.feed(data)
            if chunk.failure is None and chunk.usage is None and not chunk.done:
                self.outcome.frames += chunk.frames
                self._more(chunk.out)
                if self._late == "between":
                    self._deadline = monotonic() + self._between
            else:
                self._take_chunk(chunk)
            return
        if last:
            self._connection = None
        if not self._over:
            self._read(self, data, last)
        elif last:
            self._drained()

    def on_error(self, error: Broken) -> None:
        self._connection = None
        if self._over:
            self._drained()
        elif error.unanswered and self._resendable:
            # The server closed it while it was idle. Nothing came back, so nothing was begun that could be doubled.
            self._resendable = False
            self._run(self._connect())
        else:
            kind = Failed.UNREACHABLE if error.unanswered else Failed.BROKEN
            self._attempt_failed(Failure(kind=kind, message=str(error)))

    def _read_stream(self, data: bytes, last: bool) -> None:
        chunk = self._decoder.feed(data) if data else Chunk()
        if self._take_chunk(chunk) and last:
            chunk = self._decoder.eof()
            if not (chunk.done or chunk.failure):
                chunk.failure = Failure(kind=Failed.BROKEN, message="upstream ended its stream before the answer was")
            self._take_chunk(chunk)

    def _take_chunk(self, chunk: Chunk) -> bool:
        """Pass on what came; False once this attempt is over."""
        outcome = self.outcome
        outcome.frames += chunk.frames
        if chunk.usage is not None:
            outcome.usage = chunk.usage
        if not outcome.committed:
            return self._hold(chunk)
        if chunk.failure is not None or chunk.done:
            self._end_stream(chunk, chunk.out)
            return False
        self._more(chunk.out)
        if self._late == "between":
            self._expect("between", self._between)
        return True

    def _hold(self, chunk: Chunk) -> bool:
        """Before the commit point: keep back what has no content, so that another target may still answer."""
        if chunk.failure is not None and not chunk.content:
            self._attempt_failed(chunk.failure)
            return False
        if chunk.out:
            self._held.append(chunk.out)
            self._held_bytes += len(chunk.out)
        self._held_frames += chunk.frames
        if not chunk.content and self._held_frames < HELD_FRAMES and self._held_bytes < HELD_BYTES:
            return True
        outcome = self.outcome
        outcome.committed = True
        outcome.first_token = monotonic() - outcome.started
        data = b"".join(self._held)
        self._held = []
        ends = chunk.failure is not None or chunk.done
        self._expect("between", self._between)
        self._more = self._client.commit(outcome, b"" if ends else data)
        self._passing = not ends
        if ends:
            self._end_stream(chunk, data)
        return not ends

    def _end_stream(self, chunk: Chunk, data: bytes) -> None:
        if chunk.failure is not None:
            self._more(data)
            self._attempt_failed(chunk.failure)
            return
        self._succeed()
        try:
            self._client.finish(self.outcome, data)
        finally:
            self._settled()

    def _read_whole(self, data: bytes, last: bool) -> None:
        body = self._collect(data, last, WHOLE_BYTES)
        if body is None:
            return
        whole = self._codec.whole(body, prompt_estimate=self.outcome.ask.prompt_tokens, created=int(time()))
        self.outcome.usage = whole.usage
        if whole.failure is not None:
            self._attempt_failed(whole.failure)
            return
        self._succeed()
        try:
            self._client.answer(self.outcome, whole.body)
        finally:
            self._settled()

    def _read_error(self, data: bytes, last: bool) -> None:
        body = self._collect(data, last, ERROR_BYTES)
        if body is None:
            return
        if 300 <= self._status < 400:
            failure = Failure(kind=Failed.BROKEN, message=f"upstream redirects ({self._status}), which is not followed")
        else:
            failure = self._codec.failure(self._status, self._headers, body)
        self._attempt_failed(failure)

    def _collect(self, data: bytes, last: bool, most: int) -> bytes | None:
        """A body that is read whole; None until it is, and when it is too large."""
        if last and not self._held:
            return data
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > most:
            self._attempt_failed(Failure(kind=Failed.BROKEN, message=f"upstream's answer exceeds {most} bytes"))
        elif last:
            return b"".join(self._held)
        return None

    # -- ends --------------------------------------------------------------------------------------------------------

    def _succeed(self) -> None:
        """The answer is whole."""
        self._note("ok")
        self._executor.state.succeeded(self._target.id)
        self._over, self._passing = True, False
        self.outcome.duration = monotonic() - self.outcome.started

    def _settled(self) -> None:
        """The slot stays taken until upstream's message ends too, which is mostly now."""
        if self._connection is None:
            self._drained()
            return
        self._deadline = monotonic() + DRAIN
        # A client that reads slowly must not hold it up: nothing more is passed on.
        self._connection.resume()

    def _drained(self) -> None:
        self._close_attempt()
        self._executor.sweeper.discard(self)

    def _attempt_failed(self, failure: Failure) -> None:
        """This attempt is over without an answer: on to the next where that is still allowed."""
        outcome = self.outcome
        if failure.kind is Failed.AUTH:
            # For the operator alone: such messages quote parts of the key.
            log.error("%s refuses our key: %s", self._target.id, failure.message)
            failure = replace(failure, message=f"it refuses the router's key (HTTP {failure.status})")
        self._note(failure.kind.value, failure.message)
        self._executor.state.failed(self._target.id, failure, monotonic())
        self._close()
        if outcome.committed or failure.kind is Failed.INVALID:
            self._fail(failure)
            return
        self._release()
        self._last = failure
        self._held, self._held_bytes, self._held_frames = [], 0, 0
        outcome.target, outcome.usage, outcome.frames = None, None, 0
        self._deadline, self._late = self._end, "total"
        self._advance()

    def _fail(self, failure: Failure) -> None:
        self.outcome.failure = failure
        self._stop()
        try:
            self._client.fail(self.outcome, failure)
        finally:
            self._release()

    def _stop(self) -> None:
        """Nothing more is done for this request. What it reserved is held until the books are kept."""
        self._over, self._passing = True, False
        self._close()
        self._executor.sweeper.discard(self)
        self.outcome.duration = monotonic() - self.outcome.started

    def _close_attempt(self) -> None:
        """Close the socket, then give the slot back, in this order: the slot stands for the socket."""
        self._close()
        self._release()

    def _close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._connection is not None:
            self._connection.abort()
            self._connection = None

    def _release(self) -> None:
        if self._lease is not None:
            self._lease.release()
            self._lease = None

    def _note(self, result: str, message: str = "") -> None:
        self.outcome.tries.append(
            Try(
                target=self._target.id,
                locality=self._target.locality,
                outcome=result,
                duration=monotonic() - self._attempt_started,
                message=message,
            )
        )

    # -- time-outs ---------------------------------------------------------------------------------------------------

    def _expect(self, what: str, seconds: float) -> None:
        self._deadline, self._late = monotonic() + seconds, what

    def _expire(self, now: float) -> None:
        if self._over:
            self._drained()
            return
        message = self._lateness(now)
        if self._task is not None and self._lease is None:
            # Still queueing: there is no attempt that could fail.
            self._note("skipped", message)
            self._fail(Failure(kind=Failed.TIMEOUT, message=message))
        else:
            self._attempt_failed(Failure(kind=Failed.TIMEOUT, message=message))

    def _lateness(self, now: float) -> str:
        if now >= self._end:
            return f"not done within {self._routing.timeouts.total:g} s (timeouts.total)"
        if self._late == "first token":
            return f"no first token within {self._attempt.first_token:g} s"
        return f"nothing more within {self._between:g} s (timeouts.between_tokens)"
