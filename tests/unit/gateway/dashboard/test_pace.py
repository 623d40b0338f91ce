"""Tokens a second are those of the last seconds, by key."""

from __future__ import annotations

import pytest

from gridtie.gateway.dashboard.pace import WINDOW_SECONDS, Pace


def test_it_is_what_came_between_looks_by_key_and_in_all() -> None:
    pace = Pace()
    for second in range(4):
        pace.look(float(second), [("1", "ann", 100 + 20 * second), ("2", "ben", 5 * second)])

    assert pace.per_second(None) == pytest.approx(25.0)
    assert pace.per_second("ann") == pytest.approx(20.0)
    assert pace.per_second("nobody") == 0.0


def test_what_a_request_had_before_anybody_looked_does_not_count() -> None:
    pace = Pace()
    pace.look(0.0, [("1", "ann", 5000)])

    assert pace.per_second(None) == 0.0


def test_after_a_pause_it_begins_anew() -> None:
    """Somebody opens the page again: what came meanwhile did not come now."""
    pace = Pace()
    pace.look(0.0, [("1", "ann", 0)])
    pace.look(1.0, [("1", "ann", 10)])
    pace.look(100.0, [("1", "ann", 4000)])
    pace.look(101.0, [("1", "ann", 4010)])

    assert pace.per_second(None) == pytest.approx(10.0)


def test_an_attempt_that_began_again_is_no_loss_and_it_forgets() -> None:
    pace = Pace()
    pace.look(0.0, [("1", "ann", 50)])
    pace.look(1.0, [("1", "ann", 0)])
    assert pace.per_second(None) == 0.0
    for second in range(2, 2 + int(WINDOW_SECONDS) + 2):
        pace.look(float(second), [])

    assert pace.per_second(None) == 0.0
