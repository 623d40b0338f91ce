"""Every metric that the router exports, by name: what it means, its kind and its labels. docs/metrics.md is made of it.

Names go by Prometheus' rules: base units (seconds, bytes, US dollars, watts, degrees Celsius), shares from 0 to 1, and
counters that end in `_total` where they are written out.
"""

from __future__ import annotations

from typing import Literal

import msgspec

# Seconds. First tokens come after 10 ms from a warm small model and after minutes from a cold large one.
ANSWER_BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0)
# Those of OpenTelemetry's gen_ai.server.time_per_output_token, and one below them for large cards.
TOKEN_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)


class Family(msgspec.Struct, frozen=True):
    """One metric. `name` is a counter's without `_total`."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def exported(self) -> tuple[str, ...]:
        """The names of its samples, as they are written and asked for."""
        if self.kind == "counter":
            return (f"{self.name}_total",)
        if self.kind == "histogram":
            return tuple(f"{self.name}_{part}" for part in ("bucket", "count", "sum"))
        return (self.name,)


_TARGET = ("target",)
_BUDGET = ("budget", "period")
_CARD = ("card", "model")

_ALL = (
    # What has ended
    Family(
        "gridtie_requests",
        "counter",
        "Requests by rule, answering target and outcome",
        ("rule", "target", "outcome"),
    ),
    Family(
        "gridtie_answers",
        "counter",
        "Whole answers by what was asked for, for which environment, and where they came from",
        ("alias", "environment", "locality"),
    ),
    Family("gridtie_refusals", "counter", "Requests that rules, limits or full queues refused", ("rule", "code")),
    Family("gridtie_http_refusals", "counter", "HTTP requests answered with an error", ("status", "code")),
    Family("gridtie_attempt_failures", "counter", "Attempts without an answer, by reason", ("target", "reason")),
    Family(
        "gridtie_fallbacks",
        "counter",
        "Answers of another target than was asked first, and why that one did not answer",
        ("target", "answered_by", "reason"),
    ),
    Family("gridtie_private_to_cloud", "counter", "Requests tagged private that went to a cloud; always 0"),
    Family("gridtie_over_reserved", "counter", "Answers billed above what was reserved for them"),
    Family("gridtie_tokens", "counter", "Tokens by target and kind", ("target", "kind")),
    Family("gridtie_cost_usd", "counter", "US dollars of cloud spend", _TARGET),
    Family("gridtie_baseline_usd", "counter", "US dollars the same tokens cost on the baseline model", _TARGET),
    Family("gridtie_first_token_seconds", "histogram", "Time to first token", _TARGET, ANSWER_BOUNDS),
    Family(
        "gridtie_time_per_output_token_seconds",
        "histogram",
        "Mean time between the tokens of a whole streamed answer, after the first",
        _TARGET,
        TOKEN_BOUNDS,
    ),
    Family("gridtie_duration_seconds", "histogram", "Time to the end of the answer", _TARGET, ANSWER_BOUNDS),
    Family("gridtie_queue_seconds", "histogram", "Time in queues, of requests that waited", _TARGET, ANSWER_BOUNDS),
    # Targets at the moment
    Family("gridtie_target_info", "gauge", "1: the target is configured", ("target", "provider", "locality")),
    Family("gridtie_target_ready", "gauge", "0: its engine does not answer", _TARGET),
    Family("gridtie_target_loaded", "gauge", "1: its model is in memory, as the engine says", _TARGET),
    Family("gridtie_target_running", "gauge", "Requests that its engine computes, for everybody, as it says", _TARGET),
    Family("gridtie_target_queued", "gauge", "Requests that wait inside its engine, as it says", _TARGET),
    Family("gridtie_target_cache_used_ratio", "gauge", "Used share of its engine's cache, as it says", _TARGET),
    Family("gridtie_target_slots", "gauge", "Requests that it, or its provider, serves at once, if limited", _TARGET),
    Family("gridtie_in_flight", "gauge", "Requests at a target now", _TARGET),
    Family("gridtie_waiting", "gauge", "Requests waiting for a slot of a target", _TARGET),
    Family("gridtie_breaker_open", "gauge", "1: left alone for a while, for it fails or asked for that", _TARGET),
    Family("gridtie_consecutive_failures", "gauge", "Failures in a row that say something about the target", _TARGET),
    Family("gridtie_model_predicted_bytes", "gauge", "Memory that a model of the station should need", _TARGET),
    # Budgets of the routing file
    Family("gridtie_budget_usd", "gauge", "US dollars that a budget allows in its period", _BUDGET),
    Family("gridtie_budget_left_usd", "gauge", "US dollars left in the period, reservations taken off", _BUDGET),
    # The router itself
    Family("gridtie_connections", "gauge", "Client connections"),
    Family("gridtie_held_bytes", "gauge", "Bytes that clients make the router hold"),
    Family("gridtie_kept_answers", "gauge", "Answers that a later request may name"),
    Family("gridtie_kept_bytes", "gauge", "Bytes of the conversations that led to them"),
    Family("gridtie_ledger_pending", "gauge", "Records in the journal and not yet in the store"),
    Family("gridtie_ledger_fault", "gauge", "1: requests cannot be metered"),
    Family(
        "gridtie_traced_requests",
        "counter",
        "Requests whose spans were sent, were not taken by the collector, or found no room before it",
        ("result",),
    ),
    Family("gridtie_config_error", "gauge", "1: the files as they are cannot be used"),
    # Where it is one of several
    Family("gridtie_replicas", "gauge", "Routers that share one database, and live"),
    Family("gridtie_database_fault", "gauge", "1: the database that they share cannot be used from here"),
    Family("gridtie_database_clock_seconds", "gauge", "How far its clock is ahead of this machine's"),
    # The machine, where `gridtie readings` runs
    Family("gridtie_engine_resident_bytes", "gauge", "Memory of the engine's processes, without that of cards"),
    Family("gridtie_processor_joules", "counter", "Energy of the processors since readings began"),
    Family("gridtie_card_memory_bytes", "gauge", "Memory of a graphics card", _CARD),
    Family("gridtie_card_memory_used_bytes", "gauge", "Memory of it in use, by anybody", _CARD),
    Family("gridtie_card_power_watts", "gauge", "What it draws now", _CARD),
    Family("gridtie_card_temperature_celsius", "gauge", "How hot it is", _CARD),
    Family("gridtie_card_busy_ratio", "gauge", "Share of the last moments in which it computed", _CARD),
)

FAMILIES = {family.name: family for family in _ALL}
