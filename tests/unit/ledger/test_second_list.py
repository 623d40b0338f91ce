"""A second price list is read in its own format, and what it has otherwise is named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gridtie.ledger.prices import PricesError, Rates
from gridtie.ledger.second_list import Move, compare, read

# As LiteLLM writes its list: per token, some models with their provider before them and others not.
THEIRS: dict[str, Any] = {
    "sample_spec": {"input_cost_per_token": "a number", "litellm_provider": "one of ..."},
    "gpt-5.4-mini": {
        "litellm_provider": "openai",
        "input_cost_per_token": 7.5e-07,
        "output_cost_per_token": 4.5e-06,
        "cache_read_input_token_cost": 7.5e-08,
    },
    "gemini/gemini-2.5-pro": {
        "litellm_provider": "gemini",
        "input_cost_per_token": 1.25e-06,
        "output_cost_per_token": 1e-05,
    },
    "whisper": {"litellm_provider": "openai", "input_cost_per_second": 0.0001},
    "odd": {"litellm_provider": "openai", "input_cost_per_token": True, "output_cost_per_token": -1},
}
OURS = {
    "openai/gpt-5.4-mini": Rates(input=0.75, output=4.5, cached_input=0.075),
    "gemini/gemini-2.5-pro": Rates(input=1.25, output=8.0, cached_input=0.31),
    "openai/gone": Rates(input=1.0, output=2.0),
}


def encoded(content: Any) -> bytes:
    return json.dumps(content).encode()


def test_prices_per_token_are_read_as_prices_per_million() -> None:
    assert read(encoded(THEIRS), "list") == {
        "openai/gpt-5.4-mini": Rates(input=0.75, output=4.5, cached_input=0.075),
        "gemini/gemini-2.5-pro": Rates(input=1.25, output=10.0),
    }


def test_a_snapshot_of_ours_is_a_list_too() -> None:
    ours = {"schema": 1, "source": "s", "date": "2026-11-22", "currency": "USD", "unit": "million tokens"}
    models = {"openai/a": {"input": 1.0, "output": 2.0, "tiers": [{"above": 10, "input": 3.0, "output": 4.0}]}}

    found = read(encoded({**ours, "models": models}), "list")

    assert (found["openai/a"].input, found["openai/a"].output) == (1.0, 2.0)


def test_what_moved_is_named_with_both_prices_and_what_is_missing_is_counted() -> None:
    found = compare(OURS, read(encoded(THEIRS), "list"))

    assert found.moves == [Move("gemini/gemini-2.5-pro", "output", 8.0, 10.0)]
    assert found.moves[0].change == pytest.approx(0.25)
    assert (found.compared, found.missing) == (2, ["openai/gone"])


def test_a_rate_that_only_they_have_is_a_difference_and_one_that_only_we_have_is_none() -> None:
    plain, full = Rates(input=1, output=2), Rates(input=1, output=2, cached_input=0.1)

    assert compare({"a/b": plain}, {"a/b": full}).moves == [Move("a/b", "cached_input", None, 0.1)]
    assert compare({"a/b": full}, {"a/b": plain}).moves == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"<html>", "list: JSON is malformed"),
        (b"[]", "list: no price found; wanted: a prices.json of gridtie, or a map of models"),
        (encoded({"a": {"price": 1}}), "input_cost_per_token and output_cost_per_token"),
        (encoded({"models": {"a/b": {"input": 1}}}), "list: Object missing required field"),
    ],
)
def test_a_list_of_another_kind_is_told(text: bytes, says: str) -> None:
    with pytest.raises(PricesError) as error:
        read(text, "list")
    assert says in str(error.value)
