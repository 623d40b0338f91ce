"""What a person reads while a model comes in."""

from __future__ import annotations

import pytest

from gridtie.host.models.progress import Meter


class Watch:
    """A clock that the test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def said() -> list[str]:
    return []


def test_bytes_share_rate_and_time_left_are_told(watch: Watch, said: list[str]) -> None:
    meter = Meter("coder:7b", 4_000_000_000, said.append, watch)
    meter.at(0)
    watch.now += 10
    meter.at(1_000_000_000)

    assert said[-1] == "coder:7b 1.00 of 4.00 GB (25 %), 100.0 MB/s, 30 s left"


def test_what_an_earlier_run_left_is_not_counted_as_speed(watch: Watch, said: list[str]) -> None:
    meter = Meter("coder:7b", 4_000_000_000, said.append, watch)
    meter.at(3_000_000_000)
    watch.now += 10
    meter.at(3_010_000_000)

    assert said[-1] == "coder:7b 3.01 of 4.00 GB (75 %), 1.0 MB/s, 16 min 30 s left"


def test_the_rate_is_that_of_the_last_seconds(watch: Watch, said: list[str]) -> None:
    meter = Meter("m", 0, said.append, watch)
    for done in (0, 500_000_000, 501_000_000, 502_000_000, 503_000_000):
        meter.at(done)
        watch.now += 10

    assert said[-1] == "m 0.50 GB, 0.1 MB/s"


def test_several_files_are_one_download(watch: Watch, said: list[str]) -> None:
    meter = Meter("m", 3_000_000_000, said.append, watch)
    meter.at(1_000_000_000)
    meter.finish(1_000_000_000)
    meter.at(500_000_000)
    watch.now += 1
    meter.at(1_000_000_000)

    assert said[-1].startswith("m 2.00 of 3.00 GB (66 %), 500.0 MB/s, 2 s left")


def test_a_line_changes_at_most_twice_a_second_but_the_end_is_told(watch: Watch, said: list[str]) -> None:
    meter = Meter("m", 1_000, said.append, watch)
    for done in range(1_001):
        meter.at(done)

    assert len(said) == 2 and said[-1] == "m 0.00 of 0.00 GB (100 %)"


def test_hours_are_told_as_hours(watch: Watch, said: list[str]) -> None:
    meter = Meter("m", 43_000_000_000, said.append, watch)
    meter.at(0)
    watch.now += 10
    meter.at(50_000_000)

    assert said[-1].endswith("2 h 23 min left")
