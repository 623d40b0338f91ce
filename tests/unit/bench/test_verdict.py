"""What `--compare` says of two measurements: seldom wrong where they are the same, seldom silent after a slowdown."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from gridtie.bench.verdict import Pair, compare

RUNS = 2_000
# What one run measures: two rows of a quick comparison, 40 requests each.
ROWS = (("chat, 1 at once", "first token"), ("chat, 4 at once", "between tokens"))
REQUESTS = 40


def request(draw: random.Random) -> float:
    """Seconds, as engines spread them: some 12 %, and one in fifty held up by something else."""
    return draw.lognormvariate(0, 0.12) * (2.0 if draw.random() < 0.02 else 1.0)


def run(seed: int, factor: float) -> list[str]:
    """Two simulated measurements, the second `factor` times as slow; the words about them."""
    draw = random.Random(seed)
    pairs = [
        Pair(
            row,
            measure,
            [request(draw) for _ in range(REQUESTS)],
            [factor * request(draw) for _ in range(REQUESTS)],
        )
        for row, measure in ROWS
    ]
    return [found.word for found in compare(pairs)]


def test_two_measurements_of_the_same_are_called_different_in_at_most_5_of_100() -> None:
    """Over everything that a comparison looks at, not for each row alone."""
    alarms = sum(set(run(seed, 1.0)) != {"same"} for seed in range(RUNS))

    assert alarms / RUNS <= 0.05


def test_a_slowdown_of_15_percent_is_found_in_at_least_95_of_100() -> None:
    words = [run(seed, 1.15) for seed in range(RUNS)]
    counted = Counter(word for each in words for word in each)

    assert sum("slower" in each for each in words) / RUNS >= 0.95
    assert counted["slower"] / counted.total() >= 0.95
    assert not counted["faster"]


def values(seed: int, factor: float = 1.0, size: int = 60) -> list[float]:
    draw = random.Random(seed)
    return [factor * draw.lognormvariate(0, 0.05) for _ in range(size)]


def test_a_difference_is_told_with_its_interval() -> None:
    (found,) = compare([Pair("chat, 1 at once", "first token", values(1), values(2, 1.3))])

    assert found.word == "slower"
    assert found.text.startswith("+2") or found.text.startswith("+3")
    assert " to +" in found.text


def test_what_got_faster_is_called_so() -> None:
    (found,) = compare([Pair("row", "first token", values(1), values(2, 0.7))])

    assert found.word == "faster"


def test_what_is_sure_and_small_is_no_finding() -> None:
    (found,) = compare([Pair("row", "first token", values(1, size=400), values(2, 1.03, size=400))])

    assert found.word == "same"
    assert "too small to matter" in found.text


def test_a_machine_that_changed_while_it_was_measured_is_no_proof() -> None:
    """Half of the second measurement ran beside something else: it is no slower, it was disturbed."""
    (found,) = compare([Pair("row", "first token", values(1), values(2, size=30) + values(3, 1.8, size=30))])

    assert found.word == "unsure"
    assert "while it ran" in found.text


@pytest.mark.parametrize("size", [0, 1, 7])
def test_too_few_values_are_said_and_nothing_is_judged(size: int) -> None:
    few, enough = compare([Pair("a", "first token", values(1, size=size), values(2)), Pair("b", "m", *[values(3)] * 2)])

    assert (few.word, few.difference) == ("too few", None)
    assert enough.word == "same"


def test_few_values_of_a_busy_machine_are_not_called_the_same() -> None:
    """Eight that spread by a factor of three on each side: twice as slow could hide in them."""
    draw = random.Random(4)
    before, after = ([draw.lognormvariate(0, 0.8) for _ in range(8)] for _ in range(2))
    (found,) = compare([Pair("chat, 1 at once", "first token", before, after)])

    assert found.word == "unsure"
    assert "more requests would tell" in found.text
