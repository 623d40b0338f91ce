"""The router's own paths, and what every answer is entered as."""

from __future__ import annotations

import json
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from gridtie.ledger.ledger import LedgerError
from standins.router import OTHER_KEY, Answered, Station, chat, routing, run
from standins.scripted import Upstream, error, whole

STATION = {
    "schema": 1,
    "engine": {"kind": "ollama", "mode": "container"},
    "models": [
        {"name": "gridtie/m", "catalogue": "m", "dialect": "openai", "url": "http://127.0.0.1:1", "context": 8192}
    ],
}


class TestHealth:
    def test_alive_and_ready_are_told_without_a_key(self, tmp_path: Path) -> None:
        async def ask() -> list[int]:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                return [(await station.ask(path=path, key=None)).status for path in ("/healthz", "/readyz", "/metrics")]

        assert run(ask) == [200, 200, 200]

    def test_a_station_is_ready_once_its_engine_has_answered(self, tmp_path: Path) -> None:
        rules = routing("http://127.0.0.1:1/v1", use="[local]").replace(
            "here: {type: openai, base_url: 'http://127.0.0.1:1/v1', locality: local}", "here: {type: station}"
        )

        async def ask() -> tuple[Answered, Answered]:
            (tmp_path / "config").mkdir()
            (tmp_path / "config" / "station.json").write_text(json.dumps(STATION))
            async with Station(tmp_path, rules.replace("here/small", "gridtie/m")) as station:
                before = await station.ask(path="/readyz")
                await station.router.health.close()
                (target,) = station.router.settings.current.targets.by_id
                station.router.state.set_ready(target, True)
                station.router.state.set_loaded(target, False)
                return before, await station.ask(path="/readyz")

        before, after = run(ask)

        assert (before.status, after.status) == (503, 200)
        assert "engine" in before.json["reasons"][0]

    def test_metrics_count_requests_and_have_no_word_of_a_client(self, tmp_path: Path) -> None:
        async def ask() -> str:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                await station.ask(chat(), headers={"x-gridtie-agent": "agent-smith", "x-gridtie-tags": "matrix"})
                await station.ask({"model": "made-up"})
                return (await station.ask(path="/metrics", key=None)).body.decode()

        text = run(ask)

        assert 'gridtie_requests_total{outcome="ok",rule="all",target="here/small"} 1.0' in text
        assert 'gridtie_requests_total{outcome="refused",rule="",target="none"} 1.0' in text
        assert not any(word in text for word in ("agent-smith", "matrix", "made-up"))


class TestOwnRequests:
    def test_a_key_sees_its_own_requests_and_an_admin_all(self, tmp_path: Path) -> None:
        async def ask() -> list[int]:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                of_admin, of_dev = await station.ask(chat()), await station.ask(chat(), key=OTHER_KEY)
                paths = [f"/gridtie/requests/{each.headers['x-gridtie-request-id']}" for each in (of_admin, of_dev)]
                return [
                    *[(await station.ask(path=path)).status for path in paths],
                    *[(await station.ask(path=path, key=OTHER_KEY)).status for path in paths],
                ]

        assert run(ask) == [200, 200, 404, 200]

    def test_usage_is_of_the_key_unless_it_is_an_admins(self, tmp_path: Path) -> None:
        async def ask() -> list[int]:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                await station.ask(chat())
                await station.ask(chat(), key=OTHER_KEY)
                answers = [
                    await station.ask(path="/gridtie/usage"),
                    await station.ask(path="/gridtie/usage", key=OTHER_KEY),
                    await station.ask(path="/gridtie/usage?key=dev"),
                    await station.ask(path="/gridtie/usage?key=station", key=OTHER_KEY),
                ]
                return [answer.json["totals"]["requests"] for answer in answers]

        assert run(ask) == [2, 1, 1, 1]

    def test_the_latest_are_the_keys_own_or_all_of_them_for_an_admin_the_newest_first(self, tmp_path: Path) -> None:
        async def ask() -> list[list[str]]:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                await station.ask(chat())
                await station.ask(chat(), key=OTHER_KEY)
                await station.ask(chat())
                answers = [
                    await station.ask(path="/gridtie/requests?last=2"),
                    await station.ask(path="/gridtie/requests"),
                    await station.ask(path="/gridtie/requests", key=OTHER_KEY),
                ]
                return [[row["key"] for row in answer.json["requests"]] for answer in answers]

        assert run(ask) == [["station", "dev"], ["station", "dev", "station"], ["dev"]]

    @pytest.mark.parametrize("query", ["last=0", "last=1001", "last=-1", "last=all", "first=3"])
    def test_a_wrong_number_of_the_latest_is_refused(self, tmp_path: Path, query: str) -> None:
        async def ask() -> Answered:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                return await station.ask(path=f"/gridtie/requests?{query}")

        answer = run(ask)

        assert answer.status == 400
        assert "last" in answer.error["message"]

    def test_a_wrong_question_is_told_what_is_right(self, tmp_path: Path) -> None:
        async def ask() -> list[Answered]:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                return [
                    await station.ask(path=f"/gridtie/usage?{query}") for query in ("sinec=1", "since=soon", "by=moon")
                ]

        answers = run(ask)

        assert [answer.status for answer in answers] == [400, 400, 400]
        assert "since" in answers[0].error["message"]


class TestRoute:
    def test_a_decision_is_told_and_nothing_is_sent(self, tmp_path: Path) -> None:
        async def ask() -> tuple[Any, Any, int]:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                told = await station.ask({"model": "coder"}, path="/gridtie/route")
                refused = await station.ask({"environment": "production"}, path="/gridtie/route", key=OTHER_KEY)
                return told.json, refused, len(here.turns)

        told, refused, sent = run(ask)

        assert (told["rule"], told["attempts"][0]["target"], sent) == ("all", "here/small", 0)
        assert refused.status == 403


class TestModels:
    def test_aliases_and_local_models_are_listed_and_found(self, tmp_path: Path) -> None:
        async def ask() -> tuple[list[str], list[int]]:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                listed = [each["id"] for each in (await station.ask(path="/v1/models")).json["data"]]
                found = [await station.ask(path=f"/v1/models/{name}") for name in ("coder", "here%2Fsmall", "none")]
                return listed, [answer.status for answer in found]

        listed, found = run(ask)

        assert listed == ["coder", "small"]
        assert found == [200, 404, 404]


class TestMetering:
    def test_every_outcome_is_one_row(self, tmp_path: Path) -> None:
        async def ask() -> list[Any]:
            async with (
                Upstream(whole(), error("500 no", "oops")) as here,
                Station(tmp_path, routing(here.url, use="[local]")) as station,
            ):
                for body in (chat(), chat(), {"model": "made-up"}, b"{oops"):
                    await station.ask(body)
                await station.ask(chat(), headers={"x-gridtie-environment": "moon"})
                return await station.rows(5)

        rows = run(ask)

        assert [(row["status"], bool(row["complete"])) for row in rows] == [
            (200, True),
            (502, False),
            (404, False),
            (400, False),
            (403, False),
        ]

    def test_what_cannot_be_metered_is_refused_before_any_work(self, tmp_path: Path) -> None:
        async def ask() -> tuple[Answered, int]:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                station.router.ledger.fault = "the disk is full"
                return await station.ask(chat()), len(here.turns)

        answered, sent = run(ask)

        assert (answered.status, answered.error["code"], sent) == (503, "not_metered", 0)

    def test_an_answer_that_cannot_be_metered_is_not_given(self, tmp_path: Path) -> None:
        async def ask() -> Answered:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:

                def fails(entry: object) -> None:
                    raise LedgerError("the disk is full")

                station.router.ledger.record = fails  # type: ignore[method-assign]  # the disk, as it were
                return await station.ask(chat())

        answered = run(ask)

        assert (answered.status, answered.error["code"]) == (503, "not_metered")
        assert b"hello" not in answered.body

    @pytest.mark.parametrize("body", [chat(), {"model": "made-up"}], ids=["a failure", "a refusal"])
    def test_a_fault_in_metering_leaves_no_client_without_its_error(self, tmp_path: Path, body: dict[str, Any]) -> None:
        async def ask() -> tuple[Answered, float]:
            async with (
                Upstream(error("500 no", "oops")) as here,
                Station(tmp_path, routing(here.url, use="[local]")) as station,
            ):

                def fails(entry: object) -> None:
                    raise RuntimeError("a fault of ours")

                station.router.ledger.record = fails  # type: ignore[method-assign]
                asked = monotonic()
                return await station.ask(body), monotonic() - asked

        answered, took = run(ask)

        assert answered.error["code"] in ("upstream_broken", "model_not_found")
        assert took < 2.0
