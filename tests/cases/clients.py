"""What common clients send is worked out: done, passed on, or left out where that changes nothing. (A23)"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from cases.harness import Fixture, brief
from cases.registry import case, expect
from cases.routing_files import config
from cases.upstreams import anthropic, ollama, openai
from standins.router import KEY, Answered, chat, request
from standins.scripted import Turn

TOOLS = [
    {
        "type": "function",
        "function": {"name": "look", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}},
    }
]


async def asked(it: Fixture, kind: str, body: Any) -> tuple[Answered, list[Turn]]:
    """The answer of a local target of this kind, and what it was asked."""
    behaviour = {"ollama": ollama(), "anthropic": anthropic(), "openai": openai()}[kind]
    here = await it.upstream(behaviour)
    router = await it.router(config(here, use=["local"], here_is=kind))
    return await router.ask(body), here.turns


def taken(
    number: int,
    title: str,
    kind: str,
    body: dict[str, Any],
    check: Callable[[Any], str] = lambda sent: "",
    held: bool = False,
) -> None:
    """Register a request that a client of today sends; `check` says what is wrong with what the target got."""

    @case(f"A23.{number}", title, held=held)
    async def run(it: Fixture) -> str:
        answered, turns = await asked(it, kind, body)
        expect(answered.status == 200, brief(answered))
        expect(len(turns) == 1, f"asked {len(turns)} times")
        wrong = check(turns[0].json)
        expect(not wrong, f"200, {wrong}")
        return "200"


def with_tools(sent: Any) -> str:
    return "" if sent.get("tools") else "the tools are gone"


def limited(sent: Any) -> str:
    found = sent.get("options", {}).get("num_predict", sent.get("max_tokens"))
    return "" if found == 100 else f"the limit is {found}"


def quick(sent: Any) -> str:
    return "" if sent.get("think") is False else f"think is {sent.get('think')}"


taken(1, "parallel_tool_calls: false, to Ollama", "ollama", chat(tools=TOOLS, parallel_tool_calls=False), with_tools)
taken(3, "keep_alive: 5m, to Ollama", "ollama", chat(keep_alive="5m"))
taken(4, "keep_alive: -1, to Ollama", "ollama", chat(keep_alive=-1))
taken(
    5,
    "chat_template_kwargs: {enable_thinking: false}, to Ollama",
    "ollama",
    chat(chat_template_kwargs={"enable_thinking": False}),
    quick,
)
taken(6, "max_tokens: 100.0, to Ollama", "ollama", chat(max_tokens=100.0), limited)
taken(7, "max_tokens: 100.0, to an OpenAI target", "openai", chat(max_tokens=100.0), limited)
taken(8, "max_tokens: 100.0, to Anthropic", "anthropic", chat(max_tokens=100.0), limited)
taken(9, "parallel_tool_calls: false without tools, to Ollama", "ollama", chat(parallel_tool_calls=False), held=True)
taken(
    10,
    "an assistant's message as official SDKs send it back, to Ollama",
    "ollama",
    {
        "model": "coder",
        "messages": [
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": "hello",
                "refusal": None,
                "annotations": [],
                "audio": None,
                "function_call": None,
                "tool_calls": None,
            },
            {"role": "user", "content": "and?"},
        ],
    },
    held=True,
)
taken(
    11,
    "labels and hints of today's clients, to Ollama",
    "ollama",
    chat(
        user="u", metadata={"a": "b"}, store=False, prompt_cache_key="k", reasoning_effort="low", verbosity="low", n=1
    ),
    held=True,
)


@case("A23.2", "tool_choice: required, to Ollama, whose model calls a tool")
async def required_tool(it: Fixture) -> str:
    here = await it.upstream(ollama("", calls=[{"function": {"name": "look", "arguments": {"at": "x"}}}]))
    router = await it.router(config(here, use=["local"], here_is="ollama"))
    answered = await router.ask(chat(tools=TOOLS, tool_choice="required"))
    expect(answered.status == 200, brief(answered))
    expect(here.turns[0].json.get("tools"), "the tools are gone")
    calls = answered.json["choices"][0]["message"].get("tool_calls")
    expect(calls and calls[0]["function"]["name"] == "look", f"calls {calls}")
    return "200 with the call"


def origin(number: int, value: str, *, declared: bool, held: bool = False) -> None:
    """Register the Origin of an editor's or a notebook's own pages."""

    @case(f"A23.{number}", f"Origin: {value}, {'declared' if declared else 'not declared'}", held=held)
    async def body(it: Fixture) -> str:
        here = await it.upstream(openai())
        new = {"defaults": {"allowed_origins": ["app://obsidian.md", "vscode-file://vscode-app"]}}
        router = await it.router(config(here, use=["local"]), new=new if declared else None)
        answered = await router.ask(chat(), headers={"origin": value})
        expect(answered.status == (200 if declared else 403), brief(answered))
        expect(bool(here.turns) is declared, "passed on")
        return str(answered.status)


origin(12, "app://obsidian.md", declared=True)
origin(13, "vscode-file://vscode-app", declared=True)
origin(14, "app://obsidian.md", declared=False, held=True)


@case("A23.15", "an origin that only resembles a declared one")
async def resembling_origin(it: Fixture) -> str:
    here = await it.upstream(openai())
    new = {"defaults": {"allowed_origins": ["app://obsidian.md"]}}
    router = await it.router(config(here, use=["local"]), new=new)
    wanted = {"app://obsidian.md": 200, "app://obsidian.md.evil": 403, "http://obsidian.md": 403, "null": 403}
    found = {value: (await router.ask(chat(), headers={"origin": value})).status for value in wanted}
    expect(found == wanted, f"{found}")
    return "200 for the declared one alone"


def target(number: int, title: str, line: str, wanted: int, held: bool = False) -> None:
    """Register a request target in another of HTTP's forms; PORT stands for the router's."""

    @case(f"A23.{number}", title, held=held)
    async def body(it: Fixture) -> str:
        here = await it.upstream(openai())
        router = await it.router(config(here, use=["local"]))
        path = line.replace("PORT", str(router.port))
        data = None if path.endswith(("/models", "/models/")) else chat()
        answered = await router.send(request(data, path=path, port=router.port))
        expect(answered.status == wanted, brief(answered))
        if wanted == 200 and data is None:
            expect([row["id"] for row in answered.json["data"]][:1] == ["coder"], brief(answered))
        expect(wanted == 200 or not here.turns, "passed on")
        return str(wanted)


target(16, "an absolute target", "http://127.0.0.1:PORT/v1/chat/completions", 200)
target(17, "an absolute target, GET", "http://127.0.0.1:PORT/v1/models", 200)
target(18, "/v1/models/", "/v1/models/", 200)
target(19, "/v1/chat/completions/", "/v1/chat/completions/", 200)


@case("A23.20", "an absolute target on another host", held=True)
async def foreign_target(it: Fixture) -> str:
    here = await it.upstream(openai())
    router = await it.router(config(here, use=["local"]))
    path = "http://evil.example/v1/chat/completions"
    answered = await router.send(request(chat(), path=path, port=router.port))
    # 421 where the target is believed, 400 where two names in one request are refused.
    expect(answered.status in (400, 421) and not here.turns, brief(answered))
    return str(answered.status)


@case("A23.21", "a byte-order mark before the body")
async def byte_order_mark(it: Fixture) -> str:
    answered, turns = await asked(it, "openai", b"\xef\xbb\xbf" + json.dumps(chat()).encode())
    expect(answered.status == 200, brief(answered))
    expect(turns[0].json["model"] == "small", "not rewritten")
    return "200"


@case("A23.22", "a byte-order mark before the body, to Ollama")
async def byte_order_mark_translated(it: Fixture) -> str:
    answered, _ = await asked(it, "ollama", b"\xef\xbb\xbf" + json.dumps(chat()).encode())
    expect(answered.status == 200, brief(answered))
    return "200"


@case("A23.23", "HTTP/1.0 with Connection: keep-alive", held=True)
async def http_1_0(it: Fixture) -> str:
    here = await it.upstream(openai())
    router = await it.router(config(here, use=["local"]))
    data = request(chat(stream=True), port=router.port, headers={"connection": "keep-alive"}, key=KEY)
    answered = await router.send(data.replace(b"HTTP/1.1", b"HTTP/1.0", 1))
    expect(answered.status == 200, brief(answered))
    expect("transfer-encoding" not in answered.headers, "chunks for HTTP/1.0")
    expect(answered.text == "hello", f"said {answered.text!r}")
    return "200, no chunks"


def told_what_is_wrong(number: int, title: str, status: int, words: str, **sent: Any) -> None:
    """Register a client that is set up wrongly, and is told how."""

    @case(f"A23.{number}", title)
    async def body(it: Fixture) -> str:
        here = await it.upstream(openai())
        router = await it.router(config(here, use=["local"]))
        answered = await router.ask(chat(), **sent)
        expect(answered.status == status and not here.turns, brief(answered))
        expect(words in answered.error["message"], f"does not say {words!r}: {answered.error['message']}")
        return f"{status}, says {words!r}"


told_what_is_wrong(
    24, "a base URL with a slash at its end", 404, "base URL ends in a slash", path="//v1/chat/completions"
)
told_what_is_wrong(25, "a key as Azure's SDK sends it", 401, "api-key found", key=None, headers={"api-key": KEY})


def cut_inside_a_character(number: int, kind: str) -> None:
    """Register a text that its client has cut in the middle of a character."""

    @case(f"A23.{number}", f"half a surrogate pair in a text, to {kind}")
    async def body(it: Fixture) -> str:
        answered, turns = await asked(it, kind, chat("cut \ud83d here"))
        expect(answered.status == 200, brief(answered))
        said = json.dumps(turns[0].json)
        expect(r"cut \ufffd here" in said, f"no \\ufffd: {said[:200]}")
        return r"200, \ufffd"


cut_inside_a_character(26, "openai")
cut_inside_a_character(27, "anthropic")
cut_inside_a_character(28, "ollama")
