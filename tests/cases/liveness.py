"""Nobody waits for ever, and another target answers while it still may. (A3, A4, A5, A12)"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from cases.harness import Fixture, Router, brief
from cases.registry import Fails, case, expect
from cases.routing_files import config
from cases.upstreams import (
    anthropic_event,
    anthropic_frames,
    event,
    ollama,
    openai,
    sse,
)
from standins.router import Answered, chat
from standins.scripted import DONE, Behaviour, Turn, error, raw, silence, vanish, whole

COMMENT = b": keep-alive\n\n"
EMPTY = event("")
PING = anthropic_event("ping")


def told(answered: Answered) -> str:
    """What a streamed answer said, whether or not it is whole."""
    return answered.text if "text/event-stream" in answered.headers.get("content-type", "") else brief(answered)


def from_standby(answered: Answered, seconds: float | None = None) -> str:
    """Expect the standby's answer, whole."""
    text = told(answered)
    expect(answered.status == 200, brief(answered))
    expect("from standby" in text, f"not the standby: {text or answered.body[-90:]!r}")
    expect(answered.whole and b'"error"' not in answered.body, f"broken: {answered.body[-90:]!r}")
    attempts = answered.headers.get("x-gridtie-attempts")
    expect(attempts == "2", f"attempts {attempts}")
    return "the standby answers" + (f" after {seconds:.1f} s" if seconds else "")


async def with_standby(it: Fixture, behaviour: Behaviour, **options: Any) -> Router:
    """A router with a first target that behaves like this, and a standby that is well."""
    here, standby = await it.upstream(behaviour), await it.upstream(openai("from standby"))
    return await it.router(config(here, standby=standby, **options), new=options.get("new"))


# -- A3: statuses that nobody thought of -------------------------------------------------------------------------------


def error_list() -> Behaviour:
    """An error in a form of its own."""
    return whole(b'{"error":[{"message":17}]}', status="500 Error")


# Whatever is over sooner was not ended by a time-out.
SLOW = {"first_token": 2.5, "first_token_cold": 2.5, "total": 2.5}


def odd_status(number: int, status: str, *, stream: bool, held: bool = False) -> None:
    """Register a status that an upstream may answer with."""

    @case(f"A3.{number}", f"upstream answers {status}, {'streamed' if stream else 'unstreamed'}", held=held)
    async def body(it: Fixture) -> str:
        here = await it.upstream(error(f"{status} Odd", "odd"))
        router = await it.router(config(here, use=["local"], timeouts=SLOW))
        began = time.monotonic()
        answered = await router.ask(chat(stream=stream), within=3.5)
        seconds = time.monotonic() - began
        expect(400 <= answered.status < 600 and answered.whole, brief(answered))
        expect(seconds < 2.0, f"{answered.status} after {seconds:.1f} s, by timeouts.total; upstream answered at once")
        expect(bool(answered.error["message"]), "an error without a message")
        row = await router.entry(answered)
        expect(row["status"] == answered.status, f"the client saw {answered.status}, the ledger has {row['status']}")
        expect(row.get("tries"), "no try in the ledger")
        return f"{answered.status}, in the ledger as well"


odd_status(1, "420", stream=False)
odd_status(2, "430", stream=False)
odd_status(3, "444", stream=True)
odd_status(4, "460", stream=False)
odd_status(5, "498", stream=True)
odd_status(6, "499", stream=False)
odd_status(7, "099", stream=False)
odd_status(8, "099", stream=True)
odd_status(9, "600", stream=False, held=True)
odd_status(10, "999", stream=True, held=True)


def odd_answer(number: int, title: str, behaviour: Behaviour, *, stream: bool, held: bool = True) -> None:
    """Register an answer that is none: the client is told, in time."""

    @case(f"A3.{number}", f"upstream answers {title}, {'streamed' if stream else 'unstreamed'}", held=held)
    async def body(it: Fixture) -> str:
        here = await it.upstream(behaviour)
        router = await it.router(config(here, use=["local"], timeouts=SLOW))
        answered = await router.ask(chat(stream=stream), within=3.5)
        expect(400 <= answered.status < 600 and answered.whole, brief(answered))
        row = await router.entry(answered)
        expect(row["status"] == answered.status and row.get("tries"), f"the ledger has {row['status']}")
        return f"{answered.status}, in the ledger as well"


EMPTY_200 = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
odd_answer(12, "204 without a body", raw(b"HTTP/1.1 204 No Content\r\n\r\n"), stream=True)
odd_answer(13, "304", raw(b"HTTP/1.1 304 Not Modified\r\n\r\n"), stream=False)
odd_answer(14, "an empty 200", raw(EMPTY_200), stream=True)
odd_answer(15, "an empty 200", raw(EMPTY_200), stream=False)
odd_answer(
    16, "101 Switching Protocols", raw(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n", close=False), stream=False
)
odd_answer(17, "100 Continue a thousand times, then FIN", raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000), stream=True)
odd_answer(18, "a 500 whose error is a list", error_list(), stream=False)
odd_answer(
    19,
    "a 500 that is no JSON and not UTF-8",
    raw(b"HTTP/1.1 500 X\r\ncontent-length: 3\r\n\r\n\xff\xfe\x00"),
    stream=True,
)
odd_answer(20, "429 with Retry-After: soon", error("429 X", "no", headers="retry-after: soon\r\n"), stream=False)
odd_answer(21, "429 with Retry-After: 1e400", error("429 X", "no", headers="retry-after: 1e400\r\n"), stream=False)
odd_answer(22, "429 with Retry-After: -7", error("429 X", "no", headers="retry-after: -7\r\n"), stream=True)


@case("A3.11", "a connection is good for more after a 460")
async def goes_on_after_an_odd_status(it: Fixture) -> str:
    here = await it.upstream(error("460 Odd", "odd"), openai())
    router = await it.router(config(here, use=["local"], here_has={"max_in_flight": 1}, timeouts={"total": 1.5}))
    await router.ask(chat(), within=3.0)
    await asyncio.sleep(0.6)  # the pause of a local target
    answered = await router.ask(chat(), within=3.0)
    expect(answered.status == 200, f"the slot is gone: {brief(answered)}")
    return "the slot is free again"


# -- A4: liveness is of content ----------------------------------------------------------------------------------------


def lively(number: int, title: str, behaviour: Behaviour, **options: Any) -> None:
    """Register something that comes and is no content: the standby answers."""

    @case(f"A4.{number}", title)
    async def body(it: Fixture) -> str:
        router = await with_standby(it, behaviour, use=["local"], **options)
        began = time.monotonic()
        answered = await router.ask(chat(stream=True))
        return from_standby(answered, time.monotonic() - began)


lively(
    1,
    "SSE comments for ever, no content",
    sse(event(role=True), COMMENT * 100, between=0.2, after="repeat", forever=COMMENT),
    timeouts={"total": 4.0},
)
lively(
    2,
    "100 SSE comments at once, then silence",
    sse(event(role=True), *[COMMENT] * 100, after="stall"),
    timeouts={"total": 4.0},
)
lively(
    3,
    "100 role and empty frames, then a cut",
    sse(*[event(role=True), EMPTY] * 50, after="close"),
)
lively(
    4,
    "100 Anthropic pings, then pings for ever",
    sse(anthropic_frames()[0], PING * 100, between=0.2, after="repeat", forever=PING),
    here_is="anthropic",
    timeouts={"total": 4.0},
)
lively(
    5,
    "300 KB of comments, then a reset",
    sse(*[b": " + b"x" * 10_000 + b"\n\n"] * 30, after="reset"),
)


def falls_silent(number: int, title: str, frames: list[bytes], forever: bytes, here_is: str = "openai") -> None:
    """Register a stream that has begun and goes on without content: it is ended, and not as if it were whole."""

    @case(f"A4.{number}", title)
    async def body(it: Fixture) -> str:
        here = await it.upstream(sse(*frames, between=0.1, after="repeat", forever=forever))
        timeouts = {"total": 4.5, "between_tokens": 0.8}
        router = await it.router(config(here, use=["local"], here_is=here_is, timeouts=timeouts))
        began = time.monotonic()
        answered = await router.ask(chat(stream=True), within=6.0)
        seconds = time.monotonic() - began
        expect(answered.text == "a", f"said {answered.text!r}")
        expect(b"[DONE]" not in answered.body, "ended as if it were whole")
        expect(seconds < 3.0, f"ended after {seconds:.1f} s, by timeouts.total")
        expect("between_tokens" in answered.body.decode(), f"does not say why: {answered.body[-90:]!r}")
        return f"ended after {seconds:.1f} s with an error"


falls_silent(6, "content, then comments for ever", [event(role=True), event("a")], COMMENT)
falls_silent(7, "content, then empty frames for ever", [event(role=True), event("a")], EMPTY)
falls_silent(8, "content, then Anthropic pings for ever", anthropic_frames("a")[:3], PING, "anthropic")


@case("A4.9", "comments come, then content in time", held=True)
async def comments_before_content(it: Fixture) -> str:
    frames = [*[COMMENT] * 4, event("late"), event(finish="stop"), DONE]
    here = await it.upstream(sse(*frames, between=0.1, after="end"))
    router = await it.router(config(here, use=["local"]))
    answered = await router.ask(chat(stream=True))
    expect(answered.text == "late" and b"[DONE]" in answered.body, f"{answered.body[-90:]!r}")
    return "the answer, whole"


# -- A5: unstreamed requests have their times too ----------------------------------------------------------------------


def whole_answer(
    number: int, title: str, behaviour: Behaviour, *, within: float = 4.0, total: float = 5.0, **options: Any
) -> None:
    """Register an upstream that keeps an unstreamed request waiting: the standby answers."""

    @case(f"A5.{number}", title)
    async def body(it: Fixture) -> str:
        here, standby = await it.upstream(behaviour), await it.upstream(openai("from standby"))
        routing = config(here, standby=standby, use=["local"], timeouts={"total": total}, **options)
        router = await it.router(routing, new={"timeouts": {"whole": 0.8}})
        began = time.monotonic()
        try:
            answered = await router.ask(chat(), within=within)
        except Fails as failure:
            raise Fails(f"{failure}, the standby was asked {len(standby.turns)} times") from None
        return from_standby(answered, time.monotonic() - began)


whole_answer(1, "unstreamed: no byte (timeouts.whole)", silence())
# 10 s between a head's first byte and its end are a constant.
whole_answer(
    2,
    "unstreamed: half a head, then nothing",
    raw(b"HTTP/1.1 200 OK\r\ncontent-ty", close=False),
    within=12.5,
    total=20.0,
)
whole_answer(3, "unstreamed to Ollama: no token (first_token)", silence(), here_is="ollama")
whole_answer(
    4, "unstreamed to Ollama: stalls in the middle (between_tokens)", ollama("a", after="stall"), here_is="ollama"
)
whole_answer(
    5,
    "unstreamed to Anthropic: pings alone",
    sse(anthropic_frames()[0], between=0.2, after="repeat", forever=PING),
    here_is="anthropic",
)


def asked_to_stream(number: int, kind: str, behaviour: Behaviour) -> None:
    """Register a kind of target whose answers are translated: it is asked to stream, and the events are collected."""

    @case(f"A5.{number}", f"unstreamed to {kind}: the target is asked to stream")
    async def body(it: Fixture) -> str:
        here = await it.upstream(behaviour)
        router = await it.router(config(here, use=["local"], here_is=kind))
        answered = await router.ask(chat())
        expect(answered.status == 200, brief(answered))
        asked = here.turns[0].json.get("stream")
        expect(asked is True, f"asked with stream {asked}")
        message = answered.json["choices"][0]["message"]["content"]
        expect(message == "collected", f"said {message!r}")
        expect(answered.json["object"] == "chat.completion", f"object {answered.json['object']}")
        usage = answered.json["usage"]
        expect(usage["prompt_tokens"] and usage["completion_tokens"], f"usage {usage}")
        return "asked to stream, answered whole"


asked_to_stream(6, "ollama", ollama("collected"))
asked_to_stream(7, "anthropic", sse(*anthropic_frames("collected"), after="end"))


# -- A12: sent twice ---------------------------------------------------------------------------------------------------


async def dies_late(turn: Turn) -> None:
    """Take the request and close without a byte, a second later."""
    await asyncio.sleep(1.0)
    await vanish(turn)


async def sent_again(it: Fixture, behaviour: Behaviour, *, stream: bool) -> tuple[Answered, int, list[Any]]:
    """The answer to the second request over one upstream connection, how often it was posted, and its tries."""
    cloud = await it.upstream(openai("first"), behaviour, openai("again"))
    router = await it.router(config(None, cloud, use=["cloud"], timeouts={"first_token": 3.0, "total": 4.0}))
    await router.ask(chat())
    answered = await router.ask(chat(stream=stream))
    expect(cloud.turns[1].writer is cloud.turns[0].writer, "the connection was not used again")
    row = await router.entry(answered)
    return answered, len(cloud.turns) - 1, row["tries"]


def not_sent_twice(number: int, *, stream: bool) -> None:
    """Register a paid request whose upstream dies after a second."""

    @case(f"A12.{number}", f"a used connection dies after 1 s, {'streamed' if stream else 'unstreamed'}")
    async def body(it: Fixture) -> str:
        answered, posts, tries = await sent_again(it, dies_late, stream=stream)
        expect(posts == 1, f"{answered.status}, posted {posts} times to a paid cloud, {len(tries)} try in the ledger")
        expect(answered.status == 502, brief(answered))
        expect(len(tries) == 1 and tries[0]["outcome"] != "ok", f"tries {tries}")
        return "posted once, 502"


not_sent_twice(1, stream=False)
not_sent_twice(2, stream=True)


@case("A12.3", "a used connection is closed at once: posted again, and recorded")
async def posted_again_at_once(it: Fixture) -> str:
    answered, posts, tries = await sent_again(it, vanish, stream=False)
    expect(answered.status == 200 and posts == 2, f"{answered.status}, posted {posts} times")
    outcomes = [each["outcome"] for each in tries]
    expect(len(tries) == 2 and outcomes[-1] == "ok" and outcomes[0] != "ok", f"200 after 2 posts, tries {outcomes}")
    return "200, two tries in the ledger"


@case("A12.4", "after the one that died, the standby answers")
async def standby_after_a_death(it: Fixture) -> str:
    here, standby = (
        await it.upstream(openai("first"), dies_late, openai("again")),
        await it.upstream(openai("from standby")),
    )
    router = await it.router(config(here, standby=standby, use=["local"], timeouts={"total": 4.0}))
    await router.ask(chat())
    answered = await router.ask(chat())
    expect(len(here.turns) == 2, f"posted {len(here.turns) - 1} times to the one that died")
    return from_standby(answered)
