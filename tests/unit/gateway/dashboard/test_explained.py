"""One request in the words of `gridtie route explain`: as it was decided while it runs, by the rules of now later."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from gridtie.host.commands.route import text
from gridtie.ledger import Try
from standins.ledger import local, open_ledger
from standins.router import KEY, OTHER_KEY, Station, chat, request, routing, run
from standins.scripted import Upstream, error, event, silence, whole
from standins.signed_in import signed_in


def words(lines: list[list[str]]) -> str:
    return "\n".join(f"{name:<10}{said}" for name, said in lines)


def test_a_request_that_is_over_tells_what_happened_and_what_the_rules_say_now(tmp_path: Path) -> None:
    async def work() -> tuple[Any, str]:
        async with (
            Upstream(error("503 Service Unavailable", "no")) as here,
            Upstream(whole()) as cloud,
            Station(tmp_path, routing(here.url, cloud.url)) as station,
        ):
            answered = await station.ask(chat())
            assert answered.headers["x-gridtie-attempts"] == "2"
            await station.rows(1)
            browser = await signed_in(station)
            found = (await browser.get(f"requests/{answered.headers['x-gridtie-request-id']}")).json
            plan = (await station.ask({"model": "coder", "prompt_tokens": 5}, path="/gridtie/route")).json
            return found, text(plan)

    found, explained = run(work)
    assert found["under_way"] is False
    happened = dict(found["happened"])
    assert happened["rule"] == "all"
    assert happened["attempt 1"].startswith("here/small busy after")
    assert happened["attempt 2"].startswith("openai/gpt-5.4-mini ok after")
    # Word for word, but for how long the first target is still left alone.
    assert words(found["decided"]).splitlines()[0] == explained.splitlines()[0]
    assert [line.split(" ")[0] for line in words(found["decided"]).splitlines()] == [
        line.split(" ")[0] for line in explained.splitlines()
    ]
    assert "now" in found["basis"]


def test_a_request_under_way_tells_the_decision_that_was_made(tmp_path: Path) -> None:
    """Its reasons, also where the rules would say another thing by now."""

    async def work() -> Any:
        async with (
            Upstream(silence(event(role=True), event("word"))) as here,
            Station(tmp_path, routing(here.url, use="[local]")) as station,
        ):
            wire = await station.connect()
            await wire.send(request(chat(stream=True), port=station.port))
            await here.turn()
            await wire.head()
            (station.config / "llm_routing.yaml").write_text(
                routing(here.url, use="[local]").replace("name: all", "name: another")
            )
            await station.router.settings.reload()
            browser = await signed_in(station)
            (found,) = station.router.dashboard._live._moment._under_way.requests()
            return (await browser.get(f"requests/{found.info.id}")).json

    found = run(work)
    assert found["under_way"] is True
    decided = dict(found["decided"])
    assert decided["rule"] == "all"
    assert decided["attempt 1"].startswith('here/small (local): rule "all" uses local')


def test_a_keys_own_limits_are_in_what_is_explained(tmp_path: Path) -> None:

    async def work() -> Any:
        async with Station(tmp_path, routing("http://127.0.0.1:1/v1", use="[local]")) as station:
            path = station.config / "keys.json"
            document = json.loads(path.read_text())
            document["keys"][1]["limits"] = {"models": ["other"]}
            path.write_text(json.dumps(document))
            await station.router.settings.reload()
            return (await (await signed_in(station)).get("requests/old")).json

    ledger = open_ledger(tmp_path / "state")
    ledger.record(local("old", time=time.time() - 5, key="dev"))
    ledger.close()
    assert dict(run(work)["decided"])["refused"].startswith("403 model_not_allowed")


def test_somebody_elses_request_does_not_exist(tmp_path: Path) -> None:
    async def work() -> list[tuple[int, str]]:
        async with (
            Upstream(silence(event(role=True), event("word"))) as here,
            Station(tmp_path, routing(here.url, use="[local]")) as station,
        ):
            wire = await station.connect()
            await wire.send(request(chat(stream=True), port=station.port, key=KEY))
            await here.turn()
            await wire.head()
            (found,) = station.router.dashboard._live._moment._under_way.requests()
            browser = await signed_in(station, OTHER_KEY)
            answers = [await browser.get(f"requests/{id}") for id in (found.info.id, "old", "no-such-id")]
            return [(each.status, each.error["code"]) for each in answers]

    ledger = open_ledger(tmp_path / "state")
    ledger.record(local("old", time=time.time() - 5, tries=(Try(target="here/x", locality="local", outcome="ok"),)))
    ledger.close()
    assert run(work) == [(404, "not_found")] * 3


def test_a_ledger_that_cannot_be_read_is_no_fault_of_the_routers(tmp_path: Path) -> None:
    """As the other panels say it: it may be locked, and the page asks again."""

    async def work() -> Any:
        async with Station(tmp_path, routing("http://127.0.0.1:1/v1", use="[local]")) as station:
            browser = await signed_in(station)
            station.router.ledger._store.path = tmp_path / "nowhere" / "ledger.sqlite"  # type: ignore[attr-defined]
            return await browser.get("requests/r1")

    found = run(work)
    assert (found.status, found.error["code"]) == (503, "ledger_unavailable")
    assert str(tmp_path) not in found.body.decode()
