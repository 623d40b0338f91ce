"""Figures of a period are the report's own, of whoever is signed in."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gridtie.config.schema import Routing
from gridtie.gateway.dashboard.history import PERIODS
from gridtie.ledger import Entry, Try
from gridtie.ledger.zone import Zone
from gridtie.report.figures import report
from gridtie.report.question import Question
from gridtie.report.tariff import own_prices, power_of
from standins.ledger import CLOUD, LOCAL, cloud, local, open_ledger, refused
from standins.router import KEY, OTHER_KEY, Station, routing, run
from standins.signed_in import Browser, signed_in

T = TypeVar("T")


def with_past(
    directory: Path, rows: Sequence[Entry], work: Callable[[Station, Browser], Awaitable[T]], key: str = KEY
) -> T:
    """Do something at a router whose ledger has these rows."""

    async def inside() -> T:
        async with Station(directory, routing("http://127.0.0.1:1/v1", use="[local]")) as station:
            return await work(station, await signed_in(station, key))

    ledger = open_ledger(directory / "state")
    for row in rows:
        ledger.record(row)
    ledger.close()
    return run(inside)


def some(now: float) -> list[Entry]:
    fell_back = (
        Try(target=LOCAL, locality="local", outcome="unreachable"),
        Try(target=CLOUD, locality="cloud", outcome="ok"),
    )
    return [
        *(local(f"l{at}", time=now - 600 * at - 1, first_token=0.1 * (at + 1), key="dev") for at in range(10)),
        *(cloud(f"c{at}", time=now - 900 * at - 1) for at in range(4)),
        cloud("fell-back", time=now - 50, tries=fell_back),
        refused("refused", time=now - 40, code="budget_exhausted"),
        local("doctor", time=now - 30, purpose="doctor"),
        local("old", time=now - 40 * 86400, key="dev"),
        local("relayed", time=now - 20, environment="relay"),
    ]


def test_every_figure_is_that_of_the_report(tmp_path: Path) -> None:
    now = time.time()

    async def ask(_: Station, browser: Browser) -> Any:
        return (await browser.get("history?period=day")).json

    told = with_past(tmp_path, some(now), ask)

    rules = Routing(version=1, providers={}, models={}, rules=[])
    question = Question(
        since=told["since"],
        until=told["until"],
        zone=Zone(),
        power=power_of(None),
        hardware=None,
        others=(),
        price_date="",
        own_prices=own_prices(rules),
        only={},
    )
    same = report(question, tmp_path / "state" / "ledger" / "ledger.sqlite")
    for name in ("totals", "named", "confidence", "unanswered", "fallbacks", "private_at_a_cloud"):
        assert told[name] == same[name], name
    assert told["speed"] == same["latency_by_place"]
    assert {name: told["money"][name] for name in same["bottom_line"]} == same["bottom_line"]
    assert told["totals"]["requests"] == 16
    assert told["by"]["key"] == sorted(same["by"]["key"], key=lambda row: -row["requests"])


def test_what_is_drawn_adds_up_to_the_totals(tmp_path: Path) -> None:
    now = time.time()

    async def ask(_: Station, browser: Browser) -> Any:
        return (await browser.get("history?period=day")).json

    told = with_past(tmp_path, some(now), ask)
    totals, series = told["totals"], told["series"]
    for drawn, total in (("requests", "requests"), ("local", "local_requests"), ("cost_usd", "cloud_usd")):
        assert sum(row[drawn] or 0 for row in series) == pytest.approx(totals[total])
    assert sum(row["unanswered"] for row in series) == totals["refused"]
    steps = PERIODS["day"].seconds // PERIODS["day"].step
    assert all(0 <= row["at"] < steps for row in series)
    last = series[-1]
    assert last["at"] == steps - 1
    assert last["first_token_p50"] <= last["first_token_p95"]


def test_percentiles_are_those_of_each_step(tmp_path: Path) -> None:
    now = time.time()
    rows = [local(f"r{at}", time=now - 10, first_token=float(at)) for at in range(1, 101)]
    rows.append(refused("none", time=now - 10))

    async def ask(_: Station, browser: Browser) -> Any:
        return (await browser.get("history?period=hour")).json

    (row,) = with_past(tmp_path, rows, ask)["series"]
    assert (row["first_token_p50"], row["first_token_p95"]) == (50.0, 95.0)


def test_a_key_sees_its_own_alone(tmp_path: Path) -> None:
    now = time.time()

    async def ask(_: Station, browser: Browser) -> Any:
        return (await browser.get("history?period=month")).json

    told = with_past(tmp_path, some(now), ask, OTHER_KEY)
    assert told["totals"]["requests"] == 10
    assert [row["group"] for row in told["by"]["key"]] == ["dev"]
    assert sum(row["requests"] for row in told["series"]) == 10


def test_the_doctors_last_question_is_seen(tmp_path: Path) -> None:
    now = time.time()

    async def ask(_: Station, browser: Browser) -> Any:
        return (await browser.get("history?period=hour")).json["doctor"]

    assert with_past(tmp_path, some(now), ask)["answered"] is True


def test_a_ledger_without_a_row_is_no_error(tmp_path: Path) -> None:
    async def ask(_: Station, browser: Browser) -> list[Any]:
        return [(await browser.get(f"history?period={name}")).json for name in PERIODS]

    for told in with_past(tmp_path, [], ask):
        assert told["totals"]["requests"] == 0
        assert told["series"] == []
        assert told["doctor"] is None


@pytest.mark.parametrize("query", ["period=year", "period=day%27"])
def test_another_period_is_told_which_there_are(tmp_path: Path, query: str) -> None:
    async def ask(_: Station, browser: Browser) -> Any:
        return await browser.get(f"history?{query}")

    answered = with_past(tmp_path, [], ask)
    assert (answered.status, answered.error["code"]) == (400, "invalid_query")
    assert "hour, day, week, month" in answered.error["message"]
