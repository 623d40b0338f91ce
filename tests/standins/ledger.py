"""Ledgers and rows for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gridtie.ledger import Entry, Ledger, Prices, Try
from gridtie.ledger.prices import ModelPrices, PriceFile

BASELINE = "openai/gpt-5.4-mini"
LOCAL = "station/gridtie/smollm2:135m"
CLOUD = "openai/gpt-5.4"

# 2026-11-22T14:00:00Z.
NOON = 1_795_356_000.0

PRICES = Prices(
    PriceFile(
        schema=1,
        source="test",
        date="2026-11-22",
        currency="USD",
        unit="million tokens",
        models={
            BASELINE: ModelPrices(input=0.75, output=4.5, cached_input=0.075),
            CLOUD: ModelPrices(input=2.5, output=15.0, cached_input=0.25),
        },
    )
)


def open_ledger(state_dir: Path, **options: Any) -> Ledger:
    return Ledger(state_dir, PRICES, **options)


def local(id: str, **changes: Any) -> Entry:
    """A row of a request that the station answered: 1000 tokens in, 100 out, baseline 0.0012 dollars."""
    return Entry(**(_common(id) | _answered(LOCAL, "local") | {"cost_usd": 0.0} | changes))


def cloud(id: str, **changes: Any) -> Entry:
    """A row of a request that a cloud answered: 0.004 dollars spent, baseline 0.0012."""
    return Entry(**(_common(id) | _answered(CLOUD, "cloud") | {"cost_usd": 0.004} | changes))


def refused(id: str, **changes: Any) -> Entry:
    """A row of a request that was refused before anything was tried."""
    return Entry(**(_common(id) | {"status": 403, "error": "private"} | changes))


def _common(id: str) -> dict[str, Any]:
    return {
        "id": id,
        "time": NOON,
        "key": "station",
        "environment": "dev",
        "surface": "openai",
        "asked": "coder",
        "status": 200,
        "agent": "coder",
        "rule": "dev-local-first",
        "duration": 0.5,
        "price_date": "2026-11-22",
    }


def _answered(target: str, locality: str) -> dict[str, Any]:
    return {
        "target": target,
        "locality": locality,
        "served": target.partition("/")[2],
        "tries": (Try(target=target, locality=locality, outcome="ok", duration=0.5),),
        "input_tokens": 1000,
        "output_tokens": 100,
        "first_token": 0.1,
        "baseline": BASELINE,
        "baseline_usd": 0.0012,
    }
