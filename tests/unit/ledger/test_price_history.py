"""What a model cost before stays known when a fresh snapshot takes the place of the old one."""

from __future__ import annotations

import datetime
from pathlib import Path

import msgspec
import pytest

from gridtie.ledger import refresh
from gridtie.ledger.price_history import NAME, Former, History, continued, load
from gridtie.ledger.prices import ModelPrices, PriceFile, PricesError, Tier

CONFIG = Path(__file__).parents[3] / "config"


def snapshot(date: str, **models: ModelPrices) -> PriceFile:
    return PriceFile(
        schema=1,
        source="s",
        date=date,
        currency="USD",
        unit="million tokens",
        models={f"o/{k}": v for k, v in models.items()},
    )


DEAR = ModelPrices(input=3, output=15, tiers=(Tier(above=10, input=6, output=30),))
CHEAP = ModelPrices(input=2, output=10)


def test_a_price_that_moved_is_kept_with_its_tiers_until_the_day_of_the_fresh_snapshot() -> None:
    found = continued(History(), snapshot("2026-08-21", a=DEAR, b=CHEAP), snapshot("2026-11-22", a=CHEAP, b=CHEAP), {})

    assert found.models == {"o/a": [Former(until="2026-11-22", input=3, output=15, tiers=DEAR.tiers)]}


def test_where_the_source_knows_the_day_of_a_move_that_day_is_kept() -> None:
    told = {"o/a": [Former(until="2026-10-01", input=3, output=15)]}

    found = continued(History(), snapshot("2026-08-21", a=DEAR), snapshot("2026-11-22", a=CHEAP), told)

    assert [each.until for each in found.models["o/a"]] == ["2026-10-01"]


def test_a_second_refresh_of_the_day_does_not_overwrite_what_the_model_cost_until_then() -> None:
    """A better list on the same day corrects the price of today; yesterday's was what it was."""
    wrong, right = snapshot("2026-11-22", a=CHEAP), snapshot("2026-11-22", a=ModelPrices(input=1, output=5))
    once = continued(History(), snapshot("2026-08-21", a=DEAR), wrong, {})

    assert continued(once, wrong, right, {}) == once


def test_former_prices_are_told_once_and_stay_when_the_source_forgets_them() -> None:
    told = {"o/a": [Former(until="2026-10-01", input=3, output=15)]}
    now = snapshot("2026-11-22", a=CHEAP)

    once = continued(History(), None, now, told)
    again = continued(once, now, snapshot("2026-12-01", a=CHEAP), {})

    assert once == again
    assert len(again.models["o/a"]) == 1


def test_a_model_that_is_listed_no_more_has_not_changed_its_price() -> None:
    assert continued(History(), snapshot("2026-08-21", a=DEAR), snapshot("2026-11-22"), {}).models == {}


def test_a_refresh_writes_the_history_beside_the_snapshot(tmp_path: Path) -> None:
    fresh = refresh.price_file(datetime.date(2026, 11, 22))
    ref = "openai/gpt-5.4-mini"
    old = msgspec.structs.replace(fresh, date="2026-08-21", models={**fresh.models, ref: DEAR})
    refresh.write(tmp_path / "prices.json", old)

    refresh.write(tmp_path / "prices.json", fresh)

    (former,) = load(tmp_path / NAME).models[ref]
    assert (former.until, former.input) == ("2026-11-22", 3)


def test_a_history_that_cannot_be_read_stops_the_refresh_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('{"schema": 7}')

    with pytest.raises(PricesError, match="schema 7, USD per million tokens found"):
        refresh.write(tmp_path / "prices.json", snapshot("2026-11-22", a=CHEAP))

    assert not (tmp_path / "prices.json").exists()


def test_the_source_tells_on_which_day_a_price_moved() -> None:
    told = refresh.former_prices(datetime.date(2026, 11, 22))["anthropic/claude-sonnet-4-6"]

    # Its long prompts were dearer until then.
    assert [(each.until, each.input, each.tiers[0].input) for each in told] == [("2026-03-13", 3, 6)]


def test_the_history_that_ships_is_in_order_and_of_models_that_the_snapshot_has() -> None:
    history = load(CONFIG / NAME)
    models = msgspec.json.decode((CONFIG / "prices.json").read_bytes(), type=PriceFile).models

    assert history.models
    assert history.models.keys() <= models.keys()
    for formers in history.models.values():
        days = [each.until for each in formers]
        assert days == sorted(set(days))
