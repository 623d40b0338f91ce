"""Metrics for Prometheus. Plain numbers while requests run; families are made when someone scrapes.

Label values come from the routing file and from the code alone, never from a client, so their number is bounded.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from gridtie.ledger.entry import Entry
from gridtie.routing.outcome import Outcome

# Seconds. First tokens come after 10 ms from a warm small model and after minutes from a cold large one.
_BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0)

# Name -> (help, value) of what is read from elsewhere at each scrape.
Gauges = Callable[[], Iterator[tuple[str, str, dict[str, str], float]]]


class Histogram:
    """Counts by upper bound."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(_BOUNDS) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one value."""
        self.counts[bisect_left(_BOUNDS, seconds)] += 1
        self.sum += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts, as Prometheus wants them."""
        total, rows = 0, []
        for bound, count in zip((*_BOUNDS, "+Inf"), self.counts, strict=True):
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
    )

    def __init__(self) -> None:
        self.input_tokens = self.output_tokens = self.cached_tokens = self.cache_write_tokens = 0
        self.cost_usd = self.baseline_usd = 0.0
        self.first_token = Histogram()
        self.duration = Histogram()


class Telemetry:
    """Counts requests, and renders everything for a scrape."""

    def __init__(self, gauges: Gauges) -> None:
        """`gauges` yields (name, help, labels, value) of the moment."""
        self._gauges = gauges
        self._requests: dict[tuple[str, str, str], int] = {}
        self._failures: dict[tuple[str, str], int] = {}
        self._targets: dict[str, PerTarget] = {}
        self._refused: dict[tuple[str, str], int] = {}
        # Answers that were billed above what had been reserved for them.
        self.over_reserved = 0
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def observe(self, entry: Entry, outcome: Outcome) -> None:
        """Count a request that has ended."""
        target, whole = entry.target, entry.complete
        key = (entry.rule, target or "none", "ok" if whole else _result(entry, outcome))
        self._requests[key] = self._requests.get(key, 0) + 1
        if not whole or len(entry.tries) != 1:
            self._count_failures(entry)
        if target is None:
            return
        counts = self._targets.get(target)
        if counts is None:
            counts = self._targets[target] = PerTarget()
        counts.input_tokens += entry.input_tokens
        counts.output_tokens += entry.output_tokens
        counts.cached_tokens += entry.cached_tokens
        counts.cache_write_tokens += entry.cache_write_tokens
        if entry.cost_usd:
            counts.cost_usd += entry.cost_usd
        if whole and entry.baseline_usd and not entry.purpose:
            # The tool's own traffic saves nothing, and neither does an answer that was not whole.
            counts.baseline_usd += entry.baseline_usd
        counts.duration.observe(entry.duration)
        if entry.first_token is not None:
            counts.first_token.observe(entry.first_token)

    def _count_failures(self, entry: Entry) -> None:
        for tried in entry.tries:
            if tried.outcome != "ok":
                failed = (tried.target, tried.outcome)
                self._failures[failed] = self._failures.get(failed, 0) + 1

    def refused(self, status: int, code: str) -> None:
        """Count a request that was answered with an error before it was a question to a model."""
        key = (str(status), code)
        self._refused[key] = self._refused.get(key, 0) + 1

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """All families; called by the registry."""
        requests = CounterMetricFamily(
            "gridtie_requests", "Requests by rule, answering target and outcome", labels=("rule", "target", "outcome")
        )
        for labels, count in self._requests.items():
            requests.add_metric(labels, count)
        yield requests
        failures = CounterMetricFamily(
            "gridtie_attempt_failures", "Attempts without an answer, by reason", labels=("target", "reason")
        )
        for failed, count in self._failures.items():
            failures.add_metric(failed, count)
        yield failures
        refused = CounterMetricFamily(
            "gridtie_http_refusals",
            "HTTP requests answered with an error by the router",
            labels=("status", "code"),
        )
        for refusal, count in self._refused.items():
            refused.add_metric(refusal, count)
        yield refused
        over = CounterMetricFamily("gridtie_over_reserved", "Answers billed above what was reserved for them")
        over.add_metric((), self.over_reserved)
        yield over
        yield from self._per_target()
        yield from self._of_the_moment()

    def _per_target(self) -> Iterator[Metric]:
        tokens = CounterMetricFamily("gridtie_tokens", "Tokens by target and kind", labels=("target", "kind"))
        cost = CounterMetricFamily("gridtie_cost_usd", "US dollars of cloud spend", labels=("target",))
        baseline = CounterMetricFamily(
            "gridtie_baseline_usd", "US dollars the same tokens cost on the baseline model", labels=("target",)
        )
        first = HistogramMetricFamily("gridtie_first_token_seconds", "Time to first token", labels=("target",))
        duration = HistogramMetricFamily(
            "gridtie_duration_seconds", "Time to the end of the answer", labels=("target",)
        )
        for target, counts in self._targets.items():
            tokens.add_metric((target, "input"), counts.input_tokens)
            tokens.add_metric((target, "output"), counts.output_tokens)
            # Of the input.
            tokens.add_metric((target, "cached"), counts.cached_tokens)
            tokens.add_metric((target, "cache_write"), counts.cache_write_tokens)
            cost.add_metric((target,), counts.cost_usd)
            baseline.add_metric((target,), counts.baseline_usd)
            first.add_metric((target,), counts.first_token.buckets(), counts.first_token.sum)
            duration.add_metric((target,), counts.duration.buckets(), counts.duration.sum)
        yield from (tokens, cost, baseline, first, duration)

    def _of_the_moment(self) -> Iterator[Metric]:
        families: dict[str, GaugeMetricFamily] = {}
        for name, text, labels, value in self._gauges():
            family = families.get(name)
            if family is None:
                family = families[name] = GaugeMetricFamily(name, text, labels=tuple(labels))
            family.add_metric(tuple(labels.values()), value)
        yield from families.values()


def _result(entry: Entry, outcome: Outcome) -> str:
    """What became of a request that was not answered whole."""
    if outcome.gone:
        return "cancelled"
    return "failed" if entry.rule and outcome.refusal is None else "refused"
