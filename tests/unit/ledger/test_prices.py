"""What tokens cost, against sums done by hand."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from gridtie.config.schema import Defaults, Price
from gridtie.dialects.types import Usage
from gridtie.ledger.prices import ModelPrices, PriceFile, Prices, PricesError, Tier

SHIPPED = Path(__file__).parents[3] / "config" / "prices.json"

LISTED = {
    # Published rates, US dollars per million tokens.
    "openai/gpt-5.4-mini": ModelPrices(input=0.75, output=4.5, cached_input=0.075),
    "anthropic/claude-sonnet-5": ModelPrices(input=2.0, output=10.0, cached_input=0.2, cache_write=2.5),
    "openai/gpt-5.4": ModelPrices(
        input=2.5,
        output=15.0,
        cached_input=0.25,
        tiers=(Tier(above=272_000, input=5.0, output=22.5, cached_input=0.5),),
    ),
    "plain/model": ModelPrices(input=1.0, output=2.0),
}


def prices(models: dict[str, ModelPrices] = LISTED) -> Prices:
    return Prices(
        PriceFile(schema=1, source="test", date="2026-11-22", currency="USD", unit="million tokens", models=models)
    )


@pytest.mark.parametrize(
    ("ref", "usage", "dollars"),
    [
        # 1000 x 0.75 + 100 x 4.5 = 750 + 450 = 1200 millionths.
        ("openai/gpt-5.4-mini", Usage(input=1000, output=100), 0.001200),
        # 600 x 0.75 + 400 x 0.075 + 100 x 4.5 = 450 + 30 + 450.
        ("openai/gpt-5.4-mini", Usage(input=1000, output=100, cached=400), 0.000930),
        # 200 x 2 + 300 x 0.2 + 500 x 2.5 + 10 x 10 = 400 + 60 + 1250 + 100.
        ("anthropic/claude-sonnet-5", Usage(input=1000, output=10, cached=300, cache_write=500), 0.001810),
        # Exactly at the limit the base rates hold: 272000 x 2.5 = 680000.
        ("openai/gpt-5.4", Usage(input=272_000, output=0), 0.68),
        # One token above it all tokens are dearer: 272001 x 5 + 1000 x 22.5.
        ("openai/gpt-5.4", Usage(input=272_001, output=1000), 1.382505),
        # No discount known: a cached token costs what any other does. 1000 x 1 + 10 x 2.
        ("plain/model", Usage(input=1000, output=10, cached=900, cache_write=50), 0.001020),
        ("plain/model", Usage(input=0, output=0), 0.0),
    ],
)
def test_cost_is_the_sum_done_by_hand(ref: str, usage: Usage, dollars: float) -> None:
    assert prices().cost(ref, usage) == pytest.approx(dollars, abs=1e-12)


def test_an_unknown_model_has_no_price_and_never_a_zero() -> None:
    assert prices().cost("openai/gpt-99", Usage(input=1, output=1)) is None


@pytest.mark.parametrize("suffix", ["-2026-03-17", "-20260317", "-latest"])
def test_a_dated_name_costs_what_its_family_does(suffix: str) -> None:
    assert prices().cost("openai/gpt-5.4-mini" + suffix, Usage(input=1000, output=100)) == pytest.approx(0.0012)


def test_the_routing_files_price_wins_over_the_snapshot() -> None:
    own = {"openai/gpt-5.4-mini": Price(input=10.0, output=20.0, cached_input=1.0)}
    # 500 x 10 + 500 x 1 + 100 x 20 = 5000 + 500 + 2000.
    cost = prices().cost("openai/gpt-5.4-mini", Usage(input=1000, output=100, cached=500), own)
    assert cost == pytest.approx(0.0075)


def test_a_local_answer_costs_nothing_and_its_baseline_is_that_of_the_same_tokens() -> None:
    charge = prices().charge("station/m", "local", "openai/gpt-5.4-mini", Usage(input=1000, output=100))
    assert (charge.cost_usd, charge.baseline_usd) == (0.0, pytest.approx(0.0012))


def test_a_cloud_answer_without_a_price_has_no_cost() -> None:
    charge = prices().charge("mine/unheard-of", "cloud", "openai/gpt-5.4-mini", Usage(input=1000, output=100))
    assert (charge.cost_usd, charge.baseline_usd) == (None, pytest.approx(0.0012))


def test_the_rates_that_were_used_are_told_without_what_is_not_known() -> None:
    charge = prices().charge("openai/gpt-5.4", "cloud", "plain/model", Usage(input=300_000, output=1))
    assert json.loads(charge.prices) == {
        # Those of the tier that the prompt reached.
        "target": {"input": 5.0, "output": 22.5, "cached_input": 0.5},
        "baseline": {"input": 1.0, "output": 2.0},
    }


def test_a_local_answer_has_the_baselines_rates_alone_and_without_any_there_are_none() -> None:
    usage = Usage(input=1, output=1)
    assert json.loads(prices().charge("station/m", "local", "plain/model", usage).prices) == {
        "baseline": {"input": 1.0, "output": 2.0}
    }
    assert prices().charge("station/m", "local", "", usage).prices == ""
    assert prices().charge("mine/unheard-of", "cloud", "mine/other", usage).prices == ""


def test_the_text_of_the_rates_is_made_once_and_follows_the_routing_files_price() -> None:
    usage, known = Usage(input=1, output=1), prices()
    first, again = (known.charge("plain/model", "cloud", "plain/model", usage).prices for _ in range(2))
    own = {"plain/model": Price(input=9.0, output=8.0)}
    changed, kept = (known.charge("plain/model", "cloud", "plain/model", usage, own).prices for _ in range(2))
    dearer = known.charge("plain/model", "cloud", "plain/model", usage, {"plain/model": Price(input=7.0, output=8.0)})

    assert (first is again, changed is kept) == (True, True)
    rates = [json.loads(text)["target"]["input"] for text in (first, changed, dearer.prices)]
    assert rates == [1.0, 9.0, 7.0]


def test_without_a_baseline_none_is_computed() -> None:
    assert prices().charge("station/m", "local", "", Usage(input=1, output=1)).baseline_usd is None


def test_the_shipped_snapshot_loads_and_prices_the_default_baseline() -> None:
    shipped = Prices.load(SHIPPED)
    assert "openai/gpt-5.4-mini" in shipped
    assert shipped.date >= "2026-11-22"


def test_every_default_of_the_routing_schema_has_a_price() -> None:
    assert Defaults().baseline in Prices.load(SHIPPED)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 2}, "schema 2 found, 1 wanted"),
        ({"date": "yesterday"}, "YYYY-MM-DD"),
        ({"currency": "EUR"}, "USD per million tokens wanted"),
        ({"models": {}}, "no models"),
        ({"models": {"a/b": {"input": -1, "output": 1}}}, "a/b: a negative price"),
        ({"models": {"a/b": {"input": 1, "output": 1, "inputs": 1}}}, "unknown field"),
        ({"models": {"a/b": {"input": 1}}}, "missing required field `output`"),
        (
            {"models": {"a/b": {"input": 1, "output": 1, "tiers": [{"above": 0, "input": 1, "output": 1}]}}},
            "ascending",
        ),
    ],
)
def test_a_wrong_price_file_is_refused_and_says_what_to_do(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    content = {"schema": 1, "source": "s", "date": "2026-11-22", "currency": "USD", "unit": "million tokens"}
    content |= {"models": {"a/b": {"input": 1, "output": 1}}} | change
    path = tmp_path / "prices.json"
    path.write_bytes(msgspec.json.encode(content))
    with pytest.raises(PricesError, match=said) as caught:
        Prices.load(path)
    assert str(path) in str(caught.value)
    assert "gridtie prices refresh" in str(caught.value)


def test_a_missing_price_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PricesError, match="No such file"):
        Prices.load(tmp_path / "prices.json")
