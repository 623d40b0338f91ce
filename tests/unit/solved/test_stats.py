"""What a solved task took: the figure by hand, and how often its interval holds."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from gridtie.solved.stats import _student, per_solved

Draw = Callable[[random.Random], tuple[float, bool]]


def tries(share: float) -> Draw:
    """Tasks of the demo: what fails is tried six times, what succeeds once or a few times."""

    def draw(chance: random.Random) -> tuple[float, bool]:
        solved, count = chance.random() < share, 6
        if solved:
            count = 1
            while count < 6 and chance.random() < 0.4:
                count += 1
        return (3 + count) * chance.lognormvariate(0, 0.3), solved

    return draw


def unlike(share: float) -> Draw:
    """Tasks that differ: one in forty takes seven times as much as the middle one."""
    return lambda chance: (chance.lognormvariate(0, 1), chance.random() < share)


def coverage(draw: Draw, n: int, runs: int = 600) -> float:
    chance = random.Random(n)
    many = [draw(chance) for _ in range(200_000)]
    truth = sum(spent for spent, _ in many) / sum(solved for _, solved in many)
    held = told = 0
    for _ in range(runs):
        found = per_solved(*zip(*(draw(chance) for _ in range(n)), strict=True))  # type: ignore[arg-type]
        if found is not None and found.low is not None and found.high is not None:
            told += 1
            held += found.low <= truth <= found.high
    return held / told


def test_what_failed_is_paid_for_by_what_was_solved() -> None:
    found = per_solved([1.0, 2.0, 3.0], [True, False, True])

    assert found is not None
    assert (found.value, found.n) == (3.0, 3)


def test_where_none_was_solved_there_is_no_price_of_one() -> None:
    assert per_solved([1.0, 2.0], [False, False]) is None
    assert per_solved([], []) is None


def test_one_task_says_nothing_of_others() -> None:
    found = per_solved([2.0], [True])

    assert found is not None
    assert (found.value, found.low, found.high) == (2.0, None, None)


def test_what_costs_nothing_is_0_and_no_error() -> None:
    found = per_solved([0.0, 0.0, 0.0], [True, True, False])

    assert found is not None
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


def test_ten_solved_of_ten_at_one_price_are_not_sure_to_stay_so() -> None:
    """As Wilson's interval says: 72 of 100 may be solved, and each would cost 1.38 times as much."""
    found = per_solved([1.0] * 10, [True] * 10)

    assert found is not None
    assert found.low == pytest.approx(1.0)
    assert found.high == pytest.approx(1 / 0.7225, rel=0.001)


def test_more_tasks_make_it_surer() -> None:
    few, many = (per_solved([1.0, 2.0] * n, [True, False] * n) for n in (5, 50))

    assert few is not None
    assert many is not None
    assert few.low and few.high and many.low and many.high
    assert many.high - many.low < (few.high - few.low) / 2


@pytest.mark.parametrize(
    ("draw", "n", "least"),
    [
        (tries(0.1), 33, 0.93),
        (tries(0.3), 12, 0.93),
        (tries(0.6), 22, 0.92),
        (tries(0.9), 12, 0.92),
        (tries(0.97), 64, 0.93),
        # So few tasks do not show how long the tail is.
        (unlike(0.3), 12, 0.89),
        (unlike(0.9), 33, 0.89),
    ],
)
def test_its_interval_holds_about_as_often_as_it_says(draw: Draw, n: int, least: float) -> None:
    assert least <= coverage(draw, n) <= 0.995


@pytest.mark.parametrize(
    ("freedom", "wanted"), [(1, 12.7062), (2, 4.3027), (4, 2.7764), (11, 2.2010), (30, 2.0423), (1000, 1.9623)]
)
def test_students_quantile_is_near(freedom: int, wanted: float) -> None:
    assert _student(freedom) == pytest.approx(wanted, rel=0.01)
