"""Questions about usage, as people write them into URLs."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridtie.gateway.admin.usage import read_query
from standins.router import Station, routing, run
from standins.scripted import Upstream, whole


@pytest.mark.parametrize(
    ("query", "since"),
    [
        ("since=2026-11-29T00:00:00+02:00", "2026-11-29T00:00:00+02:00"),
        ("since=2026-11-29T00:00:00%2B02:00", "2026-11-29T00:00:00+02:00"),
        ("since=2026-11-29+00:00:00+0200", "2026-11-29 00:00:00+0200"),
        ("since=2026-11-29T10+02", "2026-11-29T10+02"),
        ("since=2026-11-29+10:00", "2026-11-29 10:00"),
        ("since=2026-11-29T10:00:00-02:00", "2026-11-29T10:00:00-02:00"),
        ("since=24h", "24h"),
        ("since=24h&since=7d", "7d"),
    ],
)
def test_a_plus_before_an_offset_is_one(query: str, since: str) -> None:
    assert read_query(query) == {"since": since}


def test_an_unescaped_offset_is_understood(tmp_path: Path) -> None:
    async def ask() -> list[int]:
        async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
            queries = ("since=2026-11-29T00:00:00+02:00", "since=2026-11-29T00:00:00+02:00&until=2026-11-30+00:00")
            return [(await station.ask(path=f"/gridtie/usage?{query}")).status for query in queries]

    assert run(ask) == [200, 200]
