"""Percentiles, intervals and differences, where their answer is plain; scipy's word is in tests/contract."""

from __future__ import annotations

import random
from statistics import fmean

import pytest

from gridtie.bench import stats


def sample(size: int, seed: int, factor: float = 1.0) -> list[float]:
    draw = random.Random(seed)
    return [factor * draw.lognormvariate(0, 0.2) for _ in range(size)]


class TestPercentile:
    def test_the_middle_of_odd_and_even_counts(self) -> None:
        assert stats.percentile([3.0, 1.0, 2.0], 0.5).value == 2
        assert stats.percentile([4.0, 1.0, 2.0, 3.0], 0.5).value == 2.5

    def test_few_values_leave_the_upper_end_of_a_tail_open(self) -> None:
        found = stats.percentile(sample(40, 1), 0.95)

        assert found.high is None
        assert found.low is not None

    def test_many_values_close_it(self) -> None:
        found = stats.percentile(sample(100, 1), 0.95)

        assert found.low is not None
        assert found.high is not None
        assert found.low < found.value < found.high

    def test_one_value_has_no_interval(self) -> None:
        found = stats.percentile([2.0], 0.5)

        assert (found.value, found.low, found.high, found.n) == (2, None, None, 1)

    def test_no_values_are_an_error(self) -> None:
        with pytest.raises(ValueError, match="no values"):
            stats.percentile([], 0.5)


class TestBootstrap:
    def test_the_same_seed_gives_the_same_interval(self) -> None:
        values = sample(30, 1)

        assert stats.bootstrap(values, fmean, 7, 200) == stats.bootstrap(values, fmean, 7, 200)
        assert stats.bootstrap(values, fmean, 7, 200) != stats.bootstrap(values, fmean, 8, 200)

    def test_no_values_are_an_error(self) -> None:
        with pytest.raises(ValueError, match="no values"):
            stats.bootstrap([], fmean, 1)


class TestDifference:
    def test_a_plain_slowdown_is_told_with_its_size(self) -> None:
        found = stats.difference(sample(60, 1), sample(60, 2, 1.5))

        assert found is not None
        assert found.low < 1.5 < found.high
        assert found.low > 1
        assert found.p < 0.001

    def test_the_other_way_round_it_is_the_inverse(self) -> None:
        before, after = sample(30, 1), sample(40, 2, 1.3)
        one, other = stats.difference(before, after), stats.difference(after, before)

        assert one is not None
        assert other is not None
        assert other.ratio == pytest.approx(1 / one.ratio)
        assert (other.low, other.high) == (pytest.approx(1 / one.high), pytest.approx(1 / one.low))
        assert other.p == pytest.approx(one.p)

    def test_the_interval_leaves_out_1_just_where_chance_is_below_5_percent(self) -> None:
        for seed in range(300):
            found = stats.difference(sample(12, seed), sample(15, seed + 1000, 1.15))
            assert found is not None
            assert (found.low > 1 or found.high < 1) == (found.p < 0.05), seed

    def test_equal_values_differ_by_nothing(self) -> None:
        found = stats.difference([2.0] * 10, [2.0] * 10)

        assert found is not None
        assert (found.ratio, found.low, found.high, found.p) == (1, 1, 1, 1)

    def test_times_that_a_clock_cannot_tell_from_nothing_are_no_error(self) -> None:
        found = stats.difference([0.0] * 10, [0.0] * 9 + [0.01])

        assert found is not None
        assert found.ratio == 1

    def test_too_few_values_tell_nothing(self) -> None:
        assert stats.difference(sample(7, 1), sample(50, 2)) is None


class TestHolm:
    def test_each_is_raised_by_how_many_are_left(self) -> None:
        assert stats.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])

    def test_none_is_above_1(self) -> None:
        assert stats.holm([0.9, 0.8]) == [1, 1]

    def test_of_nothing_is_nothing(self) -> None:
        assert stats.holm([]) == []


class TestDrift:
    def test_what_gets_slower_while_it_is_measured_is_seen(self) -> None:
        found = stats.drift(sample(30, 1) + sample(30, 2, 1.6))

        assert found is not None
        assert found.ratio > 1.3

    def test_what_is_steady_is_not(self) -> None:
        assert stats.drift(sample(60, 3)) is None
