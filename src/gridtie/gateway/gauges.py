"""What metrics say of the moment: targets, budgets, the router itself and its machine; read when someone scrapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from time import monotonic

from gridtie.config.schema import Budget
from gridtie.gateway.telemetry import Reading
from gridtie.providers.target import Target
from gridtie.routing.snapshot import TargetState, slots_of
from gridtie.routing.state import State


def of_targets(targets: Mapping[str, Target], states: Mapping[str, TargetState]) -> Iterator[Reading]:
    """What is known of each target, configured or still at work. Labels are ids of the routing file and the station."""
    for id, target in targets.items():
        yield "gridtie_target_info", (id, target.provider, target.locality), 1
        slots = slots_of(target, states[id]) if target.servers and id in states else target.slots
        slots = target.provider_slots if slots is None else slots
        if slots is not None:
            yield "gridtie_target_slots", (id,), slots
        if target.predicted_bytes:
            yield "gridtie_model_predicted_bytes", (id,), target.predicted_bytes
    now = monotonic()
    for id, state in states.items():
        yield "gridtie_in_flight", (id,), state.in_flight
        yield "gridtie_waiting", (id,), state.waiting
        yield "gridtie_target_ready", (id,), state.ready
        yield "gridtie_breaker_open", (id,), state.retry_at > now
        yield "gridtie_consecutive_failures", (id,), state.failures
        if state.loaded is not None:
            yield "gridtie_target_loaded", (id,), state.loaded
        if state.running is not None and state.cache_used is not None:
            yield "gridtie_target_running", (id,), state.running
            yield "gridtie_target_queued", (id,), state.queued
            yield "gridtie_target_cache_used_ratio", (id,), state.cache_used


def of_budgets(budgets: Sequence[Budget], state: State) -> Iterator[Reading]:
    """Those of the routing file. A key's own are the key's: its name is nobody's who may look without one."""
    for budget in budgets:
        labels = (budget.name, budget.period)
        yield "gridtie_budget_usd", labels, budget.usd
        yield "gridtie_budget_left_usd", labels, state.left_to_all(budget.name)
