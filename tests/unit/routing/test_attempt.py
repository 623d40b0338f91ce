"""One try: clocks that go by content, ends that the protocol says, and faults of ours that end a request."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gridtie.routing import attempt as attempt_module
from gridtie.routing.attempt import Attempt
from standins.router import Answered, Station, chat, routing, run
from standins.scripted import (
    DONE,
    USAGE,
    Behaviour,
    Turn,
    Upstream,
    answer,
    cut,
    event,
    raw,
    silence,
    stream,
    vanish,
    whole,
)

SHORT = "{connect: 1, first_token: 0.5, first_token_cold: 0.5, between_tokens: 0.5, total: 5}"


async def ask(
    tmp_path: Path, here: Behaviour, there: Behaviour | None = None, *, timeouts: str = SHORT, **fields: Any
) -> tuple[Answered, Any]:
    """One request to a local upstream with a cloud that stands by; the answer and the ledger's row."""
    async with (
        Upstream(here) as local,
        Upstream(there or whole(answer("standby"))) as cloud,
        Station(tmp_path, routing(local.url, cloud.url, timeouts=timeouts)) as station,
    ):
        answered = await station.ask(chat(**fields))
        entry = await station.entry(answered)
        await station.settled()
        return answered, entry


def forever(*first: bytes, again: bytes) -> Behaviour:
    """A stream that says something, and then the same thing for ever."""

    async def play(turn: Turn) -> None:
        await turn.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for frame in first:
            await turn.chunk(frame)
        while True:
            await turn.chunk(again)
            await asyncio.sleep(0.02)

    return play


class TestClocks:
    @pytest.mark.parametrize("again", [b": ping\n\n", event(role=True), event("")])
    def test_what_is_no_content_neither_commits_nor_keeps_a_stream_alive(self, tmp_path: Path, again: bytes) -> None:
        answered, entry = run(lambda: ask(tmp_path, forever(event(role=True), again=again), stream=True))

        assert entry["target"] == "openai/gpt-5.4-mini"
        assert [tried["outcome"] for tried in entry["tries"]] == ["timeout", "ok"]
        assert answered.whole

    @pytest.mark.parametrize("again", [b": ping\n\n", event("")])
    def test_after_content_they_do_not_keep_it_alive_either(self, tmp_path: Path, again: bytes) -> None:
        answered, entry = run(lambda: ask(tmp_path, forever(event("Hel"), again=again), stream=True))

        assert (answered.text, entry["code"]) == ("Hel", "upstream_timeout")

    def test_what_is_said_before_a_demanded_call_keeps_it_alive_although_it_does_not_pass_yet(
        self, tmp_path: Path
    ) -> None:
        """A model that thinks for longer than `first_token` before it calls the tool that it has to call."""

        def line(message: str, rest: str = "") -> bytes:
            return b'{"model":"m","message":{%b},"done":%b}\n' % (message.encode(), rest.encode() or b"false")

        async def thinks(turn: Turn) -> None:
            await turn.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            for _ in range(5):
                await turn.chunk(line('"thinking":"hm"'))
                await asyncio.sleep(0.2)
            await turn.chunk(line('"tool_calls":[{"function":{"name":"add","arguments":{}}}]'))
            await turn.chunk(line("", 'true,"prompt_eval_count":5,"eval_count":6'))
            await turn.send(b"0\r\n\r\n")

        async def asked() -> Answered:
            async with Upstream(thinks) as local:
                rules = routing(local.url.removesuffix("/v1"), use="[local]", timeouts=SHORT)
                async with Station(tmp_path, rules.replace("type: openai", "type: ollama")) as station:
                    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
                    return await station.ask(chat(stream=True, tools=[tool], tool_choice="required"))

        answered = run(asked)

        assert (answered.status, answered.whole) == (200, True)
        assert b'"reasoning_content":"hm"' in answered.body
        assert b'"tool_calls"' in answered.body

    def test_content_that_keeps_coming_keeps_it_alive(self, tmp_path: Path) -> None:
        async def slow(turn: Turn) -> None:
            await turn.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            for _ in range(8):
                await turn.chunk(event("a"))
                await asyncio.sleep(0.2)
            await turn.chunk(event(finish="stop") + USAGE + DONE)
            await turn.send(b"0\r\n\r\n")

        answered, _ = run(lambda: ask(tmp_path, slow, stream=True))

        assert answered.text == "a" * 8

    def test_half_a_head_is_late(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(attempt_module, "HEAD_SECONDS", 0.3)

        _, entry = run(lambda: ask(tmp_path, raw(b"HTTP/1.1 200 OK\r\ncontent-", close=False)))

        assert "head began and did not end" in entry["tries"][0]["message"]
        assert entry["target"] == "openai/gpt-5.4-mini"

    @pytest.mark.parametrize(
        ("scheme", "setting"), [("http", "first_token_cold"), ("https", "connect")], ids=["silent", "no connection"]
    )
    def test_what_was_late_names_the_setting_and_whose_it_is(self, tmp_path: Path, scheme: str, setting: str) -> None:
        """TLS is waited for, and never begins; or nothing is said."""

        async def asked() -> Any:
            async with Upstream(silence()) as local:
                text = routing(local.url.replace("http", scheme), rule=f", timeouts: {{{setting}: 0.3}}")
                async with Station(tmp_path, text) as station:
                    return await station.entry(await station.ask(chat(stream=True)))

        message = run(asked)["tries"][0]["message"]

        assert message.endswith(f'within 0.3 s (timeouts.{setting} of rule "all")')

    def test_a_whole_answer_has_a_time_of_its_own(self, tmp_path: Path) -> None:
        timeouts = SHORT.replace("total: 5", "whole: 0.4, total: 5")

        _, entry = run(lambda: ask(tmp_path, whole(after=3.0), timeouts=timeouts))

        assert "timeouts.whole" in entry["tries"][0]["message"]

    def test_half_a_body_is_late(self, tmp_path: Path) -> None:
        half = raw(b'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"choices"', close=False)

        _, entry = run(lambda: ask(tmp_path, half))

        assert entry["tries"][0]["outcome"] == "timeout"
        assert entry["target"] == "openai/gpt-5.4-mini"


class TestEnds:
    @pytest.mark.parametrize("reset", [False, True])
    def test_a_stream_that_has_finished_is_whole_however_its_connection_ends(self, tmp_path: Path, reset: bool) -> None:
        sent = (event("Hello"), event(finish="stop"), USAGE)

        answered, entry = run(lambda: ask(tmp_path, cut(*sent, reset=reset), stream=True))

        assert (answered.text, answered.events[-1], answered.whole) == ("Hello", "[DONE]", True)
        assert (entry.get("complete", True), entry["output_tokens"]) == (True, 3)

    def test_a_whole_answer_is_whole_although_its_last_chunk_never_came(self, tmp_path: Path) -> None:
        body = answer("Hello")
        sent = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(body), body)

        answered, entry = run(lambda: ask(tmp_path, raw(sent)))

        assert (answered.body, entry["target"]) == (body, "here/small")

    def test_a_stream_that_has_not_finished_is_not(self, tmp_path: Path) -> None:
        answered, entry = run(lambda: ask(tmp_path, cut(event("Hel")), stream=True))

        assert (entry.get("complete", True), answered.events[-1] == "[DONE]") == (False, False)


class TestReusedConnections:
    def test_one_that_dies_later_is_not_asked_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(attempt_module, "STALE_SECONDS", 0.1)

        async def dies_later(turn: Turn) -> None:
            await asyncio.sleep(0.4)
            await vanish(turn)

        async def twice() -> tuple[Answered, int]:
            async with (
                Upstream(whole(), dies_later) as here,
                Station(tmp_path, routing(here.url, use="[local]", timeouts=SHORT)) as station,
            ):
                await station.ask(chat())
                return await station.ask(chat()), len(here.turns)

        answered, sent = run(twice)

        assert (answered.status, sent) == (502, 2)


def broken(*_: object, **__: object) -> Any:
    raise RuntimeError("a fault of ours")


class TestFaultsOfOurs:
    @pytest.mark.parametrize("method", ["on_head", "_read_whole", "_connect", "_send", "start"])
    @pytest.mark.filterwarnings("ignore:coroutine")
    def test_each_ends_the_request_at_once_and_frees_its_slot(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(Attempt, method, broken)

        answered, entry = run(lambda: ask(tmp_path, whole()))

        assert (answered.status, answered.error["code"]) == (500, "internal_error")
        assert (entry["status"], entry["code"]) == (500, "internal_error")
        assert "a fault of ours" in caplog.text

    def test_one_in_a_stream_that_is_committed_ends_it_with_an_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Attempt, "_look", broken)

        answered, _ = run(lambda: ask(tmp_path, forever(event("a"), again=event("b")), stream=True))

        assert '"code":"internal_error"' in answered.events[-1]

    def test_one_in_a_time_out_ends_the_request(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Attempt, "sweep", broken)

        answered, _ = run(lambda: ask(tmp_path, whole(after=2.0)))

        assert answered.status == 500


def test_what_a_stream_keeps_of_its_answer_is_counted(tmp_path: Path) -> None:
    """A response's text is told whole at its end, and is kept until then: not more of it than there is room for."""

    async def work() -> Answered:
        async with Upstream(stream(*["word " * 4000] * 20)) as local:
            small = routing(local.url, limits="{held_bytes: 200000, max_body_bytes: 100000}")
            async with Station(tmp_path, small) as station:
                body = {"model": "coder", "input": "hi", "stream": True}
                answered = await station.ask(body, path="/v1/responses")
                await station.settled()
                return answered

    answered = run(work)

    assert b"response.completed" not in answered.body
    assert b"limits.held_bytes" in answered.body
