"""Limits and ends of keys are read as people write them, and shown as people read them."""

from __future__ import annotations

import time

import pytest

from gridtie.host.key_limits import NO_LIMITS, Limits, moment, parse, seconds, stamp, unix

NOW = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC


@pytest.mark.parametrize(
    ("text", "wanted"), [("90m", 5400.0), ("24h", 86400.0), ("30d", 30 * 86400.0), ("2w", 14 * 86400.0), ("0", 0.0)]
)
def test_a_span_is_read(text: str, wanted: float) -> None:
    assert seconds(text) == wanted


@pytest.mark.parametrize("text", ["", "30", "-1d", "1.5h", "1y", "030d", "9999999d"])
def test_another_span_is_told_what_is_wanted(text: str) -> None:
    with pytest.raises(ValueError, match="30d"):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("30d", "2027-02-14T08:00:00Z"),
        ("2027-12-31T14:00Z", "2027-12-31T14:00:00Z"),
        ("2027-12-31T14:00:30Z", "2027-12-31T14:00:30Z"),
        ("never", ""),
    ],
)
def test_an_end_is_kept_in_utc(text: str, wanted: str) -> None:
    assert moment(text, NOW) == wanted


@pytest.mark.parametrize(("zone", "wanted"), [("UTC", "2028-01-01T00:00:00Z"), ("CET-1", "2027-12-31T23:00:00Z")])
def test_a_day_counts_to_its_end_where_the_machine_is(monkeypatch: pytest.MonkeyPatch, zone: str, wanted: str) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert moment("2027-12-31", NOW) == wanted
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["2026-01-01", "2026-01-01T00:00Z", "0"])
def test_what_has_passed_is_no_end(text: str) -> None:
    with pytest.raises(ValueError, match="has passed"):
        moment(text, NOW)


@pytest.mark.parametrize("text", ["soon", "2027-13-01", "2027-1-1", "31.12.2027", "2027-12-31T25:00Z", "2027-12-31Z"])
def test_what_is_no_time_is_told_what_is_wanted(text: str) -> None:
    with pytest.raises(ValueError, match="never"):
        moment(text, NOW)


def test_a_time_is_the_same_there_and_back() -> None:
    assert unix(stamp(NOW)) == NOW


def test_limits_are_stored_as_far_as_they_are_set() -> None:
    limits = Limits(tokens_per_minute=20_000, models=("coder",))

    assert limits.document() == {"tokens_per_minute": 20_000, "models": ["coder"]}
    assert parse(limits.document()) == limits
    assert (NO_LIMITS.document(), NO_LIMITS.words()) == ({}, "")


def test_limits_are_told_in_words() -> None:
    limits = Limits(60, 20_000, 2.5, 40.0, ("coder", "chat"))

    assert limits.words() == ("60 requests a minute, 20,000 tokens a minute, $2.5 a day, $40 a month, coder, chat only")
