"""One timed request against an upstream that does as it is told: what counts as the first token, and what fails how."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gridtie.bench.asking import Answer, Failed, Way
from gridtie.upstream.connection_pool import ConnectionPool
from standins.router import run
from standins.scripted import (
    DONE,
    SSE,
    USAGE,
    Behaviour,
    Turn,
    Upstream,
    cut,
    error,
    event,
    silence,
    stream,
    vanish,
    whole,
)

WIRE = Path(__file__).parents[2] / "contract" / "wire"
ASKED = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 8}


def ask(*behaviours: Behaviour, seconds: float = 20.0, times: int = 1, **options: Any) -> tuple[list[Answer], Upstream]:
    """What so many requests, one after another, come to."""

    async def work() -> tuple[list[Answer], Upstream]:
        async with Upstream(*behaviours) as here:
            pool = ConnectionPool(asyncio.get_running_loop())
            base = here.url.removesuffix("/v1") if options.get("dialect") == "ollama" else here.url
            way = Way(pool, base, (("authorization", "Bearer k"),), model="m", **options)
            answers = [await way.ask(ASKED, seconds) for _ in range(times)]
            pool.close()
            return answers, here

    return run(work)


def fails(*behaviours: Behaviour, **options: Any) -> Failed:
    with pytest.raises(Failed) as failed:
        ask(*behaviours, **options)
    return failed.value


def play(steps: Callable[[Turn], Awaitable[None]]) -> Behaviour:
    async def behaviour(turn: Turn) -> None:
        await turn.send(
            f"HTTP/1.1 200 OK\r\nx-gridtie-target: here/m\r\nx-gridtie-locality: local\r\n{SSE}\r\n".encode()
        )
        await steps(turn)
        await turn.chunk(USAGE + DONE)
        await turn.send(b"0\r\n\r\n")

    return behaviour


def test_the_first_token_is_the_first_content_and_no_role() -> None:
    async def late(turn: Turn) -> None:
        await turn.chunk(event(role=True) + b": ping\n\n" + event(""))
        await asyncio.sleep(0.2)
        await turn.chunk(event("a"))
        await turn.chunk(event(finish="stop"))

    (answer,), _ = ask(play(late))

    assert 0.2 <= answer.first_token < 15
    assert answer.pieces == 1
    assert (answer.tokens_in, answer.tokens_out, answer.estimated, answer.finish) == (5, 3, False, "stop")
    assert (answer.target, answer.locality) == ("here/m", "local")


def test_reasoning_counts_as_the_first_token_and_is_shown_apart() -> None:
    def thought(text: str) -> bytes:
        return (
            b"data: %b\n\n"
            % json.dumps({"id": "c", "choices": [{"index": 0, "delta": {"reasoning_content": text}}]}).encode()
        )

    async def think(turn: Turn) -> None:
        await turn.chunk(thought("hm"))
        await asyncio.sleep(0.2)
        await turn.chunk(event("a"))
        await turn.chunk(event(finish="stop"))

    (answer,), _ = ask(play(think))

    assert answer.first_answer is not None
    assert answer.first_answer - answer.first_token >= 0.19
    assert answer.longest_gap >= 0.19


def test_the_engines_own_account_is_read_from_llama_cpps_stream() -> None:
    recorded = (WIRE / "llama-server-stream.sse").read_bytes()

    async def replay(turn: Turn) -> None:
        await turn.send(f"HTTP/1.1 200 OK\r\n{SSE}\r\n".encode())
        await turn.chunk(recorded)
        await turn.send(b"0\r\n\r\n")

    (answer,), _ = ask(replay)

    assert answer.engine is not None
    assert answer.engine.answer_tokens == answer.tokens_out
    assert answer.engine.prompt_s > 0


def test_ollama_is_asked_in_its_own_dialect_and_says_how_long_it_loaded() -> None:
    recorded = (WIRE / "ollama-0.32.15-stream.ndjson").read_bytes()

    async def replay(turn: Turn) -> None:
        await turn.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n")
        for line in recorded.splitlines(keepends=True):
            await turn.chunk(line)
        await turn.send(b"0\r\n\r\n")

    (answer,), here = ask(replay, dialect="ollama")

    assert here.turns[0].line.startswith("POST /api/chat ")
    assert answer.engine is not None
    assert answer.engine.load_s == pytest.approx(0.003897492)
    assert (answer.engine.answer_tokens, answer.tokens_out) == (6, 6)


def test_what_is_asked_streams_with_usage_and_the_ways_own_headers() -> None:
    _, here = ask(stream("a"))

    assert here.turns[0].headers["authorization"] == "Bearer k"
    assert {name: here.turns[0].json[name] for name in ("model", "stream", "stream_options")} == {
        "model": "m", "stream": True, "stream_options": {"include_usage": True},
    }  # fmt: skip


def test_connections_are_kept_and_one_that_the_server_closed_meanwhile_is_no_failure() -> None:
    answers, here = ask(stream("a"), vanish, stream("b"), stream("c"), times=3)

    assert len(answers) == 3
    assert here.connections == 2


def test_a_refusal_says_what_the_server_said() -> None:
    failed = fails(error("401 Unauthorized", "the key is not known", code="invalid_key"))

    assert (failed.status, failed.code, failed.busy) == (401, "invalid_key", False)
    assert "401: the key is not known" in str(failed)


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_being_busy_is_another_thing_than_being_broken(status: str) -> None:
    assert fails(error(status, "later")).busy


@pytest.mark.parametrize(
    "behaviour",
    [cut(event("a")), cut(event("a"), reset=True), vanish, whole(b"<html>sign in</html>"), silence(event("a"))],
    ids=["cut", "reset", "vanished", "no stream", "silent"],
)
def test_an_answer_that_is_not_whole_is_a_failure_and_never_a_time(behaviour: Behaviour) -> None:
    failed = fails(behaviour, seconds=1.0)

    assert not failed.unreachable
    assert str(failed)


def test_where_nobody_listens_it_is_said() -> None:
    async def work() -> None:
        await Way(ConnectionPool(asyncio.get_running_loop()), "http://127.0.0.1:1/v1", (), model="m").ask(ASKED)

    with pytest.raises(Failed, match=r"127\.0\.0\.1:1") as failed:
        run(work)

    assert failed.value.unreachable


def test_few_tokens_tell_nothing_about_the_time_between_them() -> None:
    def answer(tokens: int) -> Answer:
        return Answer(first_token=1.0, end=3.0, tokens_in=5, tokens_out=tokens)

    assert answer(21).between_tokens == pytest.approx(0.1)
    assert answer(2).between_tokens is None
