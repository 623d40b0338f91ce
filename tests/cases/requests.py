"""Requests as clients of today send them: upgrades, details that are not ours, small things. (A6, A19, A24)"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from cases.harness import Fixture, Router, brief
from cases.registry import Fails, case, expect
from cases.routing_files import config, station, station_config
from cases.upstreams import anthropic, ollama, openai
from standins.router import KEY, Answered, chat, request
from standins.scripted import Behaviour, Turn, error, silence, vanish

H2C = {
    "connection": "Upgrade, HTTP2-Settings",
    "upgrade": "h2c",
    "http2-settings": "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
}


# -- A6: upgrades ------------------------------------------------------------------------------------------------------


async def upgrade_ignored(it: Fixture, data: list[bytes], text: str) -> str:
    """Send the pieces of one request, then an ordinary one on the same connection."""
    here = await it.upstream(openai())
    router = await it.router(config(here, use=["local"]))
    pieces = [piece.replace(b"127.0.0.1:0", b"127.0.0.1:%d" % router.port) for piece in data]
    wire = await router.connect()
    try:
        async with asyncio.timeout(4.0):
            for piece in pieces:
                await wire.send(piece)
                await asyncio.sleep(0.1 if len(pieces) > 1 else 0)
            first = await wire.answered()
            expect(first.status == 200, brief(first))
            expect(here.turns[0].json["messages"][0]["content"] == text, "the body was cut")
            await wire.send(request(chat(), port=router.port))
            second = await wire.answered()
    except TimeoutError:
        raise Fails("no answer in 4 s") from None
    except (ConnectionError, asyncio.IncompleteReadError):
        raise Fails("the connection ended") from None
    expect(second.status == 200, f"then {brief(second)}")
    return "200, body whole, and 200 on the same connection"


def upgrade(number: int, title: str, headers: dict[str, str], *, split: bool = False) -> None:
    """Register a request that offers another protocol."""

    @case(f"A6.{number}", title)
    async def body(it: Fixture) -> str:
        text = "hello " * 50
        data = request(chat(text), headers=headers)
        at = data.index(b"\r\n\r\n") + 4
        return await upgrade_ignored(it, [data[:at], data[at : at + 40], data[at + 40 :]] if split else [data], text)


upgrade(1, "Upgrade: h2c, as Java's client and curl --http2 send it", H2C)
upgrade(2, "Upgrade: h2c, the body in packets of its own", H2C, split=True)
upgrade(3, "Upgrade: websocket", {"Connection": "keep-alive, Upgrade", "Upgrade": "websocket"})
upgrade(4, "Upgrade: TLS/1.3, HTTP/3", {"Connection": "Upgrade", "Upgrade": "TLS/1.3, HTTP/3"})


@case("A6.5", "Upgrade: h2c with a chunked body")
async def upgrade_chunked(it: Fixture) -> str:
    data = json.dumps(chat("hello")).encode()
    lines = "".join(f"{name}: {value}\r\n" for name, value in H2C.items())
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:0\r\nauthorization: Bearer {KEY}\r\n{lines}"
    whole = f"{head}transfer-encoding: chunked\r\n\r\n".encode() + b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)
    return await upgrade_ignored(it, [whole], "hello")


@case("A6.6", "GET with Upgrade: h2c", held=True)
async def upgrade_get(it: Fixture) -> str:
    here = await it.upstream(openai())
    router = await it.router(config(here, use=["local"]))
    answered = await router.ask(path="/v1/models", headers=H2C)
    expect(answered.status == 200, brief(answered))
    expect("upgrade" not in answered.headers, "upgraded")
    return "200"


@case("A6.7", "Upgrade: h2c is not passed on")
async def upgrade_not_passed_on(it: Fixture) -> str:
    here = await it.upstream(openai())
    router = await it.router(config(here, use=["local"]))
    answered = await router.ask(chat(), headers=H2C)
    expect(answered.status == 200, brief(answered))
    passed = {"upgrade", "http2-settings"} & set(here.turns[0].headers)
    expect(not passed, f"passed on: {sorted(passed)}")
    return "200, nothing of it at upstream"


@case("A6.8", "Upgrade: h2c with Expect: 100-continue")
async def upgrade_expecting(it: Fixture) -> str:
    here = await it.upstream(openai())
    router = await it.router(config(here, use=["local"]))
    wire = await router.connect()
    data = request(chat(), port=router.port, headers={**H2C, "expect": "100-continue"})
    at = data.index(b"\r\n\r\n") + 4
    try:
        async with asyncio.timeout(4.0):
            await wire.send(data[:at])
            first = await wire.answered()
            expect(first.status == 100, brief(first))
            await wire.send(data[at:])
            second = await wire.answered()
    except TimeoutError:
        raise Fails("no answer in 4 s") from None
    except (ConnectionError, asyncio.IncompleteReadError):
        raise Fails("the connection ended") from None
    expect(second.status == 200, brief(second))
    return "100, then 200"


# -- A19: strict at every depth ----------------------------------------------------------------------------------------

SCHEMA = {"type": "object", "properties": {"answer": {"type": "integer"}}, "required": ["answer"]}


async def to(it: Fixture, kind: str, body: dict[str, Any]) -> tuple[Answered, list[Turn]]:
    """The answer of a target of this kind, and what it was asked."""
    here = await it.upstream(ollama() if kind == "ollama" else anthropic())
    router = await it.router(config(here, use=["local"], here_is=kind))
    return await router.ask(body), here.turns


def used_or_refused(number: int, title: str, name: str, body: dict[str, Any]) -> None:
    """Register a detail that Ollama does not know: it reaches it in some form, or the request is refused by name."""

    @case(f"A19.{number}", title)
    async def run(it: Fixture) -> str:
        answered, turns = await to(it, "ollama", body)
        if answered.status == 400:
            expect(name in answered.error["message"], f"400 that does not name {name}: {brief(answered)}")
            expect(not turns, "refused, and yet asked")
            return f"400 that names {name}"
        expect(answered.status == 200, brief(answered))
        raise Fails("200, dropped in silence")


@case("A19.1", "json_object with a schema, to Ollama")
async def schema_of_json_object(it: Fixture) -> str:
    shape = {"type": "json_object", "schema": SCHEMA}
    answered, turns = await to(it, "ollama", chat(response_format=shape))
    if answered.status == 400:
        expect("schema" in answered.error["message"], brief(answered))
        return "400 that names schema"
    expect(answered.status == 200, brief(answered))
    sent = turns[0].json.get("format")
    expect(sent == SCHEMA, f"200, format {sent!r}: the schema is dropped")
    return "the schema is Ollama's format"


used_or_refused(
    2,
    "prefix inside a message, to Ollama",
    "prefix",
    {
        "model": "coder",
        "messages": [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": "def", "prefix": True},
        ],
    },
)
used_or_refused(
    3,
    "an unknown field inside a text part, to Ollama",
    "emphasis",
    {
        "model": "coder",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi", "emphasis": "strong"}]}],
    },
)
used_or_refused(
    4,
    "an unknown field inside a tool's function, to Ollama",
    "returns",
    chat(tools=[{"type": "function", "function": {"name": "f", "parameters": {}, "returns": {"type": "string"}}}]),
)
used_or_refused(
    5,
    "an unknown field inside an earlier tool call, to Ollama",
    "approved",
    {
        "model": "coder",
        "messages": [
            {"role": "user", "content": "go"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}", "approved": True}}
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "ok"},
        ],
    },
)
used_or_refused(
    6,
    "an unknown field inside response_format, to Ollama",
    "grammar",
    chat(response_format={"type": "json_object", "grammar": "root ::= x"}),
)


def cache_control(number: int, title: str, body: dict[str, Any]) -> None:
    """Register a place where `cache_control` may stand: it reaches Anthropic."""

    @case(f"A19.{number}", title)
    async def run(it: Fixture) -> str:
        answered, turns = await to(it, "anthropic", body)
        expect(answered.status == 200, brief(answered))
        expect(b'"cache_control"' in turns[0].body, "200, dropped in silence")
        expect(b"ephemeral" in turns[0].body, "its value is lost")
        return "it reaches Anthropic"


MARK = {"type": "ephemeral"}
cache_control(
    7,
    "cache_control on a text part, to Anthropic",
    {
        "model": "coder",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "long", "cache_control": MARK}]}],
    },
)
cache_control(
    8,
    "cache_control on a system part, to Anthropic",
    {
        "model": "coder",
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "be brief", "cache_control": MARK}]},
            {"role": "user", "content": "hi"},
        ],
    },
)


@case("A19.9", "unknown fields pass to a target of the same dialect", held=True)
async def unknown_fields_pass(it: Fixture) -> str:
    here = await it.upstream(openai())
    router = await it.router(config(here, use=["local"]))
    message = {"role": "user", "content": [{"type": "text", "text": "hi", "extra": 1}], "prefix": True}
    answered = await router.ask({"model": "coder", "messages": [message], "mirostat": 2})
    expect(answered.status == 200, brief(answered))
    sent = here.turns[0].json
    expect(sent["messages"] == [message] and sent["mirostat"] == 2, f"sent {sent}")
    return "passed as they came"


@case("A19.10", "a key given twice is read once, the same here and there", held=True)
async def doubled_key(it: Fixture) -> str:
    here, cloud = await it.upstream(openai()), await it.upstream(openai())
    router = await it.router(config(here, cloud, use=["local"]))
    body = (
        b'{"model":"nobody","model":"coder","stream":true,"stream":false,"messages":[{"role":"user","content":"hi"}]}'
    )
    answered = await router.ask(body)
    expect(answered.status == 200, brief(answered))
    expect(here.turns[0].body.count(b'"model"') == 1, "sent twice")
    expect(here.turns[0].json.get("stream", False) is False, "another reading of stream")
    return "the last of the two, sent once"


# -- A24: small --------------------------------------------------------------------------------------------------------


def bad_origin(number: int, origin: str, held: bool = False) -> None:
    """Register an Origin that is nobody's."""

    @case(f"A24.{number}", f"Origin: {origin}", held=held)
    async def body(it: Fixture) -> str:
        here = await it.upstream(openai())
        router = await it.router(config(here, use=["local"]))
        answered = await router.ask(chat(), headers={"origin": origin})
        expect(answered.status in (400, 403), brief(answered))
        expect(not here.turns, "passed on")
        return str(answered.status)


bad_origin(1, "http://[::1")
bad_origin(2, "http://[fe80::1%eth0]]:80/")
bad_origin(3, "null", held=True)


def pipelined(number: int, count: int, what: str, one: Callable[[int], bytes]) -> None:
    """Register so many requests that a client sends without waiting; `one` makes them, for a port."""

    @case(f"A24.{number}", f"{count} pipelined {what}")
    async def body(it: Fixture) -> str:
        here = await it.upstream(openai())
        router = await it.router(config(here, use=["local"]))
        wire = await router.connect()
        served = 0
        try:
            async with asyncio.timeout(4.0):
                await wire.send(one(router.port) * count)
                while served < count:
                    answered = await wire.answered()
                    expect(answered.status == 200, f"the {served + 1}th: {brief(answered)}")
                    served += 1
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
            raise Fails(f"{served} of {count} served") from None
        return f"{count} of {count} served"


pipelined(4, 40, "requests", lambda port: request(chat(), port=port))
pipelined(5, 100, "GET /v1/models", lambda port: request(path="/v1/models", port=port))


def moment(number: int, written: str, held: bool = False) -> None:
    """Register a way in which people write a time in an address."""

    @case(f"A24.{number}", f"since={written}", held=held)
    async def body(it: Fixture) -> str:
        here = await it.upstream(openai())
        router = await it.router(config(here, use=["local"]))
        answered = await router.ask(path=f"/gridtie/usage?since={written}")
        expect(answered.status == 200, brief(answered))
        wanted = datetime.fromisoformat("2026-11-22T14:00:00+02:00").timestamp()
        since = answered.json["since"]
        since = since if isinstance(since, int | float) else datetime.fromisoformat(since).timestamp()
        expect(since == wanted, f"since {since}, wanted {wanted}")
        return "read as it is meant"


moment(6, "2026-11-22T14:00:00+02:00")
moment(7, "2026-11-22T14:00:00%2B02:00", held=True)


async def probed(it: Fixture, version: str) -> str:
    """A station whose engine answers the probe and keeps the connection."""

    async def keeps(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                body = b'{"models":[{"name":"gridtie/small:latest"}]}'
                head = f"{version} 200 OK\r\ncontent-type: application/json\r\nconnection: keep-alive\r\n"
                writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(keeps, "127.0.0.1", 0)
    it.stack.callback(server.close)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    stub = await it.upstream(ollama())
    facts = station(stub, dialect="ollama").replace(stub.url.removesuffix("/v1"), url)
    router = await it.router(station_config(use=["local"]), files={"station.json": facts})
    for _ in range(30):
        answered = await router.ask(path="/readyz")
        if answered.status == 200:
            return "ready"
        await asyncio.sleep(0.1)
    raise Fails(f"not ready after 3 s: {brief(answered)}")


@case("A24.8", "a probe's answer with Content-Length on a connection that stays, HTTP/1.0")
async def probe_1_0(it: Fixture) -> str:
    return await probed(it, "HTTP/1.0")


@case("A24.9", "a probe's answer with Content-Length on a connection that stays, HTTP/1.1")
async def probe_1_1(it: Fixture) -> str:
    return await probed(it, "HTTP/1.1")


@case("A24.10", "during a cloud's pause after 429: 429 with Retry-After, no advice about the engine")
async def paused_cloud(it: Fixture) -> str:
    cloud = await it.upstream(error("429 Too Many", "slow down", headers="retry-after: 20\r\n"))
    router = await it.router(config(None, cloud, use=["cloud"]))
    first = await router.ask(chat())
    second = await router.ask(chat())
    expect(first.status == 429, f"the first: {brief(first)}")
    expect(len(cloud.turns) == 1, "asked again in its pause")
    message = second.error["message"]
    expect("engine" not in message, f"{second.status}, advice about the engine: ...{message[-70:]}")
    expect(second.status == 429, brief(second))
    wait = second.headers.get("retry-after", "")
    expect(wait.isdigit() and 15 <= int(wait) <= 20, f"Retry-After {wait!r}, 20 s were asked for")
    return f"429, Retry-After {wait}"


def made_here(number: int, title: str, body: dict[str, Any]) -> None:
    """Register a request that the router refuses, whatever upstream would say."""

    @case(f"A24.{number}", title)
    async def run(it: Fixture) -> str:
        answered, turns = await to(it, "ollama", body)
        expect(answered.status == 400 and not turns, brief(answered))
        expect(answered.error["source"] == "gridtie", f"400, source {answered.error['source']}")
        return "400, source gridtie"


made_here(11, "a router-made 400 (logit_bias to Ollama): its source", chat(logit_bias={"5": 1}))
made_here(12, "a router-made 400 (no messages to Ollama): its source", {"model": "coder", "messages": []})


def null_arguments(number: int, *, stream: bool) -> None:
    """Register a tool call without arguments."""

    @case(f"A24.{number}", f"tool arguments null, {'streamed' if stream else 'unstreamed'}")
    async def run(it: Fixture) -> str:
        call = {"function": {"name": "now", "arguments": None}}
        here = await it.upstream(ollama("", calls=[call]))
        router = await it.router(config(here, use=["local"], here_is="ollama"))
        answered = await router.ask(chat(stream=stream))
        expect(answered.status == 200, brief(answered))
        arguments = written_arguments(answered, stream=stream)
        expect(arguments == "{}", f"arguments {arguments!r}")
        return "arguments '{}'"


def written_arguments(answered: Answered, *, stream: bool) -> str:
    """What a client takes for the arguments of the one call."""
    if not stream:
        return str(answered.json["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"])
    deltas = [json.loads(data)["choices"][0]["delta"] for data in answered.events if data.startswith("{")]
    calls = [call for delta in deltas for call in delta.get("tool_calls") or ()]
    return "".join(call["function"].get("arguments") or "" for call in calls)


null_arguments(13, stream=True)
null_arguments(14, stream=False)


# -- refusals that do not pass by themselves ---------------------------------------------------------------------------


async def final(router: Router, answered: Answered) -> str:
    """Expect an error that no official client tries again."""
    expect(answered.status >= 400, brief(answered))
    expect(answered.headers.get("x-should-retry") == "false", f"{answered.status} without x-should-retry: false")
    expect("retry-after" not in answered.headers, f"{answered.status} with Retry-After")
    return f"{answered.status}, x-should-retry: false"


@case("A24.15", "a cloud that is not configured: nobody shall try again")
async def missing_cloud(it: Fixture) -> str:
    here = await it.upstream(openai())
    router = await it.router(config(here, use=["cloud"]))
    return await final(router, await router.ask(chat()))


def whose_words(number: int, title: str, behaviour: Behaviour, status: int, source: str, *, held: bool = False) -> None:
    """Register a failure and who says so: the router itself, or the provider by its answer."""

    for offset, stream in ((0, False), (1, True)):

        @case(f"A24.{number + offset}", f"source of {title}, {'streamed' if stream else 'unstreamed'}", held=held)
        async def body(it: Fixture, stream: bool = stream) -> str:
            here = await it.upstream(behaviour)
            router = await it.router(config(here, use=["local"]))
            answered = await router.ask(chat(stream=stream))
            expect(answered.status == status, brief(answered))
            expect(answered.error["source"] == source, f"{status}, source {answered.error['source']}")
            return f"{status}, source {source}"


whose_words(18, "a time-out", silence(), 504, "gridtie")
whose_words(20, "a connection that ends unanswered", vanish, 502, "gridtie")
whose_words(22, "a provider's 504", error("504 Gateway Timeout", "too slow"), 504, "upstream", held=True)


@case("A24.16", "a budget that is used up: nobody shall try again")
async def used_up(it: Fixture) -> str:
    cloud = await it.upstream(openai())
    router = await it.router(config(None, cloud, use=["cloud"], budgets=[{"name": "all", "usd": 0.000001}]))
    return await final(router, await router.ask(chat(max_tokens=100)))


@case("A24.17", "what passes by itself has Retry-After", held=True)
async def passing(it: Fixture) -> str:
    cloud = await it.upstream(error("429 Too Many", "slow down", headers="retry-after: 7\r\n"))
    router = await it.router(config(None, cloud, use=["cloud"]))
    answered = await router.ask(chat())
    expect(answered.headers.get("retry-after") == "7", f"Retry-After {answered.headers.get('retry-after')}")
    expect(answered.headers.get("x-should-retry") != "false", "told not to try again")
    return "429, Retry-After 7"
