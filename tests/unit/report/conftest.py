"""A ledger in which every figure of a report can be worked out by hand, and the question that is put to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from gridtie.config.schema import Hardware
from gridtie.ledger import Entry, Try, Zone
from gridtie.ledger.prices import ModelPrices, Rates, Tier
from gridtie.report.figures import report
from gridtie.report.question import Other, Power, Question
from standins.ledger import CLOUD, LOCAL, NOON, cloud, local, open_ledger, refused

DAY = 86_400.0
POOLED = "pool.gpu/qwen"
PRICED = "gpu-server/some-model"
NANO = "openai/gpt-5.4-nano"


def _tried(*tries: tuple[str, str, str]) -> tuple[Try, ...]:
    return tuple(Try(target=target, locality=place, outcome=outcome) for target, place, outcome in tries)


# 1000 tokens in and 100 out each; on the baseline 0.0012 dollars, at the cloud 0.004.
ROWS = (
    # 10 s each, of which 5 s at the same time: the machine answered for 15 s.
    local("l1", duration=10.0, first_token=1.0, tags=("shop", "api")),
    local("l2", time=NOON + 5, duration=10.0, first_token=2.0, tags=("shop",), project="web"),
    # 4 s in the queue, 6 s of work, on another machine and at the same time.
    local("p1", target=POOLED, duration=10.0, waited=4.0, first_token=6.0, key="bob", agent=None),
    # Its tokens have a price of their own here, in place of electricity.
    local("g1", target=PRICED, duration=30.0, first_token=3.0, environment="test"),
    # The day before; what it rests on was estimated.
    local("e1", time=NOON - DAY, duration=5.0, first_token=1.0, estimated=True),
    # Broke off after 3 s: electricity, and nothing avoided.
    local("b1", time=NOON + 100, complete=False, duration=3.0, code="broken", tries=_tried((LOCAL, "local", "broken"))),
    cloud("c1", environment="production", rule="production"),
    # Nobody knows the price of what answered.
    cloud("c2", environment="production", rule="production", cost_usd=None, target="openai/new"),
    # Nobody knows the price of what it is compared with.
    cloud("c3", environment="production", baseline="openai/unheard-of", baseline_usd=None, cost_usd=0.002),
    # Meant for the cloud, which was busy; the station answered.
    local(
        "f1",
        time=NOON + 200,
        duration=2.0,
        first_token=0.5,
        tries=_tried((CLOUD, "cloud", "busy"), (LOCAL, "local", "ok")),
    ),
    refused("r1", private=True, tags=("private",), code="private_needs_local"),
    # The tool's own traffic, and what another station counts.
    local("o1", purpose="bench", duration=50.0),
    cloud("o2", purpose="demo"),
    local("x1", environment="relay", key="relay.laptop", duration=70.0, baseline="", baseline_usd=None),
)

QUESTION = Question(
    since=NOON - 2 * DAY,
    until=NOON + DAY,
    zone=Zone(),
    power=Power(watts=360.0, idle_watts=0.0, usd_per_kwh=0.5, chosen=True),
    hardware=None,
    others=(
        Other(ref=NANO, prices=ModelPrices(input=0.2, output=1.25, tiers=(Tier(above=999, input=0.4, output=2.5),))),
        Other(ref=CLOUD, prices=ModelPrices(input=2.5, output=15.0, cached_input=0.25)),
    ),
    price_date="2026-11-22",
    own_prices={PRICED: Rates(input=0.1, output=0.4)},
    only={},
)
HARDWARE = Hardware(usd=1460.0, years=4.0, resale_usd=0.0)

Make = Callable[..., Path]


@pytest.fixture
def ledger_of(tmp_path: Path) -> Make:
    """Write rows into a ledger; gives its file."""

    def make(rows: Iterable[Entry] = ROWS, name: str = "state") -> Path:
        opened = open_ledger(tmp_path / name)
        for row in rows:
            opened.record(row)
        opened.close()
        return opened.database

    return make


@pytest.fixture
def found(ledger_of: Make) -> dict[str, Any]:
    """The report on ROWS."""
    return report(QUESTION, ledger_of())
