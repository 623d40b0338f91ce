"""The rules of a routing file, compiled with its targets: all of a decision that does not change by the moment.

Which rule holds, what it forbids, and which targets remain depend on a handful of properties of a
request, each with few values. So every combination is worked out once and kept; `decide` adds what
is true right now. Pure: a policy never changes after it is built, its memory apart.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

import msgspec

from gridtie.config.names import PRIVATE
from gridtie.config.problems import closest, listed
from gridtie.config.schema import Budget, Locality, Routing, Rule
from gridtie.providers.registry import Alias, Share, Targets
from gridtie.providers.target import Target
from gridtie.routing import refusals
from gridtie.routing.bounds import Bounds, bounds
from gridtie.routing.plan import Plan, PlannedAttempt, Refusal, RequestInfo, Skip
from gridtie.routing.snapshot import relayed_at

# The estimate is bytes / 4. Prose and code lie between 3 and 5 bytes a token; nothing that people send
# lies above 8, so only a prompt of twice the estimate's context is clearly too large for it.
CLEARLY_OVER = 2

# What a request may need beyond plain chat; other words in `RequestInfo.needs` would grow the memory.
NEEDS = frozenset({"tools", "vision", "json", "embeddings"})

# Kinds of requests that are remembered, 2 to 3 KiB each. Nobody has as many, but tags can be sent in any combination.
MOST_ROUTES = 4096


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A target that a rule names and nothing forbids."""

    target: Target
    # The place in `use` of the item that it came from.
    place: int
    # Those that share a place by weight have the same rank.
    rank: int
    weight: int
    # What holds when the model is in memory (or in a cloud), and when it must be loaded first.
    warm: PlannedAttempt
    cold: PlannedAttempt


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules say about one kind of request."""

    rule: str
    baseline: str = ""
    candidates: tuple[Candidate, ...] = ()
    skipped: tuple[Skip, ...] = ()
    # Why no cloud may be used; "" where one may.
    local_only: str = ""
    max_cost: float | None = None
    # Budgets that hold for the environment, for all keys or some; none where no cloud remains.
    budgets: tuple[Budget, ...] = ()
    # Plans for when every candidate is ready and free, by which of them are in memory; filled as they are asked for.
    # They hold where the prompt has at most `fits` tokens by estimate. None where money is to be counted.
    plans: dict[int, Plan] | None = None
    fits: int = 0
    # Per candidate: its bit in the keys of `plans`, target id and slots; and limits of whole providers.
    clear: tuple[tuple[int, str, float], ...] = ()
    provider_limits: tuple[tuple[str, int], ...] = ()
    # Whether some of the candidates share a place: then their order is each request's own.
    shared: bool = False
    # Whether several of them are members of a pool that have one model: then their order is the moment's.
    pooled: bool = False
    bounds: Bounds = Bounds()
    # Nothing to choose from, whatever the moment.
    refusal: Refusal | None = None


class Policy:
    """Routing and targets of one configuration; a reload makes another."""

    def __init__(self, routing: Routing, targets: Targets) -> None:
        self.routing = routing
        self.targets = targets
        self._tags = frozenset({PRIVATE}.union(*(rule.when.tags or [] for rule in routing.rules)))
        self._agents = frozenset[str]().union(*(rule.when.agent or [] for rule in routing.rules))
        self._environments = frozenset(routing.environments)
        sizes = (size for rule in routing.rules for size in (_above(rule), _from(rule)) if size is not None)
        self._sizes = sorted(set(sizes))
        self._routes: dict[tuple[object, ...], Route] = {}
        # Whether several engines serve one model of an alias, or several targets share a place by weight, so that it
        # matters which of them a session was at.
        self.twins = any(
            alias.shares or len({(target.model, target.own) for target in alias.local}) < len(alias.local)
            for alias in targets.aliases.values()
        )

    def route(self, info: RequestInfo) -> Route:
        """What the rules say about a request; worked out at the first of its kind."""
        name = info.alias or self.routing.defaults.alias
        alias = self.targets.named(name)
        key = (
            id(alias),
            info.environment,
            info.tags & self._tags if info.tags else None,
            info.needs,
            info.surface,
            info.agent if info.agent in self._agents else None,
            info.relayed and (2 if info.at_once else 1),
            info.stays,
            bisect_right(self._sizes, info.prompt_tokens) if self._sizes else 0,
        )
        route = self._routes.get(key)
        if route is None:
            route = self._worked_out(info, name, alias)
            # Only what the configuration bounds is kept: a client cannot fill the memory with invented names.
            known = alias is not None and (info.relayed or info.environment in self._environments)
            if known and info.needs <= NEEDS:
                if len(self._routes) >= MOST_ROUTES:
                    self._routes.clear()
                self._routes[key] = route
        return route

    def _worked_out(self, info: RequestInfo, name: str, alias: Alias | None) -> Route:
        if alias is None:
            return Route(rule="", refusal=refusals.unknown_model(name, self.targets.names(), closest))
        # The rules are for this station's own people. What another one's router passes on was decided by its rules.
        if info.relayed:
            rules = [_RELAY_AT_ONCE if info.at_once else _RELAY]
        else:
            rules = [rule for rule in self.routing.rules if _matches(rule, info, alias.names)]
        if not rules:
            return Route(rule="", refusal=refusals.no_rule(info.environment, name))
        return _Worker(self, info, alias, rules).route()


# A relay waits for a short answer before it; then the asking machine's own engine is the faster way.
_RELAY = Rule(name="relay", use=["local"], never="cloud", max_wait=10.0)
# One that asks for slots does its waiting itself.
_RELAY_AT_ONCE = Rule(name="relay", use=["local"], never="cloud", max_wait=0.0)


def _above(rule: Rule) -> int | None:
    """The least size that `larger_than` lets through."""
    return None if rule.when.larger_than is None else rule.when.larger_than + 1


def _from(rule: Rule) -> int | None:
    """The least size that `smaller_than` keeps out."""
    return rule.when.smaller_than


def _matches(rule: Rule, info: RequestInfo, names: frozenset[str]) -> bool:
    when = rule.when
    return (
        (when.environment is None or info.environment in when.environment)
        and (when.tags is None or not info.tags.isdisjoint(when.tags))
        and (when.agent is None or info.agent in when.agent)
        and (when.alias is None or not names.isdisjoint(when.alias))
        and (when.surface is None or info.surface in when.surface)
        and (when.larger_than is None or info.prompt_tokens > when.larger_than)
        and (when.smaller_than is None or info.prompt_tokens < when.smaller_than)
    )


class _Chosen(msgspec.Struct):
    """A target that nothing forbids, and what named it."""

    target: Target
    item: str
    # Of the item in `use`.
    place: int
    share: Share | None
    rank: int = 0


class _Worker:
    """Works out one route."""

    def __init__(self, policy: Policy, info: RequestInfo, alias: Alias, rules: list[Rule]) -> None:
        self.routing, self.targets = policy.routing, policy.targets
        self.info, self.alias, self.rules, self.rule = info, alias, rules, rules[0]
        self.skipped: list[Skip] = []
        self.bounds = bounds(self.routing, alias, self.rule)
        self.forbidden = self._forbidden()
        # What a relay's request saves is counted where it came from.
        self.baseline = "" if info.relayed else alias.baseline

    def route(self) -> Route:
        chosen = self._chosen()
        weights = _ranked(chosen)
        candidates = tuple(self._candidate(each, weights, last=each.rank == chosen[-1].rank) for each in chosen)
        shared = len(weights) < len(chosen)
        lines = [candidate.warm.line for candidate in candidates if candidate.warm.line]
        pooled = len(set(lines)) < len(lines)
        skipped = tuple(self.skipped)
        why_local = self.forbidden.get("cloud", "")
        cloudy = any(candidate.target.locality == "cloud" for candidate in candidates)
        costs = [rule.max_cost for rule in self.rules if rule.max_cost is not None]
        budgets = tuple(
            budget for budget in self.routing.budgets if budget.environment in (None, self.info.environment) and cloudy
        )
        refusal = None if candidates else refusals.nothing_left(self.alias.name, skipped, why_local)
        providers = {c.target.provider: c.target.provider_slots for c in candidates}
        contexts = [c.target.context for c in candidates if c.target.context is not None]
        return Route(
            rule=self.rule.name,
            baseline=self.baseline,
            candidates=candidates,
            skipped=skipped,
            local_only=why_local,
            max_cost=min(costs) if costs else None,
            budgets=budgets,
            plans=None if refusal is not None or shared or pooled or (cloudy and (costs or budgets)) else {},
            fits=CLEARLY_OVER * min(contexts, default=1 << 60),
            clear=tuple((1 << at, c.target.id, _slots(c.target)) for at, c in enumerate(candidates)),
            provider_limits=(
                *((name, limit) for name, limit in providers.items() if limit is not None),
                *(self._lent(candidates) if self.info.relayed else ()),
            ),
            shared=shared,
            pooled=pooled,
            bounds=self.bounds,
            refusal=refusal,
        )

    def _lent(self, candidates: tuple[Candidate, ...]) -> Iterator[tuple[str, int]]:
        """How many requests of other stations their providers take."""
        lent = {c.target.provider: c.target.max_relayed for c in candidates}
        return ((relayed_at(name), limit) for name, limit in lent.items() if limit is not None)

    def _forbidden(self) -> dict[Locality, str]:
        """Locality -> why it must not be used; from every rule that matches, and from the tag `private`."""
        forbidden: dict[Locality, str] = {}
        for rule in self.rules:
            if rule.never is not None:
                forbidden.setdefault(rule.never, f'rule "{rule.name}" says never: {rule.never}')
        if self.info.stays:
            forbidden.setdefault("cloud", "the request goes on from one that must not leave for a cloud")
        if PRIVATE in self.info.tags:
            forbidden["cloud"] = f"the request is tagged {PRIVATE}"
        return forbidden

    def _chosen(self) -> list[_Chosen]:
        chosen: dict[str, _Chosen] = {}
        fallback = False
        for place, item in enumerate(self.rule.use):
            targets = self.targets.candidates(self.alias, item)
            if not targets:
                self._skip(item, self._absence(item), "absent")
            for target in targets:
                # Weights are the alias's own: a rule that names a model means it.
                share = self.alias.shares.get(target.id) if item in ("local", "cloud") else None
                if target.id not in chosen and self._allowed(target, share, fallback):
                    chosen[target.id] = _Chosen(target, item, place, share)
            fallback = fallback or item == "cloud" or any(target.locality == "cloud" for target in targets)
        return list(chosen.values())

    def _absence(self, item: str) -> str:
        if item == "local":
            return self.alias.no_local
        return self.alias.no_cloud if item == "cloud" else f"the station does not have the model of {item}"

    def _allowed(self, target: Target, share: Share | None, fallback: bool) -> bool:
        if why := self.forbidden.get(target.locality):
            self._skip(target.id, why, "policy")
        elif barred := refusals.barred(self.info, target):
            self._skip(target.id, barred, "policy")
        elif share is not None and share.weight == 0:
            self._skip(target.id, f'its weight for "{self.alias.name}" is 0: it is drained', "drained")
        elif "chat" not in target.capabilities:
            what = "answers with vectors" if "embeddings" in target.capabilities else "completes text"
            self._skip(target.id, f"it has no chat template: it {what}, and is for that alone", "capability")
        elif lacking := self.info.needs - target.capabilities:
            self._skip(target.id, f"it cannot do {listed(sorted(lacking))}", "capability")
        elif fallback and target.locality == "local" and (low := self._below_min_score(target)):
            self._skip(target.id, low, "min_score")
        else:
            return True
        return False

    def _below_min_score(self, target: Target) -> str:
        least = self.alias.min_score
        if least is None or (target.score is not None and target.score >= least):
            return ""
        score = "its coding score is not known" if target.score is None else f"its coding score is {target.score:g}"
        return f"{score}, and a local fallback for the cloud needs {least:g} (models.{self.alias.name}.min_score)"

    def _skip(self, target: str, reason: str, code: refusals.SkipCode) -> None:
        self.skipped.append(Skip(target=target, reason=reason, code=code))

    def _candidate(self, chosen: _Chosen, weights: dict[int, int], *, last: bool) -> Candidate:
        target, place, weight = chosen.target, chosen.place, 1 if chosen.share is None else chosen.share.weight
        order = "" if len(self.rule.use) == 1 else " first" if place == 0 else f" after {self.rule.use[place - 1]}"
        reason = f'rule "{self.rule.name}" uses {chosen.item}{order}'
        if weight < weights[chosen.rank]:
            reason += f", its weight {weight} of {weights[chosen.rank]}"
        timeouts = self.bounds.timeouts
        wait = timeouts.total if self.rule.max_wait is None else self.rule.max_wait
        # A slot of one's own machine is worth waiting for; a cloud's limit only where nothing else is left.
        max_wait = wait if target.locality == "local" or last else 0.0
        warm = PlannedAttempt(
            target=target,
            reason=reason,
            max_wait=max_wait,
            first_token=timeouts.first_token,
            rank=chosen.rank,
            relayed=self.info.relayed,
            line=target.model if target.lends else "",
        )
        cold = msgspec.structs.replace(
            warm, reason=f"{reason}; the model must be loaded first", first_token=timeouts.first_token_cold
        )
        return Candidate(target=target, place=place, rank=chosen.rank, weight=weight, warm=warm, cold=cold)


def _ranked(chosen: list[_Chosen]) -> dict[int, int]:
    """Give each its rank, the next one but for those that share the place of the one before; the weights of each."""
    weights: dict[int, int] = {}
    before: tuple[int, int] | None = None
    for each in chosen:
        group = None if each.share is None else (each.place, each.share.group)
        if group is None or group != before:
            weights[len(weights)] = 0
        each.rank = len(weights) - 1
        weights[each.rank] += 1 if each.share is None else each.share.weight
        before = group
    return weights


def _slots(target: Target) -> float:
    return float("inf") if target.slots is None else target.slots
