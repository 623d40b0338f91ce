"""What metrics say of targets at the moment: what an engine does not say of itself is left out."""

from __future__ import annotations

from gridtie.gateway.gauges import of_targets
from gridtie.routing.snapshot import TargetState

SAID = {"gridtie_target_running": 5, "gridtie_target_queued": 2, "gridtie_target_cache_used_ratio": 0.5}


def told(state: TargetState) -> dict[str, float]:
    return {name: float(value) for name, labels, value in of_targets({}, {"gpu/m": state}) if labels == ("gpu/m",)}


def test_the_load_of_an_engine_that_says_it_is_told() -> None:
    said = told(TargetState(loaded=True, running=5, queued=2, cache_used=0.5))

    assert {name: said[name] for name in SAID} == SAID


def test_of_an_engine_that_says_nothing_there_is_nothing() -> None:
    assert not SAID.keys() & told(TargetState(loaded=True)).keys()
