"""What is known and what is taken right now: the one owner of target states, slots and reserved money.

Everything runs on the event loop's thread, and a snapshot, a decision and the reservation that follows
happen without an `await` between them: nothing that a decision rested on can change before it is acted on.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from time import monotonic

from gridtie.config.schema import Budget
from gridtie.dialects.types import Failed, Failure
from gridtie.providers.relay import Offer
from gridtie.providers.target import Target
from gridtie.providers.vllm import Load
from gridtie.routing import breaker
from gridtie.routing.plan import PlannedAttempt
from gridtie.routing.sessions import Sessions
from gridtie.routing.snapshot import Snapshot, TargetState, relayed_at, slots_of

_UNSEEN = TargetState()

# An engine without a limit of its own is offered with this one.
MOST_OFFERED = 1000

# What of its answers before counts in a target's speed when another one comes: about the last ten do.
_OLDER = 0.9

# Budget -> US dollars that the ledger has counted in its current period.
Spent = Callable[[Budget], float]


class Lease:
    """One slot at a target and what the attempt may cost, taken until released."""

    __slots__ = ("_attempt", "_state")

    def __init__(self, state: State, attempt: PlannedAttempt) -> None:
        self._state: State | None = state
        self._attempt = attempt

    @property
    def target_id(self) -> str:
        """Whose slot it is."""
        return self._attempt.target.id

    def release(self) -> None:
        """Give slot and reserved money back; calling it again does nothing.

        Call it when upstream's socket is closed or free again, and after the ledger has the cost: the
        engine is at work until then, and money between reservation and ledger would be spent twice.
        """
        state, self._state = self._state, None
        if state is not None:
            state._give_back(self._attempt)


class _Waiter:
    __slots__ = ("attempt", "granted")

    def __init__(self, attempt: PlannedAttempt, granted: asyncio.Future[Lease | None]) -> None:
        self.attempt = attempt
        self.granted = granted


class State:
    """States by target id, kept across reloads as long as a target is configured or in use."""

    def __init__(self, spent: Spent | None = None, unleased: Spent | None = None) -> None:
        """`spent` asks the ledger; without it budgets know only what is reserved.

        `unleased` says what could be had beyond what decisions go by, where several routers share a budget.
        """
        self._spent = spent
        self._unleased = unleased
        self._states: dict[str, TargetState] = {}
        self._targets: dict[str, Target] = {}
        self._provider_in_flight: dict[str, int] = {}
        # Per provider, since its targets may share a limit: in order of arrival.
        self._queues: dict[str, deque[_Waiter]] = {}
        self._budget_left = _BudgetLeft(self)
        self._budgets: dict[str, Budget] = {}
        self._reserved: dict[str, float] = {}
        # Budgets that had too little for a request since `lacking` was last asked.
        self._lacking: set[str] = set()
        self._sessions = Sessions()
        # Told the id of a local target that could not be reached; the probes look at once then.
        self.on_failure: Callable[[str], None] | None = None

    def update(self, targets: Mapping[str, Target], budgets: Sequence[Budget] = ()) -> None:
        """Take over another configuration. What is in flight stays counted; what is new begins unknown."""
        before = self._targets
        self._targets = dict(targets)
        self._budgets = {budget.name: budget for budget in budgets}
        for target_id, target in targets.items():
            state = self._states.setdefault(target_id, TargetState())
            old = before.get(target_id)
            if old is not None and (old.base_url, old.headers) != (target.base_url, target.headers):
                # Another address or key: what was learnt about the old one says nothing about it.
                self._forget(state)
        for target_id in [each for each in self._states if each not in targets]:
            state = self._states[target_id]
            if not state.in_flight and not state.waiting:
                del self._states[target_id]
        for provider in list(self._queues):  # limits may have grown
            self._admit(provider)

    def _forget(self, state: TargetState) -> None:
        state.loaded, state.ready, state.retry_at, state.failures, state.last_error = None, True, 0.0, 0, ""
        state.context, state.running, state.queued, state.cache_used = None, None, 0, None
        state.offered, state.tokens, state.seconds = None, 0.0, 0.0

    def snapshot(self, now: float, session: bytes = b"") -> Snapshot:
        """The state at `now` (monotonic seconds), for a request of `session`. A view: valid until the next `await`."""
        return Snapshot(
            now=now,
            states=self._states,
            provider_in_flight=self._provider_in_flight,
            budget_left=self._budget_left,
            holds_prefix=self._sessions.engine(session, now) if session else "",
        )

    # Slots and money

    def reserve(self, attempt: PlannedAttempt) -> Lease | None:
        """Take a slot and the money now; None where either is gone. Never overtakes who waits for the same target."""
        state = self._states.get(attempt.target.id)
        if state is None:
            state = self._states[attempt.target.id] = TargetState()
        if state.waiting or not self._free(attempt.target, state, attempt) or not self._affordable(attempt):
            return None
        return self._take(attempt, state)

    def granted(self, attempt: PlannedAttempt) -> Lease:
        """Take a slot that a member of the pool holds for us: it knows better than we do that there is one."""
        state = self._states.setdefault(attempt.target.id, TargetState())
        lease = self._take(attempt, state)
        if state.offered is not None:
            state.offered = max(state.offered, state.in_flight)
        return lease

    def full(self, target_id: str) -> None:
        """A member of the pool has refused the request under way there for want of a slot."""
        state = self._states.get(target_id)
        if state is not None:
            state.offered = max(0, state.in_flight - 1)

    def free(self, attempt: PlannedAttempt) -> bool:
        """Whether it could begin now."""
        state = self._states.get(attempt.target.id, _UNSEEN)
        return state.ready and not state.waiting and self._free(attempt.target, state, attempt)

    async def wait(self, attempt: PlannedAttempt, deadline: float) -> Lease | None:
        """A slot in order of arrival; None when `deadline` (monotonic seconds) passes or the money is gone."""
        lease = self.reserve(attempt)
        seconds = deadline - monotonic()
        if lease is not None or seconds <= 0 or not self._affordable(attempt):
            return lease
        loop = asyncio.get_running_loop()
        waiter = _Waiter(attempt, loop.create_future())
        queue = self._queues.setdefault(attempt.target.provider, deque())
        queue.append(waiter)
        self._states[attempt.target.id].waiting += 1
        timer = loop.call_later(seconds, self._leave, waiter)
        try:
            return await waiter.granted
        except BaseException:  # cancelled, or the coroutine itself thrown away
            # The slot may have been handed over before the news of it arrived: pass it on.
            if waiter.granted.done() and not waiter.granted.cancelled():
                if (granted := waiter.granted.result()) is not None:
                    granted.release()
            else:
                self._leave(waiter)
            raise
        finally:
            timer.cancel()

    def _free(self, target: Target, state: TargetState, attempt: PlannedAttempt) -> bool:
        slots = slots_of(target, state)
        if slots is not None and state.in_flight >= slots:
            return False
        limit = target.provider_slots
        if limit is not None and self._provider_in_flight.get(target.provider, 0) >= limit:
            return False
        return not attempt.relayed or self._lent(target) > 0

    def _lent(self, target: Target) -> float:
        """How many more requests of other stations its provider takes."""
        if target.max_relayed is None:
            return math.inf
        return target.max_relayed - self._provider_in_flight.get(relayed_at(target.provider), 0)

    def _take(self, attempt: PlannedAttempt, state: TargetState) -> Lease:
        provider = attempt.target.provider
        state.in_flight += 1
        self._provider_in_flight[provider] = self._provider_in_flight.get(provider, 0) + 1
        if attempt.relayed:
            self._count_relayed(provider, 1)
        for budget in attempt.budgets:
            self._reserved[budget] = self._reserved.get(budget, 0.0) + attempt.reserve_usd
        return Lease(self, attempt)

    def _count_relayed(self, provider: str, more: int) -> None:
        name = relayed_at(provider)
        self._provider_in_flight[name] = self._provider_in_flight.get(name, 0) + more

    def _give_back(self, attempt: PlannedAttempt) -> None:
        provider, target_id = attempt.target.provider, attempt.target.id
        state = self._states[target_id]
        state.in_flight -= 1
        self._provider_in_flight[provider] -= 1
        if attempt.relayed:
            self._count_relayed(provider, -1)
        for budget in attempt.budgets:
            left = self._reserved[budget] - attempt.reserve_usd
            # Sums of floats do not come back to zero exactly.
            self._reserved[budget] = left if left > 1e-9 else 0.0
        if provider in self._queues:
            self._admit(provider)
        if not state.in_flight and not state.waiting and target_id not in self._targets:
            del self._states[target_id]

    def _admit(self, provider: str) -> None:
        """Hand free slots to who waits, in order of arrival; a full target does not hold up another one's queue."""
        queue = self._queues[provider]
        still: deque[_Waiter] = deque()
        while queue:
            waiter = queue.popleft()
            attempt = waiter.attempt
            state = self._states[attempt.target.id]
            if waiter.granted.done():  # cancelled, and not yet woken to leave by itself
                state.waiting -= 1
            elif self._free(self._targets.get(attempt.target.id, attempt.target), state, attempt):
                state.waiting -= 1
                affordable = self._affordable(attempt)
                waiter.granted.set_result(self._take(attempt, state) if affordable else None)
            else:
                still.append(waiter)
        if still:
            self._queues[provider] = still
        else:
            del self._queues[provider]

    def _leave(self, waiter: _Waiter) -> None:
        """Out of the queue, at the deadline or because whoever waited has gone."""
        provider = waiter.attempt.target.provider
        queue = self._queues.get(provider)
        if queue is None or waiter not in queue:
            return
        queue.remove(waiter)
        self._states[waiter.attempt.target.id].waiting -= 1
        if not queue:
            del self._queues[provider]
        if not waiter.granted.done():
            waiter.granted.set_result(None)

    # Money

    def _affordable(self, attempt: PlannedAttempt) -> bool:
        if not attempt.budgets:
            return True
        return all(attempt.reserve_usd <= self.budget_left(name) for name in attempt.budgets)

    def budget_left(self, name: str) -> float:
        """US dollars left in a budget's current period, reservations taken off; 0 for one that is gone."""
        budget = self._budgets.get(name)
        if budget is None:
            return 0.0
        spent = self._spent(budget) if self._spent is not None else 0.0
        return budget.usd - spent - self._reserved.get(name, 0.0)

    def left_to_all(self, name: str) -> float:
        """As `budget_left`, for people: with what this router could have, and does not hold yet."""
        budget = self._budgets.get(name)
        more = self._unleased(budget) if self._unleased is not None and budget is not None else 0.0
        return self.budget_left(name) + more

    def reserved(self, name: str) -> float:
        """US dollars of a budget that are held for what is in flight."""
        return self._reserved.get(name, 0.0)

    def lacked(self, budgets: Iterable[str]) -> None:
        """These had too little left for a target that a request might have gone to."""
        self._lacking.update(budgets)

    def lacking(self) -> frozenset[str]:
        """Budgets that had too little since this was last asked."""
        lacking = frozenset(self._lacking)
        self._lacking.clear()
        return lacking

    # What is learnt

    def succeeded(self, target_id: str) -> None:
        """It gave content: whatever was held against it is over."""
        state = self._states.get(target_id)
        if state is not None and (state.failures or state.retry_at or not state.ready):
            state.failures, state.retry_at, state.last_error, state.ready = 0, 0.0, "", True

    def answered(self, session: bytes, target_id: str, now: float) -> None:
        """A target has read the prompt of a session."""
        self._sessions.answered(session, target_id, now)

    def failed(self, target_id: str, failure: Failure, now: float) -> None:
        """It failed at `now` (monotonic seconds): may leave it alone for a while."""
        state, target = self._states.get(target_id), self._targets.get(target_id)
        if state is not None and target is not None:
            breaker.failed(state, target.locality, failure, now)
            if self.on_failure is not None and failure.kind is Failed.UNREACHABLE:
                self.on_failure(target_id)

    def retry_at(self, target_id: str) -> float:
        """Monotonic seconds until which it is left alone; 0 where it is not."""
        state = self._states.get(target_id)
        return 0.0 if state is None else state.retry_at

    def set_ready(self, target_id: str, ready: bool, why: str = "") -> None:
        """What a probe found. A probe that succeeds also ends the pause after a failure to connect."""
        state = self._states.get(target_id)
        if state is None:
            return
        if ready and not state.ready:
            state.failures, state.retry_at = 0, 0.0
            # Another process, if not another machine: how fast it is has to be seen anew.
            state.tokens, state.seconds = 0.0, 0.0
        if ready != state.ready or not ready:
            state.last_error = why
        state.ready = ready

    def set_loaded(self, target_id: str, loaded: bool | None) -> None:
        """Whether the model is in memory, as its engine says; None: it does not say."""
        state = self._states.get(target_id)
        if state is not None:
            state.loaded = loaded

    def set_context(self, target_id: str, context: int | None) -> None:
        """The most tokens of a request, as its engine says; None: it does not say."""
        state = self._states.get(target_id)
        if state is not None:
            state.context = context

    def set_load(self, target_id: str, load: Load | None) -> None:
        """What its engine does, for everybody that asks it; None: it does not say."""
        state = self._states.get(target_id)
        if state is None:
            return
        if load is None:
            state.running, state.queued, state.cache_used = None, 0, None
        else:
            state.running, state.queued, state.cache_used = load.running, load.waiting, load.cache

    def set_offer(self, target_id: str, free: int | None) -> None:
        """How many more of our requests a member of the pool could begin now; None: it does not say."""
        state = self._states.get(target_id)
        if state is not None:
            state.offered = None if free is None else state.in_flight + free

    def set_slots(self, target_id: str, slots: int | None) -> None:
        """How many requests vllm-router's servers take at once now; None: not known, and the configured number holds.

        Those that wait begin where there are more of them again.
        """
        state = self._states.get(target_id)
        if state is None or state.offered == slots:
            return
        state.offered = slots
        target = self._targets.get(target_id)
        if target is not None and target.provider in self._queues:
            self._admit(target.provider)

    def measured(self, target_id: str, tokens: int, seconds: float, now: float) -> None:
        """An answer of so many tokens took a target so long, from the request on."""
        state = self._states.get(target_id)
        if state is not None:
            state.tokens = _OLDER * state.tokens + tokens
            state.seconds = _OLDER * state.seconds + seconds
            state.measured_at = now

    def offer(self, target: Target) -> Offer:
        """What of a target of ours other stations' routers could have now."""
        state = self._states.get(target.id, _UNSEEN)
        slots = slots_of(target, state)
        free = math.inf if slots is None else slots - state.in_flight
        if target.provider_slots is not None:
            free = min(free, target.provider_slots - self._provider_in_flight.get(target.provider, 0))
        free = min(free, self._lent(target), MOST_OFFERED)
        return Offer(free=0 if state.waiting else max(0, int(free)), ready=state.ready, loaded=state.loaded)

    def in_flight(self, target_id: str) -> int:
        """Requests at a target right now."""
        state = self._states.get(target_id)
        return 0 if state is None else state.in_flight


class _BudgetLeft(Mapping[str, float]):
    """A view for snapshots: asks the ledger only for what a decision looks at."""

    def __init__(self, state: State) -> None:
        self._state = state

    def __getitem__(self, name: str) -> float:
        if name not in self._state._budgets:
            raise KeyError(name)
        return self._state.budget_left(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._state._budgets)

    def __len__(self) -> int:
        return len(self._state._budgets)
