"""Instructions of the router a request and a chunk, counted: equal to a thousandth each time, if nothing else runs.

`python benchmarks/instructions.py [PART...] [--source DIRECTORY]`

Counted by callgrind (`apt-get install valgrind`), in user mode:

- path: an unstreamed request, from the client's bytes to upstream's and back, journal included; without sockets and
  loop.
- chunk: one more chunk of a stream that is committed, from upstream's bytes to the client's.
- asked: a chat of three messages and a tool, translated for Ollama and for Anthropic.
- ollama, anthropic: one more chunk of an answer of theirs, translated for a client of OpenAI's chat.
- messages, responses, api-chat, generate: one more chunk of an OpenAI-compatible answer for a client of that surface;
  completions, of Ollama's. With -asked: a request of it, read and written for that target; embeddings-asked the same.
- drain: a row's way from memory into SQLite, which another thread does later.

The kernel's part, about a third of a request, is not in it. `--source` counts another checkout, to compare with; 1.0.0
has path, chunk, asked, ollama, anthropic and drain.
Instructions of different Pythons and processors cannot be compared.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from load import request
from stand import KEY, ROOT, environment
from upstream import CHUNK, EVENT, STREAM_HEAD, WHOLE

# Two counts of rounds: their difference leaves start and end of the process out.
ROUNDS = {
    "path": (300, 1300),
    "chunk": (1000, 11000),
    "asked": (100, 600),
    "ollama": (1000, 11000),
    "anthropic": (1000, 11000),
    "drain": (1000, 5000),
}
CHAT = {
    "model": "coder", "temperature": 0.2, "max_tokens": 100,
    "messages": [
        {"role": "system", "content": "You write code."},
        {"role": "user", "content": "Write a function. " * 20},
        {"role": "assistant", "content": "Which one?"},
    ],
    "tools": [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}],
}  # fmt: skip
_SAID = {"messages": CHAT["messages"]}
_PROMPT = {"prompt": "Write a function. " * 20}
_TOOL = {"name": "add", "description": "adds"}
# By surface: its dialect, whose target is asked, and a request of it.
SURFACES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "messages": (
        "anthropic", "openai",
        {"max_tokens": 100, "system": "You write code.", "messages": [{"role": "user", "content": _PROMPT["prompt"]}],
         "tools": [_TOOL | {"input_schema": {"type": "object"}}]},
    ),
    "responses": (
        "openai-responses", "openai",
        {"instructions": "You write code.", "input": [{"role": "user", "content": _PROMPT["prompt"]}],
         "tools": [_TOOL | {"type": "function", "parameters": {"type": "object"}}]},
    ),
    "api-chat": ("ollama", "openai", {**_SAID, "tools": CHAT["tools"], "options": {"temperature": 0.2}}),
    "generate": ("ollama-generate", "openai", _PROMPT),
    "completions": ("openai-completions", "ollama", _PROMPT | {"max_tokens": 100}),
    "embeddings": ("openai-embeddings", "ollama", {"input": _PROMPT["prompt"]}),
}  # fmt: skip
ROUNDS |= {f"{surface}-asked": (100, 600) for surface in SURFACES}
ROUNDS |= {surface: (1000, 11000) for surface in SURFACES if surface != "embeddings"}
# Of each answer its start, and the chunk that is repeated.
ANSWERS = {
    "ollama": (
        b"",
        b'{"model":"m","created_at":"2026-11-29T10:00:00Z",'
        b'"message":{"role":"assistant","content":" token"},"done":false}\n',
    ),
    "anthropic": (
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","model":"m"}}\n\n',
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
        b'"text":" token"}}\n\n',
    ),
    "openai": (b"", EVENT),
    "generate": (
        b"", b'{"model":"m","created_at":"2026-11-29T10:00:00Z","response":" token","done":false}\n',
    ),
}  # fmt: skip


class Wire:
    """A transport that keeps what was written last."""

    written = b""

    def write(self, data: bytes) -> None:
        self.written = data

    def is_closing(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int, low: int = 0) -> None:
        pass


async def router_without_sockets(scratch: Path, stream: bool) -> tuple[Any, Any, Any, bytes]:
    """A router that was asked once: the connection of its client, that to upstream, what was written, the request."""
    from gridtie.gateway.serve import Options, Router
    from gridtie.ledger import ledger
    from gridtie.upstream.connection import Connection

    try:
        from gridtie.gateway.client_connection import ClientConnection
        from gridtie.upstream.connection_pool import OriginPool
    except ImportError:  # a checkout of 1.0.0, to compare with
        from gridtie.gateway.protocol import Front as ClientConnection  # type: ignore[import-not-found,no-redef]
        from gridtie.upstream.pool import Bucket as OriginPool  # type: ignore[import-not-found,no-redef]

    ledger._DRAIN_SECONDS = 3600.0  # the other thread is counted by itself
    opened: list[Connection] = []

    async def open_wire(pool: Any, seconds: float) -> Connection:
        wire: Any = Wire()
        connection = Connection(pool)
        connection.connection_made(wire)
        opened.append(connection)
        return connection

    # A method is replaced, for this process alone: no socket shall be opened.
    OriginPool.open = open_wire  # type: ignore[assignment,method-assign]
    router = Router(Options.read(environment(scratch, 9, 0)), {})
    await router.start()
    router.sweeper.stop()
    state: Any = router.state if hasattr(router, "state") else router.world  # type: ignore[attr-defined]
    for target in router.settings.current.targets.by_id:
        state.set_ready(target, True)
        state.set_loaded(target, True)
    client: Any = Wire()
    connection = ClientConnection(router.app, asyncio.get_running_loop())
    connection.connection_made(client)
    asked = request(router.port, KEY, stream)
    connection.data_received(asked)
    await asyncio.sleep(0.01)
    return connection, opened[0], client, asked


async def path(scratch: Path, rounds: int) -> None:
    """So many requests through a router whose connections are no sockets."""
    connection, upstream, client, asked = await router_without_sockets(scratch, stream=False)
    upstream.data_received(WHOLE)
    for _ in range(rounds):
        connection.data_received(asked)
        upstream.data_received(WHOLE)
    if not client.written.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"not answered: {client.written[:600]!r}")


async def chunk(scratch: Path, rounds: int) -> None:
    """So many chunks of one stream."""
    _, upstream, client, _ = await router_without_sockets(scratch, stream=True)
    upstream.data_received(STREAM_HEAD)
    for _ in range(rounds):
        upstream.data_received(CHUNK)
    if b" token" not in client.written:
        raise SystemExit(f"not passed on: {client.written[:600]!r}")


def drain(scratch: Path, rounds: int) -> None:
    """So many rows into SQLite, in batches as under load."""
    from gridtie.ledger.entry import Entry, Try
    from gridtie.ledger.store import SqliteStore

    tried = (Try(target="here/m", locality="local", outcome="ok", duration=0.00123),)
    rows = [
        Entry(
            id=f"0123456789ab-{number:06x}", time=1795877938.123 + number / 1000, key="bench", environment="dev",
            surface="openai", asked="coder", status=200, rule="all", target="here/m", locality="local", served="m",
            tries=tried, input_tokens=200, output_tokens=150, duration=0.00125, cost_usd=0.0,
            baseline="openai/gpt-5.4-mini", baseline_usd=0.00105, price_date="2026-11-22",
        )
        for number in range(rounds)
    ]  # fmt: skip
    store = SqliteStore(scratch / "ledger.sqlite")
    for start in range(0, rounds, 500):
        store.save(rows[start : start + 500])


def asked(rounds: int) -> None:
    """So many requests, translated for both."""
    from gridtie.dialects.codecs import codec
    from gridtie.dialects.openai_chat.facts import read
    from gridtie.dialects.types import RequestOptions

    body = json.dumps(CHAT).encode()
    options = RequestOptions(stream=True)
    for _ in range(rounds):
        facts = read(body)
        for target in ("ollama", "anthropic"):
            codec("openai", target).request(facts, "m", options)  # type: ignore[arg-type]


def asked_by(surface: str, rounds: int) -> None:
    """So many requests of a surface, for its target."""
    from gridtie.dialects.anthropic.facts import read as messages
    from gridtie.dialects.codecs import codec
    from gridtie.dialects.embeddings.facts import read_openai as embeddings
    from gridtie.dialects.ollama.facts import read_chat, read_generate
    from gridtie.dialects.openai_completions.facts import read as completions
    from gridtie.dialects.openai_responses.facts import read as responses
    from gridtie.dialects.types import RequestOptions

    readers: dict[str, Any] = {
        "messages": messages, "responses": responses, "api-chat": read_chat, "generate": read_generate,
        "completions": completions, "embeddings": embeddings,
    }  # fmt: skip
    client, target, fields = SURFACES[surface]
    read, translation, stream = readers[surface], codec(client, target), surface != "embeddings"  # type: ignore[arg-type]
    body = json.dumps({"model": "coder", **fields, **({"stream": True} if stream else {})}).encode()
    options = RequestOptions(stream=stream)
    for _ in range(rounds):
        translation.request(read(body), "m", options)


def translated(client: str, target: str, answer: str, rounds: int) -> None:
    """So many chunks of a translated answer."""
    from gridtie.dialects.codecs import codec
    from gridtie.dialects.types import AnswerOptions

    start, chunk = ANSWERS[answer]
    decoder = codec(client, target).stream(AnswerOptions(1))  # type: ignore[arg-type]
    decoder.feed(start + chunk)
    for _ in range(rounds):
        decoder.feed(chunk)


def work(part: str, rounds: int) -> None:
    """What is counted."""
    # As good as off in the router, and what it costs depends on all else in memory.
    gc.disable()
    with tempfile.TemporaryDirectory(prefix="gridtie-count-") as scratch:
        if part == "drain":
            drain(Path(scratch), rounds)
            return
        surface, of_surface, _ = part.partition("-asked")
        if part == "asked":
            asked(rounds)
        elif of_surface:
            asked_by(surface, rounds)
        elif surface in SURFACES:
            client, target, _ = SURFACES[surface]
            translated(client, target, "generate" if surface == "completions" else target, rounds)
        elif part in ANSWERS:
            translated("openai", part, part, rounds)
        if part not in ("path", "chunk"):
            return
        asyncio.run((path if part == "path" else chunk)(Path(scratch), rounds))
    os._exit(0)  # to free the rows that were not drained would be counted


def counted(part: str, rounds: int, source: Path) -> int:
    """Instructions of a process that does it."""
    with tempfile.TemporaryDirectory(prefix="gridtie-count-") as scratch:
        counting = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={scratch}/out"]
        done = subprocess.run(
            [*counting, sys.executable, __file__, "--work", part, str(rounds)],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(source / "src"), "PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
    found = re.search(r"refs:\s+([\d,]+)", done.stderr)
    if done.returncode or found is None:
        raise SystemExit(f"{part} could not be counted:\n{done.stdout}{done.stderr}")
    return int(found[1].replace(",", ""))


def main() -> None:
    """Count, and print a line for each part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"all of them, or: {', '.join(ROUNDS)}")
    parser.add_argument("--source", type=Path, default=ROOT, help="count this checkout instead")
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work[0], int(options.work[1]))
        return
    if shutil.which("valgrind") is None:
        raise SystemExit("valgrind is not here: apt-get install valgrind")
    if unknown := [part for part in options.parts if part not in ROUNDS]:
        parser.error(f"no part is called {unknown[0]}")
    for part in options.parts or ROUNDS:
        few, many = ROUNDS[part]
        each = (counted(part, many, options.source) - counted(part, few, options.source)) / (many - few)
        unit = "request" if part in ("path", "drain") or part.endswith("asked") else "chunk"
        print(f"{part:17} {each:9,.0f} instructions a {unit}", flush=True)


if __name__ == "__main__":
    main()
