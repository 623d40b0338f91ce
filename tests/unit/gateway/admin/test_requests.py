"""The latest requests, of whom they are shown to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from standins.router import KEY, OTHER_KEY, Station, chat, routing, run
from standins.scripted import Upstream, whole


def test_a_key_sees_its_own_requests_and_an_admin_all_of_them_the_newest_first(tmp_path: Path) -> None:
    async def ask() -> list[Any]:
        async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
            for key in (KEY, OTHER_KEY, KEY):
                assert (await station.ask(chat(), key=key)).status == 200
            paths = ("/gridtie/requests", "/gridtie/requests?last=1")
            answers = [(await station.ask(path=path, key=key)).json for path in paths for key in (KEY, OTHER_KEY)]
            return [[row["key"] for row in answer["requests"]] for answer in answers]

    assert run(ask) == [["station", "dev", "station"], ["dev"], ["station"], ["dev"]]


@pytest.mark.parametrize("query", ["last=0", "last=-1", "last=1001", "last=x", "since=24h", "last=1&key=station"])
def test_a_question_that_cannot_be_answered_is_refused(tmp_path: Path, query: str) -> None:
    async def ask() -> tuple[int, str]:
        async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
            answer = await station.ask(path=f"/gridtie/requests?{query}")
            return answer.status, answer.json["error"]["code"]

    assert run(ask) == (400, "invalid_query")


def test_without_a_key_nothing_is_told(tmp_path: Path) -> None:
    async def ask() -> int:
        async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
            return (await station.ask(path="/gridtie/requests", key=None)).status

    assert run(ask) == 401
