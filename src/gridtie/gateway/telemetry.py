"""Metrics for Prometheus. Plain numbers while requests run; families are made when someone scrapes.

Label values come from the routing file and from the code alone, never from a client, so their number is bounded.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from time import perf_counter

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from gridtie.gateway.families import ANSWER_BOUNDS, FAMILIES, TOKEN_BOUNDS
from gridtie.ledger.entry import Entry
from gridtie.routing.outcome import Outcome

# Name, values of its labels, value: of what is read from elsewhere at each scrape.
Reading = tuple[str, tuple[str, ...], float]
Readings = Callable[[], Iterator[Reading]]

# Who scrapes all the time takes at most this share of the loop's time; a burst may take so many seconds at once.
RENDER_SHARE = 0.05
RENDER_BURST_S = 0.25


class Histogram:
    """Counts by upper bound."""

    __slots__ = ("_bounds", "_counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self.sum += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts, as Prometheus wants them."""
        total, rows = 0, []
        for bound, count in zip((*self._bounds, "+Inf"), self._counts, strict=True):
            total += count
            rows.append((str(bound), float(total)))
        return rows


class PerTarget:
    """What is counted for one target."""

    __slots__ = (
        "baseline_usd",
        "cache_write_tokens",
        "cached_tokens",
        "cost_usd",
        "duration",
        "first_token",
        "input_tokens",
        "output_tokens",
        "per_token",
        "queue",
        "reasoning_tokens",
    )

    def __init__(self) -> None:
        self.input_tokens = self.output_tokens = self.cached_tokens = self.cache_write_tokens = 0
        self.reasoning_tokens = 0
        self.cost_usd = self.baseline_usd = 0.0
        self.first_token = Histogram(ANSWER_BOUNDS)
        self.per_token = Histogram(TOKEN_BOUNDS)
        self.duration = Histogram(ANSWER_BOUNDS)
        self.queue = Histogram(ANSWER_BOUNDS)

    def samples(self, target: str) -> Iterator[Reading]:
        """What of it is one number each."""
        yield "gridtie_tokens", (target, "input"), self.input_tokens
        yield "gridtie_tokens", (target, "output"), self.output_tokens
        # Of the input.
        yield "gridtie_tokens", (target, "cached"), self.cached_tokens
        yield "gridtie_tokens", (target, "cache_write"), self.cache_write_tokens
        # Of the output.
        yield "gridtie_tokens", (target, "reasoning"), self.reasoning_tokens
        yield "gridtie_cost_usd", (target,), self.cost_usd
        yield "gridtie_baseline_usd", (target,), self.baseline_usd

    def histograms(self) -> Iterator[tuple[str, Histogram]]:
        """And what is counted by how long it took."""
        yield "gridtie_first_token_seconds", self.first_token
        yield "gridtie_time_per_output_token_seconds", self.per_token
        yield "gridtie_duration_seconds", self.duration
        yield "gridtie_queue_seconds", self.queue


class Telemetry:
    """Counts requests, and renders everything for a scrape."""

    def __init__(self, readings: Readings, clock: Callable[[], float] = perf_counter) -> None:
        """`readings` yields what is true at the moment; `clock` is in seconds."""
        self._readings = readings
        self._clock = clock
        # By rule, target, outcome, alias, environment and locality: added up when someone scrapes.
        self._requests: dict[tuple[str, str, str, str, str, str], int] = {}
        self._failures: dict[tuple[str, str], int] = {}
        self._fallbacks: dict[tuple[str, str, str], int] = {}
        self._refusals: dict[tuple[str, str], int] = {}
        self._refused: dict[tuple[str, str], int] = {}
        self._targets: dict[str, PerTarget] = {}
        # Answers that were billed above what had been reserved for them.
        self.over_reserved = 0
        self._private_to_cloud = 0
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        self._rendered = b""
        self._may_render_s = RENDER_BURST_S
        self._looked = clock()

    def observe(self, entry: Entry, outcome: Outcome, alias: str) -> None:
        """Count a request that has ended. `alias`: what was asked for, as the routing file calls it."""
        target, whole = entry.target, entry.complete
        environment = "relayed" if outcome.info.relayed else entry.environment
        result = "ok" if whole else _result(entry, outcome)
        key = (entry.rule, target or "none", result, alias, environment, entry.locality or "")
        self._requests[key] = self._requests.get(key, 0) + 1
        if not whole or len(entry.tries) != 1:
            self._count_setbacks(entry, outcome)
        if entry.private and _at_a_cloud(entry):
            self._private_to_cloud += 1
        if target is None:
            return
        counts = self._targets.get(target)
        if counts is None:
            counts = self._targets[target] = PerTarget()
        counts.input_tokens += entry.input_tokens
        counts.output_tokens += entry.output_tokens
        counts.cached_tokens += entry.cached_tokens
        counts.cache_write_tokens += entry.cache_write_tokens
        if entry.reasoning_tokens:
            counts.reasoning_tokens += entry.reasoning_tokens
        if entry.cost_usd:
            counts.cost_usd += entry.cost_usd
        if whole and entry.baseline_usd and not entry.purpose:
            # The tool's own traffic saves nothing, and neither does an answer that was not whole.
            counts.baseline_usd += entry.baseline_usd
        counts.duration.observe(entry.duration)
        if entry.first_token is not None:
            counts.first_token.observe(entry.first_token)
            # An answer that came at once says nothing of its tokens, and neither does an estimate of their number.
            if entry.stream and whole and entry.output_tokens > 1 and not entry.estimated:
                counts.per_token.observe((entry.duration - entry.first_token) / (entry.output_tokens - 1))
        if entry.waited:
            counts.queue.observe(entry.waited)

    def _count_setbacks(self, entry: Entry, outcome: Outcome) -> None:
        for tried in entry.tries:
            if tried.outcome != "ok":
                failed = (tried.target, tried.outcome)
                self._failures[failed] = self._failures.get(failed, 0) + 1
        if entry.complete and entry.target and entry.tries and entry.tries[0].target != entry.target:
            fallback = (entry.tries[0].target, entry.target, entry.tries[0].outcome)
            self._fallbacks[fallback] = self._fallbacks.get(fallback, 0) + 1
        if outcome.refusal is not None and not outcome.gone:
            refusal = (entry.rule or "none", outcome.refusal.code)
            self._refusals[refusal] = self._refusals.get(refusal, 0) + 1

    def refused(self, status: int, code: str) -> None:
        """Count a request that was answered with an error before it was a question to a model."""
        key = (str(status), code)
        self._refused[key] = self._refused.get(key, 0) + 1

    def render(self) -> bytes:
        """The text that Prometheus reads: as things are now, unless rendering it takes too much of the time lately."""
        began = self._clock()
        earned = (began - self._looked) * RENDER_SHARE
        self._may_render_s, self._looked = min(self._may_render_s + earned, RENDER_BURST_S), began
        if self._may_render_s > 0 or not self._rendered:
            self._rendered = generate_latest(self._registry)
            self._may_render_s -= self._clock() - began
        return self._rendered

    def collect(self) -> Iterator[Metric]:
        """All families, also those that have nothing to tell yet; called by the registry."""
        numbers = {
            family.name: _NUMBERS[family.kind](family.name, family.help, labels=family.labels)
            for family in FAMILIES.values()
            if family.kind in _NUMBERS
        }
        for name, labels, value in self._samples():
            numbers[name].add_metric(labels, value)
        yield from numbers.values()
        histograms = {
            family.name: HistogramMetricFamily(family.name, family.help, labels=family.labels)
            for family in FAMILIES.values()
            if family.kind == "histogram"
        }
        for target, counts in self._targets.items():
            for name, histogram in counts.histograms():
                histograms[name].add_metric((target,), histogram.buckets(), histogram.sum)
        yield from histograms.values()

    def _samples(self) -> Iterator[Reading]:
        """What is one number each: counted here, and read elsewhere."""
        requests, answers = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
        for (rule, target, result, alias, environment, locality), count in self._requests.items():
            requests[rule, target, result] += count
            if result == "ok":
                answers[alias, environment, locality] += count
        for name, counts in (
            ("gridtie_requests", requests),
            ("gridtie_answers", answers),
            ("gridtie_refusals", self._refusals),
            ("gridtie_http_refusals", self._refused),
            ("gridtie_attempt_failures", self._failures),
            ("gridtie_fallbacks", self._fallbacks),
        ):
            for labels, count in counts.items():
                yield name, labels, count
        yield "gridtie_private_to_cloud", (), self._private_to_cloud
        yield "gridtie_over_reserved", (), self.over_reserved
        for target, per_target in self._targets.items():
            yield from per_target.samples(target)
        yield from self._readings()


_NUMBERS: dict[str, type[CounterMetricFamily] | type[GaugeMetricFamily]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
}


def _at_a_cloud(entry: Entry) -> bool:
    """Whether any cloud was sent it, also one that failed: as the ledger's `private_cloud` counts."""
    return entry.locality == "cloud" or any(
        each.locality == "cloud" and each.outcome != "skipped" for each in entry.tries
    )


def _result(entry: Entry, outcome: Outcome) -> str:
    """What became of a request that was not answered whole."""
    if outcome.gone:
        return "cancelled"
    return "failed" if entry.rule and outcome.refusal is None else "refused"
