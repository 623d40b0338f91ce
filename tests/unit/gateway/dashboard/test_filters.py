"""A query of the page becomes a condition with values; what a client writes is never part of the SQL."""

from __future__ import annotations

import pytest

from gridtie.gateway.dashboard.filters import FilterError, read


def test_without_filters_it_is_the_last_day_of_everybody() -> None:
    assert read({}, None, 100_000.0) == read({"period": "day"}, None, 100_000.0)
    assert read({}, None, 100_000.0).values == (100_000.0 - 86400,)


def test_whoever_is_no_admin_gets_his_own_whatever_he_asks_for() -> None:
    found = read({"key": "ann"}, "ben", 0.0)

    assert "key = ? AND key = ?" in found.where
    assert found.values[1:] == ("ben", "ann")


def test_what_is_typed_is_a_value_and_no_sql() -> None:
    evil = "' OR 1=1 --"
    found = read({"model": evil, "text": evil, "outcome": "failed", "place": "cloud", "private": "1"}, None, 0.0)

    assert evil not in found.where
    assert evil in found.values
    assert " AND failed AND cloud AND private AND " in found.where


@pytest.mark.parametrize(
    "asked",
    [
        {"outcome": "1 OR 1"},
        {"place": "moon"},
        {"private": "yes"},
        {"period": "year"},
        {"before": "yesterday"},
        {"before": "1e9/x"},
        {"text": "x" * 201},
        {"key": "a\0b"},
        {"sql": "1"},
    ],
)
def test_what_cannot_be_asked_is_told(asked: dict[str, str]) -> None:
    with pytest.raises(FilterError):
        read(asked, None, 0.0)
