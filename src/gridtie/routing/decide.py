"""The decision: which targets to try for a request, in which order, and why. No other place chooses.

Pure: no clock, no files, no waiting. What changes by the moment comes in as a `Snapshot`.
"""

from __future__ import annotations

import math

import msgspec

from gridtie.config.names import PRIVATE
from gridtie.config.schema import Budget
from gridtie.dialects.types import Usage
from gridtie.routing import refusals
from gridtie.routing.plan import Ask, Attempt, Plan, Refusal, Skip, Snapshot, TargetState
from gridtie.routing.policy import Candidate, Policy, Route

# Tokens of answer that are reserved for where the client names no limit: most chat and code answers are shorter.
OUTPUT_GUESS = 2048

# The estimate is bytes / 4. Prose and code lie between 3 and 5 bytes a token; nothing that people send
# lies above 8, so only a prompt of twice the estimate's context is clearly too large for it.
CLEARLY_OVER = 2

_UNSEEN = TargetState()


def decide(ask: Ask, policy: Policy, snapshot: Snapshot) -> Plan:
    """Ordered attempts for a request, or the refusal that says why there are none."""
    route = policy.route(ask)
    plan = route.plan
    if plan is not None and ask.prompt_tokens <= route.fits and _all_clear(route, snapshot):
        return plan
    if route.refusal is not None:
        return Plan(rule=route.rule, refusal=route.refusal, local_only=PRIVATE in ask.tags)
    return _Decision(ask, policy, route, snapshot).plan()


def _all_clear(route: Route, snapshot: Snapshot) -> bool:
    """Whether every candidate is as the route's ready-made plan assumes: the usual case, checked cheaply."""
    states, now = snapshot.states, snapshot.now
    for target_id, slots, loaded in route.clear:
        state = states.get(target_id, _UNSEEN)
        if (
            state.in_flight >= slots
            or state.waiting
            or state.loaded is not loaded
            or not state.ready
            or state.retry_at > now
        ):
            return False
    in_flight = snapshot.provider_in_flight
    return not route.provider_limits or all(in_flight.get(name, 0) < limit for name, limit in route.provider_limits)


class _Decision:
    """One decision that has to look at each target."""

    def __init__(self, ask: Ask, policy: Policy, route: Route, snapshot: Snapshot) -> None:
        self.ask, self.policy, self.route, self.snapshot = ask, policy, route, snapshot
        self.budgets = [budget for budget in route.budgets if budget.key in (None, ask.key)]
        self.skipped = list(route.skipped)

    def plan(self) -> Plan:
        usable: list[tuple[Candidate, Attempt]] = []
        failing: list[Candidate] = []
        for candidate in self.route.candidates:
            state = self._state(candidate)
            attempt = self._money(candidate, self._attempt(candidate, state))
            if isinstance(attempt, Skip):
                self.skipped.append(attempt)
            elif (skip := self._obstacle(candidate, state)) is None:
                usable.append((candidate, attempt))
            elif skip.code == "failing" and candidate.target.locality == "local":
                failing.append(candidate)
            else:
                self.skipped.append(skip)
        attempts = self._ordered(usable)
        if not attempts:
            # A pause protects a cloud's quota; on one's own machine it would only keep the last way shut.
            attempts = [self._last_resort(candidate) for candidate in failing]
        else:
            self.skipped += [self._failing(candidate, self._state(candidate)) for candidate in failing]
        return Plan(
            rule=self.route.rule,
            attempts=tuple(attempts),
            skipped=tuple(self.skipped),
            refusal=None if attempts else self._refusal(),
            baseline=self.route.baseline,
            local_only=bool(self.route.local_only),
        )

    def _state(self, candidate: Candidate) -> TargetState:
        return self.snapshot.states.get(candidate.target.id, _UNSEEN)

    # What stands in the way

    def _obstacle(self, candidate: Candidate, state: TargetState) -> Skip | None:
        if not state.ready:
            reason = f"its engine does not answer ({state.last_error or 'no reason given'})"
            return Skip(target=candidate.target.id, reason=reason, code="unready")
        if state.retry_at > self.snapshot.now:
            return self._failing(candidate, state)
        if self._busy(candidate, state) and candidate.warm.max_wait <= 0:
            return Skip(target=candidate.target.id, reason=self._crowd(candidate, state), code="busy")
        return None

    def _failing(self, candidate: Candidate, state: TargetState) -> Skip:
        seconds = state.retry_at - self.snapshot.now
        reason = f"it failed ({state.last_error or 'no reason given'}) and is left alone for {seconds:.1f} s more"
        return Skip(target=candidate.target.id, reason=reason, code="failing")

    def _busy(self, candidate: Candidate, state: TargetState) -> bool:
        target = candidate.target
        if state.waiting or (target.slots is not None and state.in_flight >= target.slots):
            return True
        limit = target.provider_slots
        return limit is not None and self.snapshot.provider_in_flight.get(target.provider, 0) >= limit

    def _crowd(self, candidate: Candidate, state: TargetState) -> str:
        queue = f", {state.waiting} waiting" if state.waiting else ""
        return f"it is busy ({state.in_flight} in flight{queue})"

    # Money

    def _money(self, candidate: Candidate, attempt: Attempt) -> Attempt | Skip:
        """The attempt with what it reserves, or why it would cost too much."""
        target, limit = candidate.target, self.route.max_cost
        if target.locality == "local" or (limit is None and not self.budgets):
            return attempt
        output = self.ask.max_tokens if self.ask.max_tokens is not None else OUTPUT_GUESS
        cost = self.policy.targets.cost(target, Usage(input=self.ask.prompt_tokens, output=output))
        if cost is None:
            reason = "spending is limited and its price is not known (providers.*.prices in llm_routing.yaml)"
            return Skip(target=target.id, reason=reason, code="price")
        if limit is not None and cost > limit:
            return Skip(target=target.id, reason=f"it may cost ${cost:.4f}, max_cost is ${limit:.4f}", code="price")
        for budget in self.budgets:
            left = self.snapshot.budget_left.get(budget.name, budget.usd)
            if cost > left:
                return Skip(target=target.id, reason=_overdrawn(budget, cost, left), code="budget")
        return msgspec.structs.replace(attempt, reserve_usd=cost, budgets=tuple(budget.name for budget in self.budgets))

    # Attempts

    def _attempt(self, candidate: Candidate, state: TargetState) -> Attempt:
        local = candidate.target.locality == "local"
        attempt = candidate.cold if local and state.loaded is not True else candidate.warm
        if self._busy(candidate, state) and attempt.max_wait > 0:
            reason = f"{attempt.reason}; {self._crowd(candidate, state)}, waits up to {attempt.max_wait:g} s"
            return msgspec.structs.replace(attempt, reason=reason)
        return attempt

    def _last_resort(self, candidate: Candidate) -> Attempt:
        state = self._state(candidate)
        attempt = self._attempt(candidate, state)
        reason = f"{attempt.reason}; it failed just now ({state.last_error}), and there is no other way"
        return msgspec.structs.replace(attempt, reason=reason)

    def _ordered(self, usable: list[tuple[Candidate, Attempt]]) -> list[Attempt]:
        """The rule's order, with two exceptions: what is clearly too small for the prompt comes last, and
        where an item's best model is busy, its models that are free and in memory come first. One that would
        have to be loaded does not: loading it may push the busy one out of memory."""
        crowded = set()
        best_seen: set[int] = set()
        for candidate, _ in usable:
            if candidate.place not in best_seen and self._busy(candidate, self._state(candidate)):
                crowded.add(candidate.place)
            best_seen.add(candidate.place)

        def rank(each: tuple[Candidate, Attempt]) -> tuple[bool, int, bool]:
            candidate = each[0]
            state = self._state(candidate)
            at_hand = state.loaded is not False and not self._busy(candidate, state)
            return self._too_small(candidate), candidate.place, candidate.place in crowded and not at_hand

        return [attempt for _, attempt in sorted(usable, key=rank)]

    def _too_small(self, candidate: Candidate) -> bool:
        context = candidate.target.context
        if context is None or "vision" in self.ask.needs:  # the bytes of an image say nothing about its tokens
            return False
        return self.ask.prompt_tokens > CLEARLY_OVER * context

    def _refusal(self) -> Refusal:
        waits = [
            state.retry_at - self.snapshot.now
            for candidate in self.route.candidates
            if (state := self._state(candidate)).ready and state.retry_at > self.snapshot.now
        ]
        alias = self.ask.alias or self.policy.routing.defaults.alias
        retry_after = max(1, math.ceil(min(waits))) if waits else refusals.RETRY_SOON
        return refusals.nothing_left(alias, self.skipped, self.route.local_only, retry_after)


def _overdrawn(budget: Budget, cost: float, left: float) -> str:
    return (
        f'the budget "{budget.name}" (${budget.usd:g} a {budget.period}) has ${max(left, 0.0):.4f} left, '
        f"and this may cost ${cost:.4f}"
    )
