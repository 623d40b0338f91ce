"""How this machine's clock differs from UTC, and when that changes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from gridtie.host.local_time import shown, utc_offset

# Berlin's clock is changed at 01:00 UTC: in 2026 on 29 March and 25 October.
MARCH, OCTOBER = 1_774_746_000, 1_792_890_000
DAY = 86400


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """Another zone, by a rule, since a machine need not have a table of zones."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("clock", "since", "until", "told"),
    [
        ("UTC0", MARCH - 9 * DAY, MARCH + 400 * DAY, "0"),
        ("IST-5:30", MARCH, OCTOBER, "330"),
        ("CET-1CEST,M3.5.0,M10.5.0/3", MARCH - 9.5 * DAY, OCTOBER + DAY, f"60,{MARCH}:120,{OCTOBER}:60"),
        ("CET-1CEST,M3.5.0,M10.5.0/3", MARCH, OCTOBER - 1, "120"),
        # West of Greenwich.
        ("EST5EDT,M3.2.0,M11.1.0", 1_772_953_200.0 - DAY, 1_772_953_200.0 + DAY, "-300,1772953200:-240"),
    ],
    indirect=["clock"],
)
def test_every_change_is_found_to_the_second(clock: None, since: float, until: float, told: str) -> None:
    assert utc_offset(since, until) == told


@pytest.mark.parametrize(
    ("clock", "text"),
    [("UTC0", "2026-03-29 01:00:00+00:00"), ("CET-1CEST,M3.5.0,M10.5.0/3", "2026-03-29 03:00:00+02:00")],
    indirect=["clock"],
)
def test_a_time_is_shown_as_the_clock_has_it(clock: None, text: str) -> None:
    assert shown(MARCH + 0.25) == text
