"""The decision: which targets to try for a request, in which order, and why. No other place chooses.

Pure: no clock, no files, no waiting. What changes by the moment comes in as a `Snapshot`.
"""

from __future__ import annotations

import math

import msgspec

from gridtie.config.names import PRIVATE, canonical
from gridtie.config.problems import listed
from gridtie.config.schema import Budget, KeyBudget
from gridtie.dialects.images import image_tokens
from gridtie.dialects.types import Usage
from gridtie.providers.target import Target
from gridtie.routing import balance, refusals
from gridtie.routing.plan import Plan, PlannedAttempt, Refusal, RequestInfo, Skip
from gridtie.routing.policy import CLEARLY_OVER, Candidate, Policy, Route
from gridtie.routing.shares import drawn
from gridtie.routing.snapshot import Snapshot, TargetState, relayed_at, slots_of

# Tokens of answer that must be payable where the client names no limit: a shorter answer would help nobody.
LEAST_OUTPUT = 256

# Text of people and programs has at least three bytes a token with the tokenizers in use: three digits, some code.
# What is denser (base64, a few scripts) may be billed above what was reserved for it, which is counted and logged.
DENSE_BYTES_PER_TOKEN = 3
# What wraps a message in a model's template, in tokens at most.
MOST_MESSAGE_TOKENS = 16

_UNSEEN = TargetState()
# Codes of a target that is paused: one's own machine is tried all the same where nothing else is left.
_PAUSED = frozenset({"failing", "limited", "misconfigured"})


def decide(info: RequestInfo, policy: Policy, snapshot: Snapshot) -> Plan:
    """Ordered attempts for a request, or the refusal that says why there are none."""
    route = policy.route(info)
    if route.plans is not None and info.prompt_tokens <= route.fits and not snapshot.holds_prefix:
        in_memory = _all_clear(route, snapshot, info.prompt_tokens)
        if in_memory >= 0:
            plan = route.plans.get(in_memory)
            if plan is None:
                plan = route.plans[in_memory] = _Decision(info, policy, route, snapshot).plan()
            return plan
    if route.refusal is not None:
        return Plan(rule=route.rule, refusal=route.refusal, local_only=PRIVATE in info.tags, bounds=route.bounds)
    return _Decision(info, policy, route, snapshot).plan()


def _all_clear(route: Route, snapshot: Snapshot, prompt_tokens: int) -> int:
    """Where every candidate is ready and free, the usual case: which of them are in memory, a bit for each; else -1."""
    states, now, in_memory = snapshot.states, snapshot.now, 0
    for bit, target_id, slots in route.clear:
        state = states.get(target_id, _UNSEEN)
        if state.waiting or state.queued or state.in_flight >= slots or not state.ready or state.retry_at > now:
            return -1
        if state.context is not None and prompt_tokens > CLEARLY_OVER * state.context:
            return -1
        if state.loaded:
            in_memory |= bit
    in_flight = snapshot.provider_in_flight
    for name, limit in route.provider_limits:
        if in_flight.get(name, 0) >= limit:
            return -1
    return in_memory


class _Seen(msgspec.Struct):
    """A candidate as it stands at this moment."""

    candidate: Candidate
    state: TargetState
    busy: bool
    attempt: PlannedAttempt

    @property
    def crowded(self) -> bool:
        """Whether a request would wait: for a slot of ours, or inside the engine behind those of others."""
        return self.busy or self.state.queued > 0


class _Decision:
    """One decision that has to look at each target."""

    def __init__(self, info: RequestInfo, policy: Policy, route: Route, snapshot: Snapshot) -> None:
        self.info, self.policy, self.route, self.snapshot = info, policy, route, snapshot
        whose = (None, canonical(info.key)) if route.budgets else ()
        self.budgets = [budget for budget in route.budgets if budget.key in whose]
        self.counting = route.max_cost is not None or bool(self.budgets)
        self.skipped = list(route.skipped)
        self.lacking: list[str] = []

    def plan(self) -> Plan:
        usable: list[_Seen] = []
        failing: list[tuple[_Seen, Skip]] = []
        candidates = self.route.candidates
        for candidate in drawn(candidates, self.info.id) if self.route.shared else candidates:
            seen = self._look(candidate)
            skip = self._obstacle(seen) or self._money(seen)
            if skip is None:
                usable.append(seen)
            elif skip.code in _PAUSED and candidate.target.locality == "local":
                failing.append((seen, skip))
            else:
                self.skipped.append(skip)
        if usable:
            self.skipped += [skip for _, skip in failing]
            ordered = self._ordered(usable)
            attempts = [seen.attempt for seen in self._stays(self._balanced(ordered) if self.route.pooled else ordered)]
        else:
            # A pause protects a cloud's quota; on one's own machine it would only keep the last way shut.
            attempts = [_last_resort(seen) for seen, _ in failing]
        return Plan(
            rule=self.route.rule,
            attempts=tuple(attempts),
            skipped=tuple(self.skipped),
            refusal=None if attempts else self._refusal(),
            baseline=self.route.baseline,
            local_only=bool(self.route.local_only),
            bounds=self.route.bounds,
            lacking=tuple(self.lacking),
        )

    def _look(self, candidate: Candidate) -> _Seen:
        target = candidate.target
        state = self.snapshot.states.get(target.id, _UNSEEN)
        slots = slots_of(target, state)
        busy = bool(state.waiting) or (slots is not None and state.in_flight >= slots)
        if not busy and target.provider_slots is not None:
            busy = self.snapshot.provider_in_flight.get(target.provider, 0) >= target.provider_slots
        if not busy and self.info.relayed and target.max_relayed is not None:
            busy = self.snapshot.provider_in_flight.get(relayed_at(target.provider), 0) >= target.max_relayed
        loaded = state.loaded is True or target.locality == "cloud"
        attempt = candidate.warm if loaded else candidate.cold
        if busy and attempt.max_wait > 0:
            reason = f"{attempt.reason}; {_crowd(state)}, waits up to {attempt.max_wait:g} s"
            attempt = msgspec.structs.replace(attempt, reason=reason)
        elif state.queued:
            attempt = msgspec.structs.replace(attempt, reason=f"{attempt.reason}; {state.queued} wait in its engine")
        return _Seen(candidate, state, busy, attempt)

    def _obstacle(self, seen: _Seen) -> Skip | None:
        """What stands in the way of a target itself."""
        target, state = seen.candidate.target, seen.state
        if not state.ready:
            reason = f"its engine does not answer ({state.last_error or 'no reason given'})"
            return Skip(target=target.id, reason=reason, code="unready")
        if (seconds := state.retry_at - self.snapshot.now) > 0:
            reason = f"it failed ({state.last_error or 'no reason given'}) and is left alone for {seconds:.1f} s more"
            return Skip(target=target.id, reason=reason, code=state.paused_by, retry_after=seconds)
        if seen.busy and seen.attempt.max_wait <= 0:
            return Skip(target=target.id, reason=_crowd(state), code="busy")
        return None

    def _money(self, seen: _Seen) -> Skip | None:
        """Why it would cost too much; else the attempt gets what it reserves, and the limit that this rests on."""
        target = seen.candidate.target
        if not self.counting or target.locality == "local":
            return None
        if self.info.extras:
            reason = f"spending is limited, and what {listed(sorted(self.info.extras))} may cost is not known"
            return Skip(target=target.id, reason=reason, code="price")
        output = self._output(target)
        cost = self._cost(target, output)
        if cost is None:
            reason = "spending is limited and its price is not known (providers.*.prices in llm_routing.yaml)"
            return Skip(target=target.id, reason=reason, code="price")
        limit = self.route.max_cost
        if limit is not None and cost > limit:
            return Skip(target=target.id, reason=f"it may cost ${cost:.4f}, max_cost is ${limit:.4f}", code="price")
        for budget in self.budgets:
            left = self._left(budget)
            if cost > left:
                self.lacking.append(budget.name)
                return Skip(target=target.id, reason=_overdrawn(budget, cost, left), code="budget")
        seen.attempt = msgspec.structs.replace(
            seen.attempt,
            reserve_usd=cost,
            budgets=tuple([budget.name for budget in self.budgets]),
            output_limit=None if self.info.max_output is not None else output,
        )
        return None

    def _cost(self, target: Target, output: int) -> float | None:
        """The most that a request can be billed with answers of so many tokens; None where no price is known."""
        info = self.info
        text = -(-info.text_bytes // DENSE_BYTES_PER_TOKEN) + MOST_MESSAGE_TOKENS * info.messages
        prompt = text + image_tokens(target.model, info.images)
        written = prompt if info.caches else 0
        usage = Usage(input=prompt, output=output * info.choices, cache_write=written)
        return self.policy.targets.cost(target, usage)

    def _output(self, target: Target) -> int:
        """Tokens of one answer: what the client allows, else our limit, or less where the money pays for less."""
        if self.info.max_output is not None:
            return self.info.max_output
        most = self.policy.routing.limits.output_tokens
        limits = [self._left(budget) for budget in self.budgets]
        if self.route.max_cost is not None:
            limits.append(self.route.max_cost)
        all_of_it, none_of_it = self._cost(target, most), self._cost(target, 0)
        if all_of_it is None or none_of_it is None or all_of_it <= min(limits):
            return most
        self.lacking += [budget.name for budget in self.budgets if self._left(budget) < all_of_it]
        payable = int((min(limits) - none_of_it) / (all_of_it - none_of_it) * most)
        return max(payable, min(LEAST_OUTPUT, most))

    def _left(self, budget: Budget) -> float:
        return self.snapshot.budget_left.get(budget.name, budget.usd)

    def _ordered(self, usable: list[_Seen]) -> list[_Seen]:
        """The rule's order, with two exceptions: what is clearly too small for the prompt comes last, and
        where an item's best model is busy, its models that are free and in memory come first. One that would
        have to be loaded does not: loading it may push the busy one out of memory."""
        if not any(seen.crowded or self._too_small(seen) for seen in usable):
            return usable
        best: dict[int, _Seen] = {}
        for seen in usable:
            best.setdefault(seen.candidate.place, seen)

        def rank(seen: _Seen) -> tuple[bool, int, bool]:
            place = seen.candidate.place
            at_hand = not seen.crowded and seen.state.loaded is not False
            return self._too_small(seen), place, best[place].crowded and not at_hand

        return sorted(usable, key=rank)

    def _balanced(self, ordered: list[_Seen]) -> list[_Seen]:
        """The places of members of a pool that have one model go to them by `balance`; what is between them stays."""
        now, lines = self.snapshot.now, dict[str, list[int]]()
        for at, seen in enumerate(ordered):
            if seen.attempt.line:
                lines.setdefault(seen.attempt.line, []).append(at)
        balanced = list(ordered)
        for places in lines.values():
            alike = [ordered[at] for at in places]
            best = balance.fastest([seen.state for seen in alike], now)

            def standing(seen: _Seen, best: float = best) -> balance.Standing:
                return balance.standing(seen.candidate.target, seen.state, seen.busy, best, now, self.info.id)

            for at, seen in zip(places, sorted(alike, key=standing), strict=True):
                balanced[at] = _as_measured(seen, best, now)
        return balanced

    def _stays(self, ordered: list[_Seen]) -> list[_Seen]:
        """A session stays with the target that holds its prefix: it goes before the other engines of the same model, or
        those that share its place by weight, as long as it is free and has the model in memory. Else which model
        answers, and at which cloud, is the rule's alone."""
        held = next((seen for seen in ordered if seen.candidate.target.id == self.snapshot.holds_prefix), None)
        if held is None or held.busy or held.state.loaded is False or self._too_small(held):
            return ordered
        first = next(at for at, seen in enumerate(ordered) if _alike(seen.candidate, held.candidate))
        reason = f"{held.attempt.reason}; it holds the prefix of this session"
        held.attempt = msgspec.structs.replace(held.attempt, reason=reason)
        others = [seen for seen in ordered if seen is not held]
        return [*others[:first], held, *others[first:]]

    def _too_small(self, seen: _Seen) -> bool:
        context = seen.candidate.target.context or seen.state.context
        if context is None:
            return False
        return self.info.prompt_tokens > CLEARLY_OVER * context

    def _refusal(self) -> Refusal:
        waits = [skip.retry_after for skip in self.skipped if skip.retry_after is not None]
        alias = self.info.alias or self.policy.routing.defaults.alias
        retry_after = max(1, math.ceil(min(waits))) if waits else refusals.RETRY_SOON
        return refusals.nothing_left(alias, self.skipped, self.route.local_only, retry_after)


def _as_measured(seen: _Seen, best: float, now: float) -> _Seen:
    """With its speed as a reason; one that is no help beside the others is in no line with them."""
    own = balance.speed(seen.state, now)
    if own is not None:
        reason = f"{seen.attempt.reason}; {own:.3g} tokens/s of late"
        line = "" if balance.slow(seen.state, best, now) else seen.attempt.line
        seen.attempt = msgspec.structs.replace(seen.attempt, reason=reason, line=line)
    return seen


def _alike(one: Candidate, other: Candidate) -> bool:
    """Whether it makes no difference to the rules which of them comes first."""
    if one.rank == other.rank:
        return True
    # The order of clouds is one of price and trust, also where their models have one name.
    engines = one.target.locality == other.target.locality == "local"
    # That of the station's own engine and those of others is what `prefer` of the pool says.
    sides = one.target.own == other.target.own
    return engines and sides and one.place == other.place and one.target.model == other.target.model


def _crowd(state: TargetState) -> str:
    queue = f", {state.waiting} waiting" if state.waiting else ""
    return f"it is busy ({state.in_flight} in flight{queue})"


def _last_resort(seen: _Seen) -> PlannedAttempt:
    reason = f"{seen.attempt.reason}; it failed just now ({seen.state.last_error}), and there is no other way"
    return msgspec.structs.replace(seen.attempt, reason=reason)


def _overdrawn(budget: Budget, cost: float, left: float) -> str:
    named = f'the key "{budget.key}"' if isinstance(budget, KeyBudget) else f'the budget "{budget.name}"'
    return f"{named} (${budget.usd:g} a {budget.period}) has ${max(left, 0.0):.4f} left, and this may cost ${cost:.4f}"
