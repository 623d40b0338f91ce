"""Requests through the whole router: what a client sees and what the ledger says when upstreams misbehave."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gridtie.routing import request as request_module
from standins.router import Answered, Station, chat, request, routing, run
from standins.scripted import (
    DONE,
    Behaviour,
    Upstream,
    cut,
    error,
    event,
    flood,
    raw,
    silence,
    stream,
    vanish,
    whole,
)

# Long enough for a machine that does other things as well, short enough for a test.
SHORT = "{connect: 1, first_token: 0.6, first_token_cold: 0.6, between_tokens: 0.6, total: 5}"


@contextmanager
def dead_port() -> Iterator[str]:
    """A base URL where nothing listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}/v1"


async def ask_both(
    tmp_path: Path, local: Behaviour, cloud: Behaviour, *, timeouts: str = SHORT, **fields: object
) -> tuple[Answered, dict[str, object], Upstream, Upstream]:
    """One request to a router with both upstreams; the answer, the ledger's row, the upstreams."""
    async with (
        Upstream(local) as here,
        Upstream(cloud) as there,
        Station(tmp_path, routing(here.url, there.url, timeouts=timeouts)) as station,
    ):
        answered = await station.ask(chat(**fields))
        entry = await station.entry(answered)
        await station.settled()
        return answered, entry, here, there


class TestAnswers:
    def test_an_unstreamed_answer_passes_byte_for_byte(self, tmp_path: Path) -> None:
        answered, _entry, here, _ = run(
            lambda: ask_both(tmp_path, whole(b'{"choices": [{"x": 1}],  "odd": 1}'), whole())
        )

        assert answered.body == b'{"choices": [{"x": 1}],  "odd": 1}'
        assert answered.headers["x-gridtie-target"] == "here/small"
        assert here.turns[0].json["model"] == "small"

    def test_a_streamed_answer_is_whole_and_metered(self, tmp_path: Path) -> None:
        answered, entry, _, _ = run(lambda: ask_both(tmp_path, stream("a", "b", "c"), whole(), stream=True))

        assert (answered.text, answered.events[-1], answered.whole) == ("abc", "[DONE]", True)
        assert (entry["input_tokens"], entry["output_tokens"], entry.get("complete", True)) == (5, 3, True)

    def test_unasked_usage_stays_here_and_asked_usage_arrives(self, tmp_path: Path) -> None:
        async def both() -> tuple[Answered, Answered]:
            async with Upstream(stream("a")) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                asked = {"include_usage": True}
                return await station.ask(chat(stream=True)), await station.ask(chat(stream=True, stream_options=asked))

        plain, asked = run(both)

        assert b'"usage"' not in plain.body
        assert b'"prompt_tokens":5' in asked.body

    def test_costs_are_told_on_unstreamed_answers(self, tmp_path: Path) -> None:
        answered, entry, _, _ = run(lambda: ask_both(tmp_path, error("503 no", "busy"), whole()))

        assert float(answered.headers["x-gridtie-cost-usd"]) == pytest.approx(entry["cost_usd"])
        assert answered.headers["x-gridtie-locality"] == "cloud"

    def test_nothing_of_the_client_but_its_body_goes_upstream(self, tmp_path: Path) -> None:
        async def upstream_headers() -> dict[str, str]:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                await station.ask(chat(), headers={"cookie": "a=b", "x-api-key": "c", "accept-encoding": "gzip"})
                return here.turns[0].headers

        headers = run(upstream_headers)

        assert set(headers) == {"host", "content-type", "accept-encoding", "content-length"}
        assert headers["accept-encoding"] == "identity"

    def test_connections_are_kept(self, tmp_path: Path) -> None:
        async def connections() -> int:
            async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                for _ in range(3):
                    await station.ask(chat())
                return here.connections

        assert run(connections) == 1


@pytest.mark.parametrize("streamed", [False, True])
def test_a_request_leaves_nothing_for_the_garbage_collector(tmp_path: Path, streamed: bool) -> None:
    async def leftovers() -> set[str]:
        behaviour = stream("a", "b") if streamed else whole()
        async with Upstream(behaviour) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
            wire = await station.connect()
            gc.collect()
            gc.set_debug(gc.DEBUG_SAVEALL)
            try:
                for _ in range(3):
                    await wire.send(request(chat(stream=streamed), port=station.port))
                    await wire.answered()
                await station.settled()
                gc.collect()
                return {type(each).__name__ for each in gc.garbage if type(each).__module__.startswith("gridtie.")}
            finally:
                gc.set_debug(0)
                gc.garbage.clear()

    assert not run(leftovers) & {"Request", "Attempt", "Outcome", "Exchange", "Response", "PlannedAttempt", "Lease"}


FAULTS = {
    "closes without a byte": (vanish, "unreachable"),
    "resets after the head": (raw(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"), "broken"),
    "is no HTTP": (raw(b"220 mail.example ESMTP\r\n"), "broken"),
    "sends endless headers": (raw(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 40_000), "broken"),
    "has too many headers": (raw(b"HTTP/1.1 200 OK\r\n" + b"".join(b"x%d: y\r\n" % i for i in range(300))), "broken"),
    "switches protocols": (raw(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"), "broken"),
    "redirects": (whole(b"", status="307 Go", headers="location: http://127.0.0.1:1/\r\n"), "broken"),
    "is overloaded": (error("503 no", "overloaded"), "busy"),
    "limits the rate": (error("429 no", "slow down", headers="retry-after: 7\r\n"), "busy"),
    "fails": (error("500 no", "oops"), "broken"),
    "refuses our key": (error("401 no", "bad key"), "auth"),
    "has no such model": (error("404 no", "no model", code="model_not_found"), "model_missing"),
    "answers with a page": (whole(b"<html>", headers=""), "broken"),
    "is silent": (silence(), "timeout"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_local_fault_before_content_fails_over_to_the_cloud(tmp_path: Path, fault: str) -> None:
    behaviour, outcome = FAULTS[fault]
    streamed = fault == "is silent"  # an unstreamed answer has no first token that could be late
    there = stream("cloud") if streamed else whole()

    answered, entry, _, cloud = run(lambda: ask_both(tmp_path, behaviour, there, stream=streamed))

    assert (answered.status, answered.headers["x-gridtie-target"]) == (200, "openai/gpt-5.4-mini")
    assert [tried["outcome"] for tried in entry["tries"]] == [outcome, "ok"]
    assert len(cloud.turns) == 1


STREAM_FAULTS = {
    "ends after the role": (cut(event(role=True)), "broken"),
    "ends without an answer": (cut(DONE), "broken"),
    "resets after the role": (cut(event(role=True), reset=True), "broken"),
    "reports an error inside": (cut(b'data: {"error": {"message": "no"}}\n\n'), "broken"),
    "sends no JSON": (cut(b"data: {oops\n\n"), "broken"),
    "stops after the role": (silence(event(role=True)), "timeout"),
}


@pytest.mark.parametrize("fault", STREAM_FAULTS)
def test_a_stream_that_breaks_before_content_is_begun_anew_elsewhere(tmp_path: Path, fault: str) -> None:
    behaviour, outcome = STREAM_FAULTS[fault]

    answered, entry, _, _ = run(lambda: ask_both(tmp_path, behaviour, stream("cloud"), stream=True))

    assert (answered.text, answered.events[-1]) == ("cloud", "[DONE]")
    assert [tried["outcome"] for tried in entry["tries"]] == [outcome, "ok"]


def test_a_cloud_that_fails_falls_back_to_local(tmp_path: Path) -> None:
    async def ask() -> Answered:
        async with (
            Upstream(whole()) as here,
            Upstream(error("500 no", "oops")) as there,
            Station(tmp_path, routing(here.url, there.url, use="[cloud, local]")) as station,
        ):
            return await station.ask(chat())

    answered = run(ask)

    assert (answered.status, answered.headers["x-gridtie-locality"]) == (200, "local")


def test_a_refused_connection_fails_over(tmp_path: Path) -> None:
    async def ask() -> tuple[Answered, dict[str, object]]:
        with dead_port() as dead:
            rules = routing(dead, dead, use="[cloud, local]")
            async with Upstream(whole()) as here, Station(tmp_path, rules.replace(dead, here.url, 1)) as station:
                answered = await station.ask(chat())
                return answered, await station.entry(answered)

    answered, entry = run(ask)

    assert answered.headers["x-gridtie-attempts"] == "2"
    assert entry["tries"][0]["outcome"] == "unreachable"


class TestCommitted:
    """After the first content only this upstream may answer."""

    @pytest.mark.parametrize("reset", [False, True])
    def test_a_cut_ends_in_an_error_event_and_no_end_mark(self, tmp_path: Path, reset: bool) -> None:
        broken = cut(event(role=True), event("par"), reset=reset)

        answered, _entry, _, cloud = run(lambda: ask_both(tmp_path, broken, stream("cloud"), stream=True))

        assert answered.text == "par"
        assert json.loads(answered.events[-1])["error"]["code"] == "upstream_broken"
        assert (answered.whole, cloud.turns) == (True, [])

    def test_a_cut_answer_is_metered_as_an_estimate(self, tmp_path: Path) -> None:
        broken = cut(event(role=True), event("a"), event("b"))

        _, entry, _, _ = run(lambda: ask_both(tmp_path, broken, stream("cloud"), stream=True))

        assert (entry["complete"], entry["estimated"]) == (False, True)
        assert entry["output_tokens"] >= 2

    def test_a_stall_is_cut_by_the_time_between_tokens(self, tmp_path: Path) -> None:
        answered, entry, _, _ = run(lambda: ask_both(tmp_path, silence(event("par")), stream("x"), stream=True))

        assert json.loads(answered.events[-1])["error"]["code"] == "upstream_timeout"
        assert "between_tokens" in entry["error"]


class TestEndings:
    def test_a_fault_of_the_request_is_passed_on_and_not_tried_elsewhere(self, tmp_path: Path) -> None:
        refuses = error("400 no", "messages is required", type="invalid_request_error")

        answered, _entry, _, cloud = run(lambda: ask_both(tmp_path, refuses, whole()))

        assert (answered.status, answered.error["message"]) == (400, "messages is required")
        assert cloud.turns == []

    def test_when_all_fail_the_message_names_all(self, tmp_path: Path) -> None:
        answered, _entry, _, _ = run(lambda: ask_both(tmp_path, error("500 no", "one"), error("502 no", "two")))

        assert answered.status == 502
        assert "here/small: one" in answered.error["message"]
        assert "openai/gpt-5.4-mini: two" in answered.error["message"]

    def test_a_rate_limit_comes_back_with_its_retry_after(self, tmp_path: Path) -> None:
        limited = error("429 no", "slow down", headers="retry-after: 7\r\n")

        answered, _, _, _ = run(lambda: ask_both(tmp_path, limited, limited))

        assert (answered.status, answered.headers["retry-after"]) == (429, "7")

    def test_what_an_upstream_says_about_our_key_stays_with_the_operator(self, tmp_path: Path) -> None:
        refuses = error("401 no", "Incorrect API key provided: sk-abc*****xyz")

        answered, entry, _, _ = run(lambda: ask_both(tmp_path, refuses, refuses))

        assert (answered.status, answered.error["code"]) == (502, "upstream_refused_key")
        assert "sk-abc" not in answered.body.decode() + json.dumps(entry)

    def test_the_total_time_bounds_an_unstreamed_answer(self, tmp_path: Path) -> None:
        answered, _entry, _, _ = run(
            lambda: ask_both(tmp_path, silence(), whole(), timeouts="{connect: 0.2, total: 0.5, first_token: 0.4}")
        )

        assert (answered.status, answered.error["code"]) == (504, "upstream_timeout")
        assert "timeouts.total" in answered.error["message"]

    def test_attempts_are_bounded(self, tmp_path: Path) -> None:
        async def ask() -> tuple[Answered, int]:
            async with Upstream(error("500 no", "oops")) as here, Upstream(whole()) as there:
                rules = routing(here.url, there.url, limits="{attempts: 1}")
                async with Station(tmp_path, rules) as station:
                    return await station.ask(chat()), len(there.turns)

        answered, sent = run(ask)

        assert (answered.status, sent) == (502, 0)

    def test_a_private_request_never_reaches_a_cloud(self, tmp_path: Path) -> None:
        async def ask() -> tuple[list[Answered], int]:
            with dead_port() as dead:
                async with Upstream(whole()) as there, Station(tmp_path, routing(dead, there.url)) as station:
                    tags = {"x-gridtie-tags": "private"}
                    answers = [await station.ask(chat(stream=flag), headers=tags) for flag in (False, True)]
                    return answers, there.connections

        answers, connections = run(ask)

        assert {answered.status for answered in answers} <= {502, 503}
        assert connections == 0

    def test_the_last_check_stops_a_plan_that_breaks_its_own_promise(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from msgspec.structs import replace

        from gridtie.routing import runner

        decide = runner.decide
        monkeypatch.setattr(runner, "decide", lambda *given: replace(decide(*given), local_only=True))

        answered, _entry, _, cloud = run(lambda: ask_both(tmp_path, error("500 no", "oops"), whole()))

        assert answered.status in (400, 502)
        assert cloud.connections == 0


class TestStaleConnections:
    def test_a_request_on_a_connection_closed_meanwhile_is_sent_again(self, tmp_path: Path) -> None:
        async def ask() -> tuple[Answered, dict[str, object]]:
            async with (
                Upstream(whole(), vanish, whole()) as here,
                Station(tmp_path, routing(here.url, use="[local]")) as station,
            ):
                await station.ask(chat())
                answered = await station.ask(chat())
                return answered, await station.entry(answered)

        answered, entry = run(ask)

        assert (answered.status, answered.headers["x-gridtie-attempts"]) == (200, "2")
        assert [tried["outcome"] for tried in entry["tries"]] == ["stale", "ok"]

    def test_a_fresh_connection_that_closes_is_not_tried_again(self, tmp_path: Path) -> None:
        async def ask() -> tuple[Answered, int]:
            async with Upstream(vanish) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                return await station.ask(chat()), len(here.turns)

        answered, sent = run(ask)

        assert (answered.status, sent) == (502, 1)

    def test_bytes_nobody_asked_for_end_a_connection(self, tmp_path: Path) -> None:
        async def ask() -> tuple[Answered, int]:
            extra = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
            body = b'{"choices": [{}]}'
            first = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
            async with (
                Upstream(raw(first + extra, close=False), whole()) as here,
                Station(tmp_path, routing(here.url, use="[local]")) as station,
            ):
                await station.ask(chat())
                return await station.ask(chat()), here.connections

        answered, connections = run(ask)

        assert (answered.json["id"], connections) == ("chatcmpl-1", 2)


class TestWaiting:
    def test_a_long_wait_shows_signs_of_life_and_still_fails_over(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(request_module, "SIGN_OF_LIFE", 0.1)

        answered, _, _, _ = run(lambda: ask_both(tmp_path, silence(), stream("cloud"), stream=True))

        assert answered.body.startswith(b": gridtie is waiting")
        assert b": x-gridtie-request-id" in answered.body
        assert b"x-gridtie-target: openai/gpt-5.4-mini" in answered.body
        assert (answered.text, answered.events[-1]) == ("cloud", "[DONE]")

    def test_after_a_sign_of_life_failure_is_an_event(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(request_module, "SIGN_OF_LIFE", 0.1)

        answered, _, _, _ = run(lambda: ask_both(tmp_path, silence(), error("500 no", "oops"), stream=True))

        assert answered.status == 200
        assert "error" in json.loads(answered.events[-1])

    def test_a_busy_slot_is_waited_for(self, tmp_path: Path) -> None:
        async def ask() -> list[int]:
            async with Upstream(whole(after=0.2)) as here:
                rules = routing(here.url, use="[local]", provider=", max_in_flight: 1")
                async with Station(tmp_path, rules) as station:
                    answers = await asyncio.gather(*(station.ask(chat()) for _ in range(3)))
                    return [answered.status for answered in answers]

        assert run(ask) == [200, 200, 200]

    def test_a_slot_that_stays_busy_spills_over(self, tmp_path: Path) -> None:
        async def ask() -> list[str]:
            async with Upstream(whole(after=0.5)) as here, Upstream(whole()) as there:
                rules = routing(here.url, there.url, provider=", max_in_flight: 1", rule=", max_wait: 0.1")
                async with Station(tmp_path, rules) as station:
                    answers = await asyncio.gather(*(station.ask(chat()) for _ in range(2)))
                    return sorted(answered.headers["x-gridtie-locality"] for answered in answers)

        assert run(ask) == ["cloud", "local"]


class TestClientsThatLeave:
    @pytest.mark.parametrize("streamed", [False, True])
    def test_upstream_is_stopped_at_once(self, tmp_path: Path, streamed: bool) -> None:
        async def leave() -> tuple[dict[str, object], int]:
            behaviour = silence(event(role=True), event("a"), event("b")) if streamed else silence()
            async with Upstream(behaviour) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                wire = await station.connect()
                await wire.send(request(chat(stream=streamed), port=station.port))
                turn = await here.turn()
                if streamed:
                    await wire.head()
                assert station.in_flight == 1
                wire.close()
                async with asyncio.timeout(1):
                    await turn.closed.wait()
                await station.settled()
                return (await station.rows(1))[0], len(here.turns)

        entry, sent = run(leave)

        assert (entry["complete"], entry["estimated"], sent) == (0, 1, 1)
        assert entry["input_tokens"] > 0

    @pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
    def test_what_upstream_had_counted_of_the_prompt_is_metered(self, tmp_path: Path, path: str) -> None:
        """Anthropic tells it first, with what came from its cache at a tenth of the price."""
        usage = {"input_tokens": 5, "cache_read_input_tokens": 900, "output_tokens": 1}
        began = {"type": "message", "id": "msg_1", "model": "m", "role": "assistant", "content": [], "usage": usage}
        said = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}}
        block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        told = [{"type": "message_start", "message": began}, block, *[said] * 6]
        behaviour = silence(*(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in told))

        async def leave() -> dict[str, Any]:
            async with Upstream(behaviour) as there:
                file = routing(there.url.removesuffix("/v1"), use="[local]").replace("type: openai", "type: anthropic")
                async with Station(tmp_path, file) as station:
                    wire = await station.connect()
                    body = chat(stream=True, max_tokens=50)
                    await wire.send(request(body, path=path, port=station.port))
                    await wire.head()
                    await wire.reader.readuntil(b'"a"')
                    await asyncio.sleep(0.1)
                    wire.close()
                    await station.settled()
                    found: dict[str, Any] = (await station.rows(1))[0]
                    return found

        entry = run(leave)

        assert (entry["input_tokens"], entry["cached_tokens"], entry["estimated"]) == (905, 900, 1)
        assert entry["output_tokens"] >= 6

    def test_one_that_waits_for_a_slot_gives_up_its_place(self, tmp_path: Path) -> None:
        async def leave() -> tuple[int, list[str]]:
            async with Upstream(whole(after=0.3)) as here:
                rules = routing(here.url, use="[local]", provider=", max_in_flight: 1")
                async with Station(tmp_path, rules) as station:
                    first = asyncio.ensure_future(station.ask(chat()))
                    await here.turn()
                    wire = await station.connect()
                    await wire.send(request(chat(), port=station.port))
                    await asyncio.sleep(0.05)
                    wire.close()
                    await first
                    await station.settled()
                    rows = await station.rows(2)
                    return len(here.turns), sorted(row["status"] for row in rows)

        sent, statuses = run(leave)

        assert (sent, statuses) == (1, [200, 499])

    def test_a_slow_reader_holds_up_upstream_and_not_memory(self, tmp_path: Path) -> None:
        async def read_nothing() -> tuple[int, int, int]:
            async with Upstream(flood) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
                wire = await station.connect(limit=1024)
                await wire.send(request(chat(stream=True), port=station.port))
                await here.turn()
                (connection,) = station.router.app.connections
                while not connection._write_paused:
                    await asyncio.sleep(0.02)
                await asyncio.sleep(0.1)  # what had been read already has arrived
                buffered = connection._transport.get_write_buffer_size()
                await asyncio.sleep(0.3)
                later = connection._transport.get_write_buffer_size()
                # Below this it would go on; the kernel may have taken some of what made it pause.
                least, _ = connection._transport.get_write_buffer_limits()
                wire.close()
                await station.settled()
                return least, buffered, later

        least, buffered, later = run(read_nothing)

        assert least < buffered == later < 1024 * 1024
