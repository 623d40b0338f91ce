"""The router as a process: how it starts, reloads, goes down, and what is left when it is killed."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sqlite3
from pathlib import Path

import pytest

from gridtie.host.cli import main
from standins.process import Process, process
from standins.router import KEY, chat, request, routing, run
from standins.scripted import Upstream, silence, stream, whole

# A test, in which up to two processes start one after another; below pytest's own limit, to be told where it hangs.
LIMIT_S = 100.0


class TestStart:
    def test_a_wrong_configuration_is_fatal_and_told_whole(self, tmp_path: Path) -> None:
        async def start() -> tuple[int, str, str]:
            wrong = (
                routing("http://127.0.0.1:1/v1", use="[local]").replace("rules:", "rulez:").replace("timeouts", "tim")
            )
            router = Process(tmp_path, wrong)
            (router.config / "keys.json").write_text("{}")
            await router.start()
            return await router.ended()

        status, _, errors = run(start, LIMIT_S)

        assert status == 2
        assert all(word in errors for word in ("rulez", "tim", "llm_routing.yaml:", "keys.json"))

    def test_a_wrong_environment_is_fatal_and_names_the_variable(self, tmp_path: Path) -> None:
        async def start() -> tuple[int, str, str]:
            router = Process(tmp_path, routing("http://127.0.0.1:1/v1", use="[local]"), GRIDTIE_LISTEN="8484")
            await router.start()
            return await router.ended()

        status, _, errors = run(start, LIMIT_S)

        assert status == 2
        assert "GRIDTIE_LISTEN lacks its address or its port" in errors

    def test_a_taken_port_is_said(self, tmp_path: Path) -> None:
        async def start() -> tuple[int, str, str]:
            rules = routing("http://127.0.0.1:1/v1", use="[local]")
            with socket.socket() as taken:
                taken.bind(("127.0.0.1", 0))
                taken.listen()
                where = f"127.0.0.1:{taken.getsockname()[1]}"
                router = Process(tmp_path, rules, GRIDTIE_LISTEN=where)
                await router.start()
                return await router.ended()

        status, _, errors = run(start, LIMIT_S)

        assert status == 3
        assert "cannot listen on 127.0.0.1:" in errors

    def test_two_processes_never_share_a_ledger(self, tmp_path: Path) -> None:
        async def start() -> tuple[int, str, str]:
            rules = routing("http://127.0.0.1:1/v1", use="[local]")
            async with process(tmp_path, rules):
                second = Process(tmp_path, rules)
                await second.start()
                return await second.ended()

        status, _, errors = run(start, LIMIT_S)

        assert status == 3
        assert "in use by another router process" in errors


class TestGoingDown:
    def test_a_stream_under_way_ends_well(self, tmp_path: Path) -> None:
        async def drain() -> tuple[str, bool, int, int]:
            async with Upstream(stream("a", "b", "c", between=0.3)) as here:
                rules = routing(here.url, use="[local]")
                async with process(tmp_path, rules) as router:
                    idle, wire = await router.connect(), await router.connect()
                    await wire.send(request(chat(stream=True), port=router.port))
                    await wire.head()
                    ending = asyncio.ensure_future(router.stop())
                    assert await idle.ended()
                    refused = 0
                    try:
                        await router.connect()
                    except ConnectionRefusedError:
                        refused = 1
                    body, whole = await wire._chunks()
                    code, _, _ = await ending
                    return body.decode(), whole, refused, code

        body, whole, refused, code = run(drain, LIMIT_S)

        assert body.rstrip().endswith("data: [DONE]")
        assert (whole, refused, code) == (True, 1, 0)

    def test_what_takes_too_long_is_ended_with_an_error_and_metered(self, tmp_path: Path) -> None:
        async def drain() -> tuple[int, dict[str, object], list[tuple[object, ...]]]:
            async with Upstream(silence()) as here:
                rules = routing(here.url, use="[local]")
                async with process(tmp_path, rules, GRIDTIE_DRAIN_SECONDS="0.3") as router:
                    wire = await router.connect()
                    await wire.send(request(chat(), port=router.port))
                    await here.turn()
                    ending = asyncio.ensure_future(router.stop())
                    answered = await wire.answered()
                    await ending
                    return answered.status, answered.error, rows(tmp_path)

        status, error, entries = run(drain, LIMIT_S)

        assert (status, error["message"]) == (503, "the router is going down")
        assert [row[1] for row in entries] == [503]


def rows(directory: Path) -> list[tuple[object, ...]]:
    """Id, status, completeness of every request in the ledger file."""
    with sqlite3.connect(directory / "state" / "ledger" / "ledger.sqlite") as database:
        found = database.execute("SELECT id, status, complete FROM requests").fetchall()
    database.close()
    return found


# At the first answers, in the midst of draining, and after several batches of the drain.
@pytest.mark.parametrize("after", [1, 100, 1000])
def test_after_kill_9_under_load_every_answered_request_is_in_the_ledger(tmp_path: Path, after: int) -> None:
    """Killed once so many answers were seen whole: by the clock it would be few on a busy machine."""

    async def ask(router: Process, seen: set[str], enough: asyncio.Event) -> None:
        """Ask over one connection until the router dies; note what was seen whole."""
        wire = await router.connect()
        streamed = False
        try:
            while True:
                streamed = not streamed
                await wire.send(request(chat(stream=streamed), port=router.port))
                answered = await wire.answered()
                if not answered.whole:
                    break
                seen.add(answered.headers["x-gridtie-request-id"])
                if len(seen) >= after:
                    enough.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            wire.close()

    async def kill() -> tuple[set[str], list[tuple[object, ...]]]:
        seen: set[str] = set()
        enough = asyncio.Event()
        async with Upstream(stream_or_whole) as here:
            rules = routing(here.url, use="[local]")
            async with process(tmp_path, rules, GRIDTIE_ACCESS_LOG="off") as router:
                asking = [asyncio.ensure_future(ask(router, seen, enough)) for _ in range(8)]
                await enough.wait()
                router.child.kill()
                await asyncio.gather(*asking)
                status, _, _ = await router.ended()
                assert status == -signal.SIGKILL
            async with process(tmp_path, rules, GRIDTIE_ACCESS_LOG="off") as again:
                report = (await again.get("/gridtie/usage")).json()
                assert report["totals"]["requests"] >= len(seen)
                await again.stop()
        return seen, rows(tmp_path)

    seen, entries = run(kill, LIMIT_S)
    kept = [str(row[0]) for row in entries]

    assert len(seen) >= after
    assert seen <= set(kept)
    assert len(kept) == len(set(kept))
    # Of each connection at most the one row that was written and whose answer was not seen whole.
    assert len(set(kept) - seen) <= 8


async def stream_or_whole(turn: object) -> None:
    """Answer as was asked."""
    from standins.scripted import Turn

    assert isinstance(turn, Turn)
    await (stream("a", "b") if turn.json.get("stream") else whole())(turn)


class TestReload:
    def test_an_edit_is_in_force_after_sighup_and_a_bad_one_is_not(self, tmp_path: Path) -> None:
        async def edit() -> tuple[list[str], str | None]:
            async with Upstream(whole()) as here:
                rules = routing(here.url, use="[local]")
                async with process(tmp_path, rules) as router:
                    told = [await rule_of(router)]
                    for change in (rules.replace("name: all", "name: other"), "version: [", None):
                        if change is not None:
                            (router.config / "llm_routing.yaml").write_text(change)
                        before = (await router.get("/gridtie/config")).json()
                        router.child.send_signal(signal.SIGHUP)
                        await changed(router, before)
                        told.append(await rule_of(router))
                    error = (await router.get("/gridtie/config")).json()["error"]
                    await router.stop()
                    return told, error

        told, error = run(edit, LIMIT_S)

        assert told == ["all", "other", "other", "other"]
        assert error is not None
        assert "llm_routing.yaml" in error

    def test_a_key_is_good_once_it_has_been_added_and_no_more_once_it_has_been_revoked(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        async def add_and_revoke() -> list[int]:
            async with process(tmp_path, routing("http://127.0.0.1:1/v1", use="[local]")) as router:
                facts = {"schema": 1, "engine": {"kind": "ollama", "mode": "container"}, "models": []}
                facts["endpoint"] = f"http://127.0.0.1:{router.port}"
                (router.config / "station.json").write_text(json.dumps(facts))
                (router.config / "station.key").write_text(KEY)
                monkeypatch.setenv("GRIDTIE_CONFIG_DIR", str(router.config))
                statuses = [await asyncio.to_thread(main, ["keys", "add", "job", "--environment", "ci"])]
                key = capsys.readouterr().out.strip()
                statuses.append((await router.get("/v1/models", key)).status_code)
                statuses.append(await asyncio.to_thread(main, ["keys", "revoke", "job"]))
                statuses.append((await router.get("/v1/models", key)).status_code)
                return statuses

        assert run(add_and_revoke, LIMIT_S) == [0, 200, 0, 401]


async def changed(router: Process, before: dict[str, object]) -> None:
    """Wait until the configuration is another one, or found to be wrong."""
    async with asyncio.timeout(5):
        while (now := (await router.get("/gridtie/config")).json()) == before and not now["error"]:
            await asyncio.sleep(0.05)


async def rule_of(router: Process) -> str:
    wire = await router.connect()
    try:
        await wire.send(request(chat(), port=router.port))
        return (await wire.answered()).headers["x-gridtie-rule"]
    finally:
        wire.close()


class TestLog:
    def test_a_request_is_one_json_line_without_key_or_prompt(self, tmp_path: Path) -> None:
        async def ask() -> tuple[int, str, str]:
            async with Upstream(whole()) as here:
                rules = routing(here.url, use="[local]")
                async with process(tmp_path, rules) as router:
                    wire = await router.connect()
                    await wire.send(request(chat("the secret plan"), port=router.port))
                    await wire.answered()
                    wire.close()
                    return await router.stop()

        _, out, errors = run(ask, LIMIT_S)
        lines = [json.loads(line) for line in out.splitlines()]

        assert [(line["status"], line["rule"], line["target"]) for line in lines] == [(200, "all", "here/small")]
        assert "secret plan" not in out + errors
        assert KEY not in out + errors
