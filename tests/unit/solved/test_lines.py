"""Two sides of what a solved task cost, and when one is said to be cheaper."""

from __future__ import annotations

import pytest

from gridtie.bench.stats import Estimate
from gridtie.solved.lines import Tried, comparison, less, lines, total, usd


def tried(group: str, *amounts: float | None) -> list[Tried]:
    return [Tried(group, True, 1.0, amount) for amount in amounts]


def test_groups_come_in_the_order_that_is_asked_for_and_all_at_the_end() -> None:
    found = lines([*tried("b", 1.0), *tried("a", 1.0, 2.0)], order=("a", "b", "c"), everything="all")

    assert [(line.group, line.rate.total) for line in found] == [("a", 2), ("b", 1), ("all", 3)]


def test_one_amount_that_is_not_known_makes_the_groups_unknown() -> None:
    (line,) = lines(tried("a", 1.0, None, 2.0))

    assert line.usd is None
    assert usd(line) == "unknown"
    assert line.seconds is not None


@pytest.mark.parametrize(
    ("first", "second", "word"),
    [
        (Estimate(1, 0.9, 1.1, 9), Estimate(2, 1.5, 3, 9), "A"),
        (Estimate(2, 1.5, 3, 9), Estimate(1, 0.9, 1.1, 9), "B"),
        (Estimate(1, 0.5, 1.6, 9), Estimate(2, 1.5, 3, 9), "-"),
        (Estimate(1, None, None, 1), Estimate(2, 1.5, 3, 9), "-"),
        (None, Estimate(2, 1.5, 3, 9), "-"),
    ],
)
def test_one_side_is_less_only_where_the_intervals_do_not_touch(
    first: Estimate | None, second: Estimate | None, word: str
) -> None:
    assert less(first, second) == word


def test_sides_are_told_over_the_groups_of_both_and_judged_where_that_means_something() -> None:
    here = lines([*tried("a", *[1.0] * 9), *tried("b", 1.0)])
    there = lines(tried("a", *[9.0] * 9))
    told, bare = (comparison(here, there, judged=judged).splitlines() for judged in (True, False))

    assert [line.split()[0] for line in told if line and line[0] in "ab"] == ["a", "a"]
    assert told[2].endswith("  A")
    assert not bare[2].endswith("  A")
    assert "cheaper" not in bare[0]


def test_a_sum_of_what_is_not_known_is_not_known() -> None:
    assert (total([1.0, 2.0]), total([]), total([1.0, None])) == (3.0, 0, None)
