"""One request on its way through its plan: attempt after attempt until one answers, and then that answer alone.

    walking ──► trying ──► committed ──► over
       ▲          │ │                     ▲ ▲
       └──────────┘ └─────────────────────┘ │   an attempt failed: the next; a whole answer: over
       └────────────────────────────────────┘   no attempt is left; refused; the client left

walking      between attempts; waiting, if a target is to be asked again
trying       an attempt is under way; the client has got nothing that would bind us to its target
committed    the first content of a stream has been passed on: no other target will answer any more
over         the client has its answer or error, and the request is in the ledger, once; upstream may still be
             ending its message

Callbacks, not tasks: on the way that most requests take (a slot is free, a connection is open) nothing is scheduled
and no timer is set. Only waiting for a slot and opening a connection are tasks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from enum import Enum
from time import monotonic
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gridtie.config.schema import Routing
from gridtie.dialects.facts import Facts
from gridtie.dialects.types import Chunk, Failed, Failure, Whole
from gridtie.routing import larger_context
from gridtie.routing.attempt import COUNTED_BYTES, Attempt
from gridtie.routing.held_bytes import Holding
from gridtie.routing.outcome import Outcome, telling
from gridtie.routing.plan import PlannedAttempt, Refusal
from gridtie.routing.ports import Client, Lease
from gridtie.routing.refusals import ALL_BUSY, INTERNAL, OVERLOADED, paused
from gridtie.routing.retry import Retrying, least_wait

if TYPE_CHECKING:
    from gridtie.routing.runner import Runner

log = logging.getLogger(__name__)

# How the client is told of the end of an answer: `Client.answer` or `Client.finish`.
Tell = Callable[[Outcome, bytes], None]

# What is held back before the commit point: frames without content, such as roles. An upstream that sends more of
# them than this without a word does not answer.
HELD_BYTES = 256 * 1024

# Seconds without content after which a stream gets its status and a comment, and again as often. Many clients
# and proxies give up on a silent connection after 30 or 60.
SIGN_OF_LIFE = 10.0

# A member of the pool that has no slot sends a request to the others so often at most; then it is a failure like any.
TURNED_AWAY = 4

# Failures that are the client's own, or meant for it: no other target is asked.
_FINAL = frozenset({Failed.INVALID, Failed.POLICY})


class Phase(Enum):
    """Where a request is; see above."""

    WALKING = "walking"
    TRYING = "trying"
    COMMITTED = "committed"
    OVER = "over"


# A member of an Enum is looked up by a descriptor each time, and these are asked for several times a request.
WALKING, TRYING, COMMITTED, OVER = Phase


class Request:
    """`start` it once; `cancel`, `pause` and `resume` are the client's, `attempt_*` its attempt's."""

    # What a request does not pay for until it is set.
    phase = WALKING
    _holding: Holding | None = None
    # What stood in the way so far: the failures of attempts, and what could not even be said to a target; and what
    # upstream itself said of failures, by the place of the try: for the client, and kept nowhere.
    _setbacks: tuple[Failure | Refusal, ...] = ()
    _details: Mapping[int, str] = {}
    _next_sign = 0.0
    _attempt: Attempt | None = None
    _next = 0
    _held: list[bytes] | None = None
    _held_bytes = 0
    # From the first failure on, where targets may be asked again.
    _retrying: Retrying | None = None
    # Of a relayed one: the slot that is held for it.
    held: Lease | None = None
    # Lines of the pool in which it has stood in vain, and how often a member had no slot for it after all.
    _lines: frozenset[str] = frozenset()
    _turned_away = 0
    # Where the rest of a stream goes; set by the commit.
    _write: Callable[[bytes], None]

    def __init__(
        self, runner: Runner, outcome: Outcome, facts: Facts, routing: Routing, client: Client, session: bytes = b""
    ) -> None:
        """`session`: what it is part of, where that may matter (`routing.sessions`)."""
        self.runner = runner
        self._session = session
        self.outcome = outcome
        self.info = outcome.info
        self.facts = facts
        self.timeouts = timeouts = outcome.plan.bounds.timeouts
        # Nothing goes on beyond this.
        self.end = outcome.started + timeouts.total
        self._routing = routing
        self._client = client

    @property
    def holding(self) -> Holding:
        """The account of what this request holds beside its body."""
        if self._holding is None:
            self._holding = self.runner.held.holding(self.info.key)
        return self._holding

    # -- the client's side -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Send the first attempt, or refuse."""
        self.runner.sweeper.add(self)
        try:
            if self.outcome.plan.refusal is None:
                self.advance()
            else:
                self.abandon(self.outcome.plan.refusal)
        except Exception as error:
            self.fault(error)

    def start_with(self, held: Lease) -> None:
        """The same with a slot that is held for it; given back where it is of no use."""
        self.held = held
        self.start()
        if self.held is not None:
            self.held.release()
            self.held = None

    def cancel(self) -> None:
        """The client has gone: upstream is stopped at once. Idempotent."""
        if self.phase is OVER:
            return
        self.outcome.gone = True
        self._stop("the client left")
        try:
            self._client.left(self.outcome)
        finally:
            self._release()

    def abandon(self, refusal: Refusal) -> None:
        """The router cannot or will not go on with it. Idempotent."""
        if self.phase is OVER:
            return
        self._stop(refusal.message)
        self.outcome.refusal = refusal
        try:
            self._client.refuse(self.outcome, refusal)
        finally:
            self._release()

    def end_for(self, refusal: Refusal) -> None:
        """Somebody who may has ended it: upstream is stopped, and the client told why. Idempotent.

        It is metered as one whose client left: a cloud may bill what it has made until now.
        """
        if self.phase is not OVER:
            self.outcome.gone = True
            self.abandon(refusal)

    def fault(self, error: BaseException) -> None:
        """Something of ours is broken: the log says what, and the client does not wait for it."""
        log.error("%s: failed inside the router", self.info.id, exc_info=error)
        self.abandon(INTERNAL)

    def pause(self) -> None:
        """The client takes no more for now."""
        if self.phase is COMMITTED and self._attempt is not None:
            self._attempt.pause()

    def resume(self) -> None:
        """The client takes more."""
        if self.phase is COMMITTED and self._attempt is not None:
            self._attempt.resume()

    def sweep(self, now: float) -> None:
        """Called ten times a second: end what is late, reassure who waits."""
        try:
            if self._attempt is not None:
                self._attempt.sweep(now)
            else:
                self._ask_again(now)
            if self.facts.stream and self.phase in (WALKING, TRYING):
                self._reassure(now)
        except Exception as error:
            self.fault(error)

    def _ask_again(self, now: float) -> None:
        """Where its time has come; what the sweep finds too late is not asked."""
        planned = self._retrying.taken(now) if self._retrying is not None else None
        if planned is not None:
            self._attempt = attempt = Attempt(self, planned)
            self.phase = TRYING
            if now >= self.end or not attempt.start():
                self.advance()

    def _reassure(self, now: float) -> None:
        if not self._next_sign:
            self._next_sign = self.outcome.started + SIGN_OF_LIFE
        if now >= self._next_sign:
            self._next_sign = now + SIGN_OF_LIFE
            self._client.sign_of_life(self.outcome)

    # -- walking the plan --------------------------------------------------------------------------------------------

    def advance(self) -> None:
        """Take up the next attempt that can be taken up; tell the client if there is none."""
        for planned in self.outcome.plan.attempts[self._next :]:
            if self._next and (self._spent() or self._pauses()):
                break
            self._next += 1
            if planned.line and self._done_with(planned):
                continue
            self._attempt = attempt = Attempt(self, planned)
            self.phase = TRYING
            if attempt.start():
                return
        self.phase = WALKING
        if not self._pauses():
            self._give_up()

    # -- members of a pool -------------------------------------------------------------------------------------------

    def _done_with(self, planned: PlannedAttempt) -> bool:
        """Whether a member of the pool need not be asked: its line was stood in vain, or it has failed here."""
        return planned.line in self._lines or any(
            each.target == planned.target.id and each.outcome not in ("skipped", "stale") for each in self.outcome.tries
        )

    def alike(self, planned: PlannedAttempt) -> list[PlannedAttempt]:
        """The members of the pool that a request waits at together with one of them."""
        attempts = self.outcome.plan.attempts
        return [each for each in attempts if each.line == planned.line and not self._done_with(each)]

    def patience(self, planned: PlannedAttempt) -> float:
        """Seconds to stand in line for a member: none where something else of ours could begin now."""
        others = (each for each in self.outcome.plan.attempts if not each.line and each.target.locality == "local")
        if any(self.runner.state.free(each) for each in others):
            return 0.0
        return max(0.0, min(planned.max_wait, self.end - monotonic()))

    def _stand_elsewhere(self, failed: PlannedAttempt) -> bool:
        """A member has failed: on to those that are as good, whether they were full before or not asked yet."""
        others = self.alike(failed)
        if not others or self._spent() or failed.line in self._lines:
            return False
        self._attempt = again = Attempt(self, others[0])
        self.phase = TRYING
        again.stand()
        return True

    def stood_in_vain(self, planned: PlannedAttempt) -> None:
        """No member had a slot."""
        self._lines |= {planned.line}
        self.advance()

    def attempt_turned_away(self) -> bool:
        """A member has no slot, and has not begun: the first of all that has one gets it. False: that is a failure."""
        attempt, outcome = self._attempt, self.outcome
        if attempt is None or self._turned_away >= TURNED_AWAY:
            return False
        self._turned_away += 1
        self.runner.state.full(attempt.target.id)
        attempt.note("skipped", "every slot of it is taken")
        attempt.close()
        attempt.release()
        outcome.attempts -= 1
        outcome.planned, outcome.target = None, None
        self._attempt = again = Attempt(self, attempt.planned)
        again.stand()
        return True

    def _spent(self) -> bool:
        return self.outcome.attempts >= self._routing.limits.attempts or monotonic() >= self.end

    def _pauses(self) -> bool:
        """Whether a target is to be asked again before the next place is: `sweep` takes it up when it is time."""
        if self._retrying is None or self._spent():
            return False
        attempts = self.outcome.plan.attempts
        if not self._retrying.choose(attempts[self._next - 1].rank, attempts[self._next :], self.end):
            return False
        self._attempt = None
        return True

    def _give_up(self) -> None:
        """Nothing answers: tell the client why, by what it can act on."""
        outcome = self.outcome
        told = telling(self._setbacks, outcome.tries, self._details, paused(outcome.plan.skipped)) or ALL_BUSY
        if isinstance(told, Refusal):
            self.abandon(told)
        else:
            self.fail(told)

    # -- the attempt's side ------------------------------------------------------------------------------------------

    def attempt_read(self, chunk: Chunk) -> None:
        """What a read of a stream came to."""
        outcome = self.outcome
        outcome.frames += chunk.frames
        if chunk.usage is not None:
            outcome.usage = chunk.usage
        if chunk.content and outcome.first_token is None:
            outcome.first_token = monotonic() - outcome.started
        if self._attempt is not None and self._attempt.collects:
            self._collect(chunk)
        elif self.phase is COMMITTED:
            self._pass_on(chunk, chunk.out)
        else:
            self._hold_back(chunk)

    def _collect(self, chunk: Chunk) -> None:
        """An answer that the client wants whole: until it is, another target may give it."""
        if chunk.failure is not None:
            self.attempt_failed(chunk.failure)
        elif chunk.done:
            self._finish(self._client.answer, chunk.out)

    def _hold_back(self, chunk: Chunk) -> None:
        """Before the commit point: keep back what has no content, so that another target may still answer."""
        if chunk.failure is not None and not chunk.content:
            self.attempt_failed(chunk.failure)
            return
        if not chunk.content:
            self._keep(chunk.out)
            return
        held = b"".join([*self._held, chunk.out]) if self._held else chunk.out
        self._held = None
        self._commit(chunk, held)

    def _keep(self, data: bytes) -> None:
        if not data:
            return
        if self._held is None:
            self._held = []
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > HELD_BYTES:
            message = f"it sent {HELD_BYTES} bytes of a stream without any content"
            self.attempt_failed(Failure(kind=Failed.BROKEN, message=message))
        elif self._held_bytes > COUNTED_BYTES and not self.holding.take(len(data)):
            self.abandon(OVERLOADED)

    def _commit(self, chunk: Chunk, data: bytes) -> None:
        outcome = self.outcome
        outcome.committed = True
        self.phase = COMMITTED
        if self._session:
            self._stay()
        ends = chunk.failure is not None or chunk.done
        self._write = self._client.commit(outcome, b"" if ends else data)
        if ends:
            self._pass_on(chunk, data)
        elif self._attempt is not None and self.phase is COMMITTED:
            self._attempt.committed(self._write)

    def _pass_on(self, chunk: Chunk, data: bytes) -> None:
        if chunk.failure is not None:
            self._write(data)
            self.attempt_failed(chunk.failure)
        elif chunk.done:
            self._finish(self._client.finish, data)
        else:
            self._write(data)

    def attempt_answered(self, whole: Whole) -> None:
        """A whole answer."""
        self.outcome.usage = whole.usage
        self._finish(self._client.answer, whole.body)

    def attempt_failed(self, failure: Failure) -> None:
        """The attempt is over without an answer: on to the next where that is still allowed."""
        attempt, outcome = self._attempt, self.outcome
        if attempt is None or self.phase is OVER:
            return
        if failure.kind is Failed.AUTH:
            # For the operator alone: such messages quote parts of the key.
            log.error("%s refuses our key: %s", attempt.target.id, failure.message)
            what = "says that the account has no credit" if failure.status in (402, 429) else "refuses the router's key"
            failure = replace(failure, message=f"it {what} (HTTP {failure.status})", detail="")
        if failure.kind is Failed.CONTEXT:
            failure = replace(failure, advice=larger_context.advice(attempt.target, failure.prompt_tokens))
        attempt.note(failure.kind.value, failure.message)
        if failure.detail:
            self._details = {**self._details, len(outcome.tries) - 1: failure.detail}
        self.runner.state.failed(attempt.target.id, failure, monotonic())
        self._meter(attempt)
        attempt.close()
        if self.phase is COMMITTED:
            self.fail(failure)
            return
        self.set_back(failure)
        if failure.kind in _FINAL:
            self._give_up()
            return
        self._note_for_later(attempt, failure)
        attempt.release()
        if self._holding is not None:
            self._holding.release()
        self._held, self._held_bytes = None, 0
        outcome.planned, outcome.target, outcome.usage, outcome.frames, outcome.first_token = None, None, None, 0, None
        self.phase = WALKING
        if not (attempt.planned.line and self._stand_elsewhere(attempt.planned)):
            self.advance()

    def _note_for_later(self, attempt: Attempt, failure: Failure) -> None:
        """Where asking the same target again may help, and somebody wants that."""
        outcome, retries = self.outcome, self.outcome.plan.bounds.retries
        if not retries.count or outcome.first_token is not None:
            return
        least = least_wait(failure, unreached=attempt.unreached)
        if least is not None:
            now = monotonic()
            if self._retrying is None:
                self._retrying = Retrying(retries, self.runner.lot)
            # A target that is left alone is left alone by retries as well.
            least = max(least, self.runner.state.retry_at(attempt.target.id) - now)
            self._retrying.failed(attempt.planned, least, now)

    def set_back(self, by: Failure | Refusal) -> None:
        """Something stands in the way of an attempt; the client is told if nothing answers in the end."""
        self._setbacks = (*self._setbacks, by)

    def attempt_drained(self) -> None:
        """Upstream's message has ended after the answer, or it took too long."""
        if self._attempt is not None:
            self._attempt.close()
        self.runner.sweeper.discard(self)
        self._release()

    # -- ends --------------------------------------------------------------------------------------------------------

    def _finish(self, tell: Tell, data: bytes) -> None:
        """The answer is whole."""
        attempt, outcome = self._attempt, self.outcome
        if attempt is None or self.phase is OVER:
            return
        attempt.note("ok")
        self.runner.state.succeeded(attempt.target.id)
        if attempt.target.lends:
            attempt.measure()
        if self._session:
            self._stay()
        self.phase = OVER
        outcome.duration = monotonic() - outcome.started
        if self._holding is not None:
            self._holding.release()  # the client's connection counts the answer from here on
        try:
            tell(outcome, data)
        finally:
            if attempt.drain():
                self.runner.sweeper.discard(self)
                self._release()

    def _stay(self) -> None:
        """Whatever becomes of the answer: its target has read the prompt, which the next one of the session extends."""
        if self._attempt is not None:
            self.runner.state.answered(self._session, self._attempt.target.id, monotonic())

    def fail(self, failure: Failure) -> None:
        """Tell the client of the failure that ends it."""
        if self.phase is OVER:
            return
        self.outcome.failure = failure
        self._stop("")
        try:
            self._client.fail(self.outcome, failure)
        finally:
            self._release()

    def _stop(self, why: str) -> None:
        """Nothing more is done for this request. What it reserved is held until it is in the ledger."""
        attempt = self._attempt
        if attempt is not None:
            if why and attempt.begun:
                attempt.note("cancelled", why)
            self._meter(attempt)
            attempt.close()
        self.phase = OVER
        self._held = None
        self.runner.sweeper.discard(self)
        self.outcome.duration = monotonic() - self.outcome.started

    def _meter(self, attempt: Attempt) -> None:
        """What is broken off was paid for; some providers tell at its start what the prompt and its cache came to."""
        outcome = self.outcome
        if outcome.usage is None and (usage := attempt.metered()) is not None:
            # A frame carries one token, as a rule.
            outcome.usage = replace(usage, output=max(usage.output, outcome.frames)) if usage.estimated else usage

    def _release(self) -> None:
        if self._holding is not None:
            self._holding.release()
        # The two know each other, and only the garbage collector could free them while they do.
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.release()
