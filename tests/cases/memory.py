"""What clients send is bounded in sum and at the door, and nothing of a prompt is kept. (A13, A14, A18)"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable

from cases.harness import Fixture, Router, brief
from cases.registry import Fails, case, expect
from cases.routing_files import config
from cases.upstreams import completion, openai
from standins.router import KEY, Answered, Wire, chat, request
from standins.scripted import Turn, answer, error, silence, whole

MIB = 1024 * 1024
# All that the router may have resident whatever clients send, in MiB.
MOST = 256

SECRET = "the-secret-plan-of-the-prompt"


def chunked(port: int) -> bytes:
    """The head of a request whose body comes in chunks."""
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {KEY}\r\n"
    return f"{head}transfer-encoding: chunked\r\n\r\n".encode()


async def pour(wire: Wire, data: bytes) -> None:
    """Send what the other side takes, whether or not it answers meanwhile."""
    view = memoryview(data)
    for at in range(0, len(view), 256 * 1024):
        if wire.writer.transport.is_closing():
            return
        wire.writer.write(view[at : at + 256 * 1024])
        await wire.writer.drain()


async def answer_to(router: Router, *pieces: bytes, within: float = 10.0) -> Answered:
    """Send all of it as a simple client does, which reads only when it is done; then read the answer."""
    wire = await router.connect()
    try:
        async with asyncio.timeout(within):
            try:
                for piece in pieces:
                    await pour(wire, piece)
            except ConnectionError as failure:
                raise Fails("the connection broke while the request was sent") from failure
            return await wire.answered()
    except TimeoutError:
        raise Fails(f"no answer in {within:g} s") from None
    except (ConnectionError, asyncio.IncompleteReadError):
        raise Fails("the connection broke before the answer could be read") from None
    finally:
        wire.close()


# -- A13: memory -------------------------------------------------------------------------------------------------------


@case("A13.1", "20 requests of 15 MB wait for one slot", alone=True, limit=40)
async def waiting_requests(it: Fixture) -> str:
    here = await it.upstream(silence())
    timeouts = {"first_token": 60.0, "first_token_cold": 60.0, "total": 60.0}
    routing = config(here, use=["local"], here_has={"max_in_flight": 1}, timeouts=timeouts)
    router = await it.router(routing, new={"limits": {"held_bytes": 128 * MIB}})
    body = request(chat("x" * (15 * MIB)), port=router.port)
    answers: list[Answered] = []

    async def one() -> None:
        wire = await router.connect()
        try:
            await pour(wire, body)
            answers.append(await wire.answered())
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            wire.close()

    asking = [asyncio.ensure_future(one()) for _ in range(20)]
    await asyncio.wait(asking, timeout=6.0)
    peak = router.peak()
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    expect(peak < MOST, f"{peak} MiB resident, {len(answers)} refused")
    expect(answers, f"{peak} MiB resident, and none was refused")
    for answered in answers:
        expect(answered.status == 503, brief(answered))
        expect(answered.error["code"] == "overloaded", f"code {answered.error['code']}")
        expect("retry-after" in answered.headers, "503 without Retry-After")
    well = await router.ask(path="/healthz", within=3.0)
    expect(well.status == 200, brief(well))
    return f"{peak} MiB resident, {len(answers)} got 503 overloaded"


def tiny_chunks(number: int, size: int) -> None:
    """Register a body of 2 MB in chunks of so many bytes."""

    @case(f"A13.{number}", f"2 MB in {size}-byte chunks", alone=True, limit=40)
    async def body(it: Fixture) -> str:
        here = await it.upstream(openai())
        router = await it.router(config(here, use=["local"]))
        before = router.resident()
        data = json.dumps(chat("x" * (2 * MIB))).encode()
        data += b" " * (-len(data) % size)
        wire_form = b"".join(b"%x\r\n%b\r\n" % (size, data[at : at + size]) for at in range(0, len(data), size))
        answered = await answer_to(router, chunked(router.port), wire_form, b"0\r\n\r\n", within=30.0)
        grown = router.peak() - before
        expect(grown < 32, f"{grown} MiB more for a body of 2 MB, then {answered.status}")
        expect(answered.status in (200, 400, 413), brief(answered))
        return f"{grown} MiB more, {answered.status}"


tiny_chunks(2, 2)
tiny_chunks(3, 1)


def endless(number: int, title: str, line: bytes, times: int) -> None:
    """Register a trailer that does not end: it is refused, or the connection ends."""

    @case(f"A13.{number}", title, alone=True)
    async def body(it: Fixture) -> str:
        here = await it.upstream(openai())
        router = await it.router(config(here, use=["local"]))
        before = router.resident()
        data = json.dumps(chat()).encode()
        wire = await router.connect()
        await wire.send(chunked(router.port) + b"%x\r\n%b\r\n0\r\n" % (len(data), data))
        answer = asyncio.ensure_future(wire.answered())
        sent = 0
        try:
            async with asyncio.timeout(8.0):
                while sent < times and not answer.done():
                    wire.writer.write(line)
                    await wire.writer.drain()
                    await asyncio.sleep(0)
                    sent += 1
        except (ConnectionError, TimeoutError):
            pass
        await asyncio.wait([answer], timeout=0.5)
        grown, answered = router.peak() - before, answer.done()
        answer.cancel()
        (told,) = await asyncio.gather(answer, return_exceptions=True)
        expect(answered, f"{sent * len(line) // MIB} MB of trailers taken without a word, {grown} MiB more")
        how = brief(told) if isinstance(told, Answered) else "the connection ended"
        expect(not isinstance(told, Answered) or told.status >= 400, how)
        expect(grown < 16, f"{grown} MiB more")
        return f"{how[:40]} after {sent * len(line) // 1024} KB, {grown} MiB more"


endless(4, "an endless trailer, line by line", b"x-more: " + b"y" * 65_000 + b"\r\n", 400)
endless(5, "an endless trailer, one line", b"y" * 65_536, 400)


@case("A13.6", "one key takes at most half of limits.held_bytes")
async def half_for_one_key(it: Fixture) -> str:
    here = await it.upstream(silence())
    timeouts = {"first_token": 20.0, "first_token_cold": 20.0, "total": 20.0}
    routing = config(here, use=["local"], timeouts=timeouts, limits={"max_body_bytes": MIB})
    router = await it.router(routing, new={"limits": {"held_bytes": 4 * MIB}})
    held = [await router.connect() for _ in range(3)]
    for wire in held:
        await pour(wire, request(chat("x" * (MIB * 6 // 10)), port=router.port))
    await asyncio.sleep(0.3)
    own = await _outcome(router, KEY)
    expect(own == "503", f"2.4 MB held of 4 MiB, one key's fourth request: {own}")
    return "the key's fourth is refused"


async def _outcome(router: Router, key: str) -> str:
    try:
        answered = await router.ask(chat("x" * (MIB * 6 // 10)), key=key, within=1.5)
    except Fails:
        return "taken"
    return str(answered.status)


@case("A13.7", "what was held is given back", held=True)
async def given_back(it: Fixture) -> str:
    here = await it.upstream(openai())
    routing = config(here, use=["local"], limits={"max_body_bytes": 2 * MIB})
    router = await it.router(routing, new={"limits": {"held_bytes": 8 * MIB}})
    statuses = Counter([(await router.ask(chat("x" * MIB))).status for _ in range(12)])
    expect(statuses == {200: 12}, f"{dict(statuses)}")
    return "12 requests of 1 MB, one after another, with 8 MiB: all answered"


@case("A13.8", "10,000 pipelined requests in one go", alone=True, held=True)
async def pipelined(it: Fixture) -> str:
    here = await it.upstream(silence())
    router = await it.router(config(here, use=["local"]))
    before = router.resident()
    wire = await router.connect()
    try:
        async with asyncio.timeout(3.0):
            await pour(wire, request(chat("x" * 1000), port=router.port) * 10_000)
    except (ConnectionError, TimeoutError):
        pass
    grown = router.peak() - before
    expect(grown < 24, f"{grown} MiB more")
    return f"{grown} MiB more"


# -- A14: names, and what is kept --------------------------------------------------------------------------------------


@case("A14.1", "a model name of 7.5 MB", alone=True)
async def endless_name(it: Fixture) -> str:
    here = await it.upstream(openai())
    router = await it.router(config(here, use=["local"]))
    answered = await router.ask({**chat(), "model": "m" * 7_500_000}, within=10.0)
    await asyncio.sleep(0.5)
    kept = len(router.kept())
    expect(answered.status == 400, f"{answered.status}, {kept // 1024} KB kept in ledger and log")
    expect(answered.error["code"] == "invalid_body" and "model" in answered.error["message"], brief(answered))
    expect(len(answered.body) < 2000, f"an error of {len(answered.body)} bytes")
    expect(kept < 300 * 1024, f"{kept // 1024} KB kept in ledger and log")
    return f"400, {len(answered.body)} bytes"


@case("A14.2", "a model name of 300 letters")
async def long_name(it: Fixture) -> str:
    here = await it.upstream(openai())
    router = await it.router(config(here, use=["local"]))
    answered = await router.ask({**chat(), "model": "m" * 300})
    expect(answered.status == 400, brief(answered))
    expect(b"m" * 100 not in router.kept(), "the name is kept")
    return "400, not kept"


def quoted(number: int, title: str, status: str, *, stream: bool, cloud: bool) -> None:
    """Register an upstream that quotes the prompt in its error."""

    @case(f"A14.{number}", title)
    async def body(it: Fixture) -> str:
        upstream = await it.upstream(error(status, f"invalid content: {SECRET}", type="invalid_request_error"))
        here = None if cloud else upstream
        routing = config(here, upstream if cloud else None, use=["cloud"] if cloud else ["local"])
        router = await it.router(routing)
        answered = await router.ask(chat(SECRET, stream=stream))
        await router.entry(answered)
        await router.ask(path="/gridtie/usage")
        expect(SECRET.encode() not in router.kept(), f"{answered.status}, and the prompt is in the ledger or the log")
        row = await router.entry(answered)
        expect(row["tries"], "no try in the ledger")
        return f"{answered.status}, nothing of it kept"


quoted(3, "upstream's 400 quotes the prompt", "400 Bad Request", stream=False, cloud=False)
quoted(4, "upstream's 500 quotes the prompt", "500 Error", stream=True, cloud=False)
quoted(5, "a cloud's 401 quotes the prompt", "401 Unauthorized", stream=False, cloud=True)


@case("A14.6", "upstream's answer is garbage that quotes the prompt", held=True)
async def garbage_quotes(it: Fixture) -> str:
    here = await it.upstream(whole(f"<html>{SECRET}</html>".encode()))
    router = await it.router(config(here, use=["local"]))
    answered = await router.ask(chat(SECRET))
    await router.entry(answered)
    expect(answered.status == 502, brief(answered))
    expect(SECRET.encode() not in router.kept(), "the prompt is in the ledger or the log")
    return "502, nothing of it kept"


@case("A14.7", "a model that is not there, named as the prompt")
async def prompt_as_model(it: Fixture) -> str:
    here = await it.upstream(openai())
    router = await it.router(config(here, use=["local"]))
    name = " ".join([SECRET] * 30)
    answered = await router.ask({**chat(), "model": name})
    await asyncio.sleep(0.3)
    expect(400 <= answered.status < 500, brief(answered))
    kept = router.kept().count(SECRET.encode())
    expect(kept == 0, f"{answered.status}, kept {kept} times")
    return f"{answered.status}, not kept"


# -- A18: refusals that can be read ------------------------------------------------------------------------------------


def readable(number: int, title: str, build: Callable[[int], list[bytes]], *statuses: int, held: bool = False) -> None:
    """Register a request that is refused before it is read to its end, by a client that reads only then."""

    @case(f"A18.{number}", title, held=held)
    async def body(it: Fixture) -> str:
        here = await it.upstream(openai())
        router = await it.router(config(here, use=["local"]))
        answered = await answer_to(router, *build(router.port), within=8.0)
        expect(answered.status in statuses, brief(answered))
        expect(bool(answered.error["message"]), "no message")
        return f"{answered.status}, read"


readable(1, "a body of 17 MB", lambda port: [request(chat("x" * 17 * MIB), port=port)], 413)
readable(2, "a body of 17 MB, and no key", lambda port: [request(chat("x" * 17 * MIB), port=port, key=None)], 413, 401)
readable(3, "a body of 8 MB, and no key", lambda port: [request(chat("x" * 8 * MIB), port=port, key=None)], 401)
readable(
    4,
    "a body of 8 MB for a path that is not there",
    lambda port: [request(chat("x" * 8 * MIB), port=port, path="/v1/chat")],
    404,
)
readable(
    5, "headers of 200 KB", lambda port: [request(chat(), port=port, headers={"x-long": "y" * 200_000})], 431, held=True
)


def kept_answers(number: int, title: str, kind: str, head: bytes, first: bytes, piece: bytes, stream: bool) -> None:
    """Register 40 answers that are kept until they are whole, 14 MB each, and are never whole."""

    # 1.0.0 kept nothing of what it passed on unread.
    @case(f"A13.{number}", title, alone=True, limit=40, held=kind == "openai")
    async def body(it: Fixture) -> str:
        async def play(turn: Turn) -> None:
            await turn.send(head)
            await turn.chunk(first)
            for _ in range(14_000_000 // len(piece)):
                await turn.chunk(piece)
            await turn.closed.wait()

        late = {"first_token": 12.0, "first_token_cold": 12.0, "between_tokens": 12.0, "total": 20.0}
        here = await it.upstream(play)
        router = await it.router(config(here, None, here_is=kind, use=["local"], timeouts=late))
        for _ in range(40):
            wire = await router.connect()
            await wire.send(request(chat(stream=stream), port=router.port))
        await asyncio.sleep(6)
        expect(router.peak() < 256, f"{router.peak()} MiB")
        return f"{router.peak()} MiB"


_EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
_LINE = json.dumps({"message": {"role": "assistant", "content": "x" * 100_000}, "done": False}).encode() + b"\n"

kept_answers(20, "JSON instead of a stream", "openai", _JSON, b'{"choices":"', b"x" * 100_000, True)
kept_answers(21, "whole answers from Ollama's streams", "ollama", _EVENTS, b"\n", _LINE, False)


@case("A13.22", "an upstream's endless trailer", alone=True)
async def endless_trailer_upstream(it: Fixture) -> str:
    async def play(turn: Turn) -> None:
        await turn.send(_JSON)
        await turn.chunk(answer())
        await turn.send(b"0\r\nx-a: ")
        while not turn.closed.is_set():
            await turn.send(b"x" * 1_000_000)

    here = await it.upstream(play)
    router = await it.router(config(here, None, use=["local"]))
    answered = await router.ask(chat())
    expect(answered.status == 200, brief(answered))
    expect(router.peak() < 80, f"{router.peak()} MiB")
    return f"200, {router.peak()} MiB"


@case("A13.23", "40 clients that do not read whole answers of 8 MB", alone=True, limit=40)
async def unread_whole_answers(it: Fixture) -> str:
    said = "x" * (8 * MIB)
    here = await it.upstream(whole(completion(choices=[{"index": 0, "message": {"content": said}}])))
    router = await it.router(config(here, None, use=["local"]))
    for _ in range(40):
        wire = await router.connect()
        await wire.send(request(chat(), port=router.port))
    await asyncio.sleep(8)
    expect(router.peak() < MOST, f"{router.peak()} MiB")
    return f"{router.peak()} MiB"
