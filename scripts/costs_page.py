#!/usr/bin/env python3
"""Write the tables of docs/costs.md from prices and assumptions; with `--check` only say whether they are current."""

from __future__ import annotations

import datetime
import sys
from pathlib import Path
from typing import Any

from models_page import fill, settle, table

from gridtie.config.load import load_routing
from gridtie.config.schema import Electricity
from gridtie.ledger import Prices, Zone
from gridtie.report.assumptions import parse
from gridtie.report.question import Other, Power, Question
from gridtie.report.what_if import what_if
from gridtie.report.what_if_told import HEAD, rows, traffic
from gridtie.report.words import money, percent

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "costs.md"
ASSUMED = ROOT / "docs" / "what-if.yaml"
# A laptop, a workstation's processor, one large card, a server of several.
WATTS = (45, 100, 300, 700)
SPEEDS = (10, 20, 40, 100)
# From the cheapest to the dearest that people would compare with.
LISTED = (
    "openai/gpt-6-luna",
    "anthropic/claude-haiku-5-5",
    "openai/gpt-5.4-nano",
    "openai/gpt-5.4-mini",
    "anthropic/claude-sonnet-5",
    "openai/gpt-5.4",
    "anthropic/claude-opus-5",
)
BASELINES = ("openai/gpt-5.4-nano", "openai/gpt-5.4", "anthropic/claude-sonnet-5")


def electricity(_: Prices) -> str:
    """Dollars of a million output tokens, for watts and speeds."""
    price = Electricity().usd_per_kwh
    head = ["", *(f"{speed} tokens/s" for speed in SPEEDS)]
    cells = [[f"{watts} W", *(money(watts / 3.6 / speed * price) for speed in SPEEDS)] for watts in WATTS]
    return table(head, cells, set(range(1, len(head))))


def listed(prices: Prices) -> str:
    """What a cloud takes for it."""
    models = [(ref, model) for ref in LISTED if (model := prices.listed(ref))]
    cells = [[f"`{ref}`", money(model.output), money(model.input)] for ref, model in models]
    return table([f"list prices of {prices.date}", "output", "input"], cells, {1, 2})


def asked(prices: Prices) -> dict[str, Any]:
    """The answer to the example of `--what-if`; the same whenever it is asked."""
    until = datetime.datetime.fromisoformat(f"{prices.date}T00:00:00+00:00").timestamp()
    assumed = parse(ASSUMED.read_bytes(), ASSUMED.name)
    default = Electricity()
    question = Question(
        since=until - 1,
        until=until,
        zone=Zone(),
        power=Power(watts=default.watts, idle_watts=default.idle_watts, usd_per_kwh=default.usd_per_kwh),
        hardware=None,
        others=tuple(_other(ref, prices) for ref in BASELINES),
        price_date=prices.date,
        own_prices={},
        only={},
    )
    baseline = _other(load_routing(ROOT / "config" / "llm_routing.yaml").defaults.baseline, prices)
    clouds = {each.name: _other(each.cloud, prices) for each in assumed.candidates if each.cloud}
    # Its traffic is assumed: no ledger is opened.
    return what_if(assumed, question, baseline, clouds, ROOT / "none")


def page(text: str, prices: Prices) -> str:
    """The page with everything between its marks written anew. Raises ValueError where a mark is missing."""
    found = asked(prices)
    told = traffic(found)
    made = {
        "electricity": electricity(prices),
        "listed": listed(prices),
        "traffic": f"{told[0].upper()}{told[1:]}; the baseline is `{found['candidates'][0]['named'][0]['baseline']}`.",
        "candidates": table(list(HEAD), [list(row) for row in rows(found)], set(range(1, len(HEAD)))),
        "baselines": _against(found),
    }
    for name, content in made.items():
        text = fill(text, PAGE.name, name, content)
    return text


def _against(found: dict[str, Any]) -> str:
    refs = [line["ref"] for line in found["candidates"][0]["baselines"] if line["ref"]]
    cells = []
    for one in found["candidates"]:
        lines = {line["ref"]: line for line in one["baselines"]}
        nets = (f"{money(lines[ref]['net_usd'])} ({percent(lines[ref]['net_share'])})" for ref in refs)
        cells.append([one["candidate"]["name"], *nets])
    return table(["net against", *(f"`{ref}`" for ref in refs)], cells, set(range(1, len(refs) + 1)))


def _other(ref: str, prices: Prices) -> Other:
    found = prices.listed(ref)
    if found is None:
        raise ValueError(f"{ref} is not in config/prices.json")
    return Other(ref=ref, prices=found)


def main() -> int:
    """Write the page, or say that it is not up to date."""
    return settle(PAGE, page(PAGE.read_text(encoding="utf-8"), Prices.load(ROOT / "config" / "prices.json")))


if __name__ == "__main__":
    sys.exit(main())
