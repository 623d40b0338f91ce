"""What held from the start, and goes on holding. (The paragraph "Held already")"""

from __future__ import annotations

import asyncio
import json
from hashlib import sha256
from typing import Any

from cases.harness import Fixture, Router, brief
from cases.registry import Fails, case, expect
from cases.routing_files import config, station, station_config
from cases.upstreams import anthropic, event, ollama, openai, sse
from standins.router import KEY, OTHER_KEY, Wire, chat, request
from standins.scripted import DONE, Behaviour, error, flood, raw, silence, vanish, whole

# -- H1: smuggling -----------------------------------------------------------------------------------------------------

BODY = json.dumps(chat()).encode()
INSIDE = b"POST /v1/chat/completions HTTP/1.1\r\nhost: evil\r\n\r\n"


def smuggled(number: int, title: str, lines: str, body: bytes) -> None:
    """Register bytes in which two readers may see two different requests: at most one is answered, and none is ours."""

    @case(f"H1.{number}", f"smuggling: {title}", held=True)
    async def run(it: Fixture) -> str:
        here = await it.upstream(openai())
        router = await it.router(config(here, use=["local"]))
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{router.port}\r\nauthorization: Bearer {KEY}\r\n"
        wire = await router.connect()
        await wire.send(f"{head}{lines}\r\n".encode("latin-1") + body)
        statuses = await _answers(wire)
        expect(all(status >= 400 for status in statuses), f"answered {statuses}")
        expect(not here.turns, "passed on")
        return f"{statuses or 'closed'}, closed"


async def _answers(wire: Wire) -> list[int]:
    """The statuses of all answers until the router closes."""
    statuses: list[int] = []
    try:
        async with asyncio.timeout(4.0):
            while True:
                statuses.append((await wire.answered()).status)
    except TimeoutError:
        raise Fails(f"{statuses}, and the connection stays open") from None
    except (ConnectionError, asyncio.IncompleteReadError):
        return statuses


CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
smuggled(1, "Content-Length beside chunked", "content-length: 4\r\ntransfer-encoding: chunked\r\n", CHUNKED)
smuggled(2, "two lengths", f"content-length: {len(BODY)}\r\ncontent-length: 0\r\n", BODY + INSIDE)
smuggled(3, "transfer-encoding: xchunked", "transfer-encoding: xchunked\r\n", CHUNKED)
smuggled(4, "transfer-encoding: chunked, identity", "transfer-encoding: chunked, identity\r\n", CHUNKED)
smuggled(5, "a length with a sign", f"content-length: +{len(BODY)}\r\n", BODY + INSIDE)
smuggled(6, "a blank before the colon", "transfer-encoding : chunked\r\n", CHUNKED)
smuggled(7, "a chunk size that is no number", "transfer-encoding: chunked\r\n", b"0x5\r\nhello\r\n0\r\n\r\n")
smuggled(8, "a folded header", "x-a: b\r\n transfer-encoding: chunked\r\n", CHUNKED)


# -- H2: never to a cloud ----------------------------------------------------------------------------------------------

FAULTS: list[tuple[str, Behaviour]] = [
    ("429", error("429 Too Many", "busy")),
    ("500", error("500 Error", "broken")),
    ("503", error("503 Unavailable", "loading")),
    ("404", error("404 Not Found", "no such model", code="model_not_found")),
    ("401", error("401 Unauthorized", "no")),
    ("too long", error("400 Bad Request", "too long", code="context_length_exceeded")),
    ("gone", vanish),
    ("reset", sse(after="reset")),
    ("role only, then cut", sse(event(role=True), after="close")),
    ("cut in the middle", sse(event("a"), after="close")),
    ("garbage", raw(b"\x00\x01garbage\r\n\r\n")),
    ("an error in the stream", sse(b'data: {"error":{"message":"no"}}\n\n', after="end")),
    ("HTML", whole(b"<html></html>")),
    ("no answer", silence()),
]


def stays_here(number: int, fault: str, behaviour: Behaviour) -> None:
    """Register a fault of the local target: what must stay is refused, and no cloud is asked."""

    @case(f"H2.{number}", f"private and ci stay, the local target: {fault}", held=True)
    async def run(it: Fixture) -> str:
        here, cloud = await it.upstream(behaviour), await it.upstream(openai())
        rules = [{"name": "ci", "when": {"environment": ["ci"]}, "use": ["local"], "never": "cloud"}]
        timeouts = {"first_token": 0.5, "first_token_cold": 0.5, "between_tokens": 0.5, "total": 1.0}
        routing = config(here, cloud, use=["cloud", "local"], rules=rules, timeouts=timeouts)
        router = await it.router(routing)
        claims = [{"x-gridtie-tags": "private"}, {"x-gridtie-environment": "ci"}]
        asked = [(claim, streamed) for claim in claims for streamed in (False, True)]
        answers = await asyncio.gather(*(router.ask(chat(stream=how), headers=claim) for claim, how in asked))
        expect(not cloud.turns, f"{len(cloud.turns)} of {len(asked)} at the cloud")
        return f"{sorted({answered.status for answered in answers})}, 0 of {len(asked)} at the cloud"


for _number, (_fault, _behaviour) in enumerate(FAULTS, 1):
    stays_here(_number, _fault, _behaviour)


@case("H2.20", "the tag PRIVATE in capitals stays", held=True)
async def private_in_capitals(it: Fixture) -> str:
    here, cloud = await it.upstream(openai()), await it.upstream(openai())
    router = await it.router(config(here, cloud, use=["cloud", "local"]))
    answered = await router.ask(chat(), headers={"X-GRIDTIE-TAGS": "PRIVATE"})
    expect(answered.status == 200 and not cloud.turns, brief(answered))
    return "200, local"


@case("H2.21", "names of our own response headers in a request are ignored", held=True)
async def own_names(it: Fixture) -> str:
    here = await it.upstream(openai())
    router = await it.router(config(here, use=["local"]))
    names = ("request-id", "rule", "target", "locality", "attempts", "cost-usd", "baseline-usd", "output-limit")
    answered = await router.ask(chat(), headers={f"x-gridtie-{name}": "1" for name in names})
    expect(answered.status == 200, brief(answered))
    return "200"


@case("H2.22", "another station's router may send names that this version does not know", held=True)
async def relay_of_another_version(it: Fixture) -> str:
    engine = await it.upstream(openai())
    relay = {"name": "peer", "sha256": sha256(OTHER_KEY.encode()).hexdigest(), "environments": ["relay"], "relay": True}
    files = {"station.json": station(engine), "keys.json": json.dumps({"schema": 1, "keys": [relay]})}
    router = await it.router(station_config(use=["local"]), files=files)
    answered = await router.ask(chat(), key=OTHER_KEY, headers={"x-gridtie-of-tomorrow": "1"})
    expect(answered.status == 200, brief(answered))
    return "200"


# -- H3: no spliced answer ---------------------------------------------------------------------------------------------


@case("H3", "cut after content: an error, never another's words", held=True)
async def not_spliced(it: Fixture) -> str:
    here, standby = await it.upstream(sse(event("half"), after="reset")), await it.upstream(openai("from standby"))
    router = await it.router(config(here, standby=standby, use=["local"]))
    answered = await router.ask(chat(stream=True))
    expect(answered.text == "half" and not standby.turns, f"said {answered.text!r}")
    expect(b'"error"' in answered.body and b"[DONE]" not in answered.body, f"{answered.body[-90:]!r}")
    return "half an answer and an error event"


# -- H4: what was seen is in the ledger --------------------------------------------------------------------------------


@case("H4", "kill -9 under load: every answer that was seen is in the ledger", held=True)
async def killed(it: Fixture) -> str:
    here = await it.upstream(openai())
    routing = config(here, use=["local"])
    router = await it.router(routing)
    seen: set[str] = set()
    enough = asyncio.Event()

    async def ask() -> None:
        wire = await router.connect()
        streamed = False
        try:
            while True:
                streamed = not streamed
                await wire.send(request(chat(stream=streamed), port=router.port))
                answered = await wire.answered()
                if not answered.whole:
                    return
                seen.add(answered.headers["x-gridtie-request-id"])
                if len(seen) >= 100:
                    enough.set()
        except (ConnectionError, asyncio.IncompleteReadError):
            return

    asking = [asyncio.ensure_future(ask()) for _ in range(4)]
    await enough.wait()
    await router.kill()
    await asyncio.gather(*asking)
    again = await it.router(routing, directory=router.directory)
    await again.totals()
    kept = {str(row[0]) for row in again.sql("SELECT id FROM requests")}
    expect(seen <= kept, f"{len(seen - kept)} of {len(seen)} are missing")
    return f"{len(seen)} seen, none missing"


# -- H5: slots ---------------------------------------------------------------------------------------------------------


@case("H5", "40 clients leave: no slot stays taken", held=True)
async def departed(it: Fixture) -> str:
    here = await it.upstream(silence(event(role=True)))
    limits = {"max_in_flight": 4}
    timeouts = {"first_token": 20.0, "first_token_cold": 20.0, "total": 20.0}
    router = await it.router(config(here, use=["local"], here_has=limits, timeouts=timeouts))
    wires = [await router.connect() for _ in range(40)]
    for number, wire in enumerate(wires):
        await wire.send(request(chat(stream=bool(number % 2)), port=router.port))
    await here.turn(4)
    for wire in wires:
        wire.close()
    for _ in range(60):
        taken = await router.metric("gridtie_in_flight{") + await router.metric("gridtie_waiting{")
        if not taken:
            return "0 taken, 0 waiting"
        await asyncio.sleep(0.05)
    raise Fails(f"{taken:g} still taken or waiting after 3 s")


# -- H6: keys ----------------------------------------------------------------------------------------------------------


@case("H6", "keys are rotated while a file is being edited", held=True)
async def rotated(it: Fixture) -> str:
    here = await it.upstream(openai())
    router = await it.router(config(here, use=["local"]))
    new = "gt-" + "n" * 43
    row: dict[str, Any] = {"name": "new", "environments": ["dev"], "admin": True}
    row["sha256"] = sha256(new.encode()).hexdigest()
    keys = json.loads((router.config / "keys.json").read_text())
    keys["keys"] = [*(each for each in keys["keys"] if each["name"] != "dev"), row]
    (router.config / "llm_routing.yaml").write_text("version: [")
    (router.config / "keys.json").write_text(json.dumps(keys))
    await router.reload()
    statuses = [(await router.ask(chat(), key=key)).status for key in (KEY, OTHER_KEY, new)]
    expect(statuses == [200, 401, 200], f"{statuses}")
    return "the new one is good, the revoked one is not"


# -- H7: forms of streams ----------------------------------------------------------------------------------------------


def form(number: int, title: str, *frames: bytes, between: float = 0.0) -> None:
    """Register a form in which a stream may come: the client reads the answer."""

    @case(f"H7.{number}", f"a stream with {title}", held=True)
    async def run(it: Fixture) -> str:
        here = await it.upstream(sse(*frames, between=between, after="end"))
        router = await it.router(config(here, use=["local"]))
        answered = await router.ask(chat(stream=True))
        said = _read(answered.body)
        expect(answered.status == 200 and said == "hello", f"said {said!r} {answered.body[-80:]!r}")
        expect(answered.whole and b"[DONE]" in answered.body, f"no end: {answered.body[-60:]!r}")
        return "read"


def _read(body: bytes) -> str:
    """What a client by the standard of server-sent events reads."""
    text = body.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    said = ""
    for block in text.split("\n\n"):
        data = "\n".join(line[5:].removeprefix(" ") for line in block.split("\n") if line.startswith("data:"))
        if data.startswith("{"):
            choices = json.loads(data).get("choices") or [{}]
            said += choices[0].get("delta", {}).get("content") or ""
    return said


FRAMES = [event("hel"), event("lo"), event(finish="stop"), DONE]
form(1, "comments between its frames", b": hi\n\n", FRAMES[0], b": there\n\n", *FRAMES[1:])
form(2, "CRLF", *(frame.replace(b"\n", b"\r\n") for frame in FRAMES))
form(3, "ids, event names and retry", *(b"id: 7\nevent: message\nretry: 100\n" + frame for frame in FRAMES))
form(4, "a byte-order mark", b"\xef\xbb\xbf" + FRAMES[0], *FRAMES[1:])
form(5, "one byte at a time", *(bytes([byte]) for byte in b"".join(FRAMES)))
form(6, "all of it at once", b"".join(FRAMES))
form(7, "no blanks after data:", *(frame.replace(b"data: ", b"data:") for frame in FRAMES))


# -- H8: tool calls ----------------------------------------------------------------------------------------------------

CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": "x"}'}}
TALK = [
    {"role": "user", "content": "look"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "seen"},
]
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


@case("H8.1", "tool calls are kept over a fallback, to the same dialect", held=True)
async def kept_over_a_fallback(it: Fixture) -> str:
    here, standby = await it.upstream(error("500 Error", "broken")), await it.upstream(openai("done"))
    router = await it.router(config(here, standby=standby, use=["local"]))
    answered = await router.ask({"model": "coder", "messages": TALK, "tools": [TOOL]})
    expect(answered.status == 200, brief(answered))
    sent = standby.turns[0].json
    expect(sent["messages"] == TALK and sent["tools"] == [TOOL], f"sent {sent}")
    return "the standby got all of them"


@case("H8.2", "tool calls are kept over a fallback, to another dialect and back", held=True)
async def kept_over_a_translation(it: Fixture) -> str:
    cloud = await it.upstream(error("500 Error", "broken"))
    here = await it.upstream(ollama("", calls=[{"function": {"name": "look", "arguments": {"at": "y"}}}]))
    router = await it.router(config(here, cloud, use=["cloud", "local"], here_is="ollama"))
    answered = await router.ask({"model": "coder", "messages": TALK, "tools": [TOOL]})
    expect(answered.status == 200, brief(answered))
    asked = here.turns[0].json["messages"]
    expect(asked[1]["tool_calls"][0]["function"]["arguments"] == {"at": "x"}, f"sent {asked[1]}")
    expect(asked[2]["content"] == "seen", f"sent {asked[2]}")
    call = answered.json["choices"][0]["message"]["tool_calls"][0]
    expect(json.loads(call["function"]["arguments"]) == {"at": "y"} and call["id"], f"answered {call}")
    return "asked and answered with calls"


# -- H9: bounded as before ---------------------------------------------------------------------------------------------


@case("H9.1", "a client that does not read: upstream is read no further", held=True, alone=True)
async def slow_reader(it: Fixture) -> str:
    here = await it.upstream(flood)
    router = await it.router(config(here, use=["local"], timeouts={"total": 30.0}))
    before = router.resident()
    wire = await router.connect()
    wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await wire.send(request(chat(stream=True), port=router.port))
    await asyncio.sleep(1.5)
    grown = router.peak() - before
    expect(grown < 16, f"{grown} MiB more")
    return f"{grown} MiB more"


@case("H9.2", "a whole answer passes byte for byte", held=True)
async def byte_for_byte(it: Fixture) -> str:
    message = b'{"role":"assistant","content":"\\u00e9"}'
    body = b'{ "choices":[{"index":0,"message":%b,"finish_reason":"stop"}],"x":[1.0] }' % message
    here = await it.upstream(whole(body))
    router = await it.router(config(here, use=["local"]))
    answered = await router.ask(chat())
    expect(answered.body == body, f"{answered.body!r}")
    return "the same bytes"


async def _both(router: Router) -> list[int]:
    return [(await router.ask(chat(stream=how))).status for how in (False, True)]


@case("H9.3", "streamed and unstreamed, three dialects", held=True)
async def all_dialects(it: Fixture) -> str:
    found = {}
    for kind, behaviour in (("openai", openai()), ("ollama", ollama()), ("anthropic", anthropic())):
        router = await it.router(config(await it.upstream(behaviour), use=["local"], here_is=kind))
        found[kind] = await _both(router)
    expect(all(statuses == [200, 200] for statuses in found.values()), f"{found}")
    return "200 six times"
