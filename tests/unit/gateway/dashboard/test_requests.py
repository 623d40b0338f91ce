"""Rows of the ledger as filters choose them: on a page, and as files to take away."""

from __future__ import annotations

import asyncio
import csv
import io
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gridtie.gateway.dashboard import requests
from gridtie.ledger import Entry
from standins.ledger import cloud, local, open_ledger, refused
from standins.router import KEY, OTHER_KEY, Station, request, routing, run
from standins.signed_in import Browser, signed_in

T = TypeVar("T")


def with_past(directory: Path, rows: Sequence[Entry], work: Callable[[Browser], Awaitable[T]], key: str = KEY) -> T:
    async def inside() -> T:
        async with Station(directory, routing("http://127.0.0.1:1/v1", use="[local]")) as station:
            return await work(await signed_in(station, key))

    ledger = open_ledger(directory / "state")
    for row in rows:
        ledger.record(row)
    ledger.close()
    return run(inside)


def some() -> list[Entry]:
    now = time.time()
    return [
        local("mine", time=now - 5, key="dev", agent="aider"),
        local("theirs", time=now - 10, private=True),
        cloud("far", time=now - 20, environment="production", complete=False),
        refused("no", time=now - 30, code="budget_exhausted"),
        local("last-week", time=now - 3 * 86400),
    ]


async def ids(browser: Browser, query: str) -> list[str]:
    answered = await browser.get(f"requests?{query}")
    assert answered.status == 200, answered.body
    return [row["id"] for row in answered.json["requests"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["mine", "theirs", "far", "no"]),
        ("period=week", ["mine", "theirs", "far", "no", "last-week"]),
        ("outcome=interrupted", ["far"]),
        ("outcome=refused", ["no"]),
        ("place=cloud", ["far"]),
        ("place=nowhere", ["no"]),
        ("private=1", ["theirs"]),
        ("key=dev", ["mine"]),
        ("environment=production&outcome=answered", []),
        ("agent=aider", ["mine"]),
        ("text=BUDGET", ["no"]),
        ("text=aider", ["mine"]),
        ("code=budget_exhausted", ["no"]),
        ("id=far", ["far"]),
        ("text=%27%20OR%201%3D1%20--", []),
    ],
)
def test_filters_leave_what_they_say_the_newest_first(tmp_path: Path, query: str, found: list[str]) -> None:
    assert with_past(tmp_path, some(), lambda browser: ids(browser, query)) == found


def test_a_key_sees_its_own_alone_also_in_files(tmp_path: Path) -> None:
    async def ask(browser: Browser) -> list[Any]:
        return [
            await ids(browser, "key=station"),
            await ids(browser, ""),
            [row["id"] for row in (await browser.get("requests.json")).json["requests"]],
            (await browser.get("requests.csv")).body.decode().count("\n"),
        ]

    assert with_past(tmp_path, some(), ask, OTHER_KEY) == [[], ["mine"], ["mine"], 2]


def test_pages_follow_one_another_without_a_gap_also_where_times_are_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "PAGE", 3)
    now = time.time()
    rows = [local(f"r{at:02}", time=now - 10) for at in range(8)]

    async def ask(browser: Browser) -> list[list[str]]:
        pages, older = [], ""
        while older is not None:
            answered = (await browser.get(f"requests?before={older}")).json
            pages.append([row["id"] for row in answered["requests"]])
            older = answered["older"]
        return pages

    assert with_past(tmp_path, rows, ask) == [["r07", "r06", "r05"], ["r04", "r03", "r02"], ["r01", "r00"]]


def test_files_have_the_same_rows_and_no_cell_that_a_spreadsheet_computes(tmp_path: Path) -> None:
    rows = [*some(), local("evil", time=time.time() - 1, agent='=HYPERLINK("https://elsewhere.example")')]

    async def ask(browser: Browser) -> tuple[Any, Any]:
        return await browser.get("requests.csv?period=week"), await browser.get("requests.json?period=week")

    as_csv, as_json = with_past(tmp_path, rows, ask)
    assert as_csv.headers["content-type"].startswith("text/csv")
    assert 'filename="gridtie-requests.csv"' in as_csv.headers["content-disposition"]
    table = list(csv.DictReader(io.StringIO(as_csv.body.decode())))
    assert [row["id"] for row in table] == [row["id"] for row in as_json.json["requests"]]
    assert table[0]["agent"].startswith("'=")
    assert [row["outcome"] for row in table][1:5] == ["answered", "answered", "interrupted", "refused"]
    assert as_json.json["cut"] is False


def test_a_file_is_bounded_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "MOST_EXPORTED", 2)

    async def ask(browser: Browser) -> Any:
        return (await browser.get("requests.json")).json

    found = with_past(tmp_path, some(), ask)
    assert len(found["requests"]) == 2
    assert found["cut"] is True


def test_a_file_is_not_held_on_to_once_it_is_sent(tmp_path: Path) -> None:
    """It has up to megabytes, and there are as many different ones as queries."""

    async def ask(browser: Browser) -> int:
        for at in range(3):
            for form in ("csv", "json"):
                assert (await browser.get(f"requests.{form}?text={at}")).status == 200
        return len(browser.station.router.dashboard._reader._kept)

    assert with_past(tmp_path, some(), ask) == 0


def test_a_file_that_is_not_taken_counts_as_held_by_its_viewers_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One key has half of what the router holds, be it by questions to models or by the dashboard."""
    monkeypatch.setattr(requests, "_csv", lambda rows: b"x" * 20_000_000)

    async def ask(browser: Browser) -> tuple[int, int]:
        station = browser.station
        wire = await station.connect()
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        path = "/dashboard/requests.csv"
        await wire.send(request(path=path, key=None, headers=browser.headers, port=station.port))
        async with asyncio.timeout(10):
            while not station.router.held.total:
                await asyncio.sleep(0.01)
        return station.router.held.of("dev"), station.router.held.total

    held, total = with_past(tmp_path, some(), ask, OTHER_KEY)
    assert held == total > 0


@pytest.mark.parametrize("query", ["outcome=bad", "last=5", "before=1"])
def test_a_query_that_cannot_be_answered_is_refused(tmp_path: Path, query: str) -> None:
    async def ask(browser: Browser) -> Any:
        return await browser.get(f"requests?{query}")

    answered = with_past(tmp_path, [], ask)
    assert (answered.status, answered.error["code"]) == (400, "invalid_query")
