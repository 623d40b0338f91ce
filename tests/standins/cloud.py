"""A cloud that can be had anywhere: OpenAI's and Anthropic's wire formats over TLS, with faults on demand.

It also speaks as local engines do: Ollama's native format, and OpenAI's as llama.cpp's server and vLLM have it.

As a program it prints one JSON line with its addresses and runs until it is told to stop or its lifetime ends:
    python -m standins.cloud --openai-port 0 --anthropic-port 0 --directory DIR
It uses the standard library only, so that it also runs inside the router's own image.

What it does is chosen by the model name (`standins.behaviour.BY_MODEL`), or for the next requests by
`Cloud.script` or `PUT /standin/script` ({"model": ..., "behaviours": [...]}). What it received is in
`Cloud.requests` or `GET /standin/requests`; `DELETE` forgets it.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import signal
import ssl
import tempfile
from collections import defaultdict, deque
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from standins import agent, anthropic_wire, llamacpp_wire, ollama_wire, openai_wire, vllm_wire
from standins.authority import make_authority
from standins.behaviour import BY_MODEL, Behaviour, Refusal, from_json
from standins.judge import Request, Wrong

DIALECTS: dict[str, ModuleType] = {
    "openai": openai_wire,
    "anthropic": anthropic_wire,
    "ollama": ollama_wire,
    "llamacpp": llamacpp_wire,
    "vllm": vllm_wire,
}
MAX_BODY = 64 * 1024 * 1024


class Cloud:
    """One stand-in: any number of ports, one memory of what it received."""

    def __init__(self, certificate: Path | None = None) -> None:
        self.requests: list[Request] = []
        self.ports: dict[str, int] = {}
        self._context: ssl.SSLContext | None = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate)
        self._scripts: dict[str | None, deque[Behaviour]] = defaultdict(deque)
        self._standing: dict[str, Behaviour] = {}
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, dialect: str, port: int = 0, host: str = "127.0.0.1") -> int:
        """Serve one dialect; gives the port."""
        server = await asyncio.start_server(
            lambda reader, writer: self._connected(dialect, reader, writer), host, port, ssl=self._context
        )
        self._servers.append(server)
        self.ports[dialect] = server.sockets[0].getsockname()[1]
        return self.ports[dialect]

    async def close(self) -> None:
        """Stop at once, also in the middle of answers."""
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def __aenter__(self) -> Cloud:
        for dialect in DIALECTS:
            await self.listen(dialect)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def base_url(self, dialect: str, host: str = "localhost") -> str:
        """What a client or the routing file calls the base URL."""
        scheme = "https" if self._context else "http"
        return f"{scheme}://{host}:{self.ports[dialect]}" + ("/v1" if dialect in ("openai", "llamacpp", "vllm") else "")

    def script(self, *behaviours: Behaviour, model: str | None = None) -> None:
        """What to do with the next requests, one behaviour each; then again what the model name says.

        `model` None: for whichever model they ask.
        """
        self._scripts[model].extend(behaviours)

    def reset(self) -> None:
        """Forget what was received and what was to be done next."""
        self.requests.clear()
        self._scripts.clear()
        self._standing.clear()

    def be(self, model: str, behaviour: Behaviour) -> None:
        """What to do with requests for a model from now on, however many there are."""
        self._standing[model] = behaviour

    def _behaviour(self, request: Request) -> Behaviour:
        model = str(request.body["model"])
        for name in (model, None):
            if self._scripts[name]:
                return self._scripts[name].popleft()
        return self._standing.get(model) or BY_MODEL.get(model, Behaviour())

    # -- HTTP --------------------------------------------------------------------------------------------------------

    async def _connected(self, dialect: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        # What a client or a test breaks off ends here, silently: it is what is being tested.
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            while await self._serve_one(dialect, reader, Answer(writer)):
                pass
        self._tasks.discard(task)
        writer.transport.abort() if writer.transport.is_closing() else writer.close()

    async def _serve_one(self, dialect: str, reader: asyncio.StreamReader, answer: Answer) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        method, path, version = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        assert length <= MAX_BODY
        raw = await reader.readexactly(length) if length else b""
        if path.startswith("/standin/"):
            stays = await self._control(method, path, raw, answer)
        elif method == "GET":
            stays = await answer.whole(200, _said(DIALECTS[dialect], path))
        elif dialect == "vllm" and path.endswith("/render"):
            stays = await answer.whole(200, vllm_wire.rendered(raw))
        else:
            stays = await self._answer(dialect, method, path, headers, raw, answer)
        # Whoever asks with HTTP/1.0 reads until the end.
        return stays and version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"

    async def _control(self, method: str, path: str, raw: bytes, answer: Answer) -> bool:
        if (method, path) == ("GET", "/standin/requests"):
            return await answer.whole(200, json.dumps([_shown(request) for request in self.requests]).encode())
        if (method, path) == ("DELETE", "/standin/requests"):
            self.requests.clear()
            return await answer.whole(200, b"{}")
        if (method, path) == ("PUT", "/standin/script"):
            asked = json.loads(raw)
            self.script(*map(from_json, asked["behaviours"]), model=asked.get("model"))
            return await answer.whole(200, b"{}")
        return await answer.whole(404, b'{"error":"no such control"}')

    async def _answer(
        self, dialect: str, method: str, path: str, headers: dict[str, str], raw: bytes, answer: Answer
    ) -> bool:
        wire = DIALECTS[dialect]
        try:
            body = json.loads(raw) if raw else {}
            request = Request(len(self.requests) + 1, dialect, method, path, headers, raw, body)
            self.requests.append(request)
            wire.judge(request)
        except (Wrong, ValueError) as error:
            wrong = error if isinstance(error, Wrong) else Wrong(400, "invalid", f"not JSON: {error}")
            return await answer.whole(wrong.status, wire.error(Refusal(wrong.status, wrong.type, str(wrong))))
        behaviour = self._behaviour(request)
        if behaviour.agent:
            behaviour = agent.turn(behaviour, wire.heard(request))
        await asyncio.sleep(behaviour.delay)
        if behaviour.refusal is not None:
            return await answer.whole(behaviour.refusal.status, wire.error(behaviour.refusal), behaviour.headers)
        if behaviour.junk is not None:
            return await answer.whole(200, behaviour.junk, {"content-type": "text/html"})
        if not body.get("stream", wire.STREAMS_BY_DEFAULT):
            if behaviour.cut_after is not None:
                return answer.abort()
            return await answer.whole(200, wire.whole(request, behaviour), behaviour.headers)
        return await _stream(wire, request, behaviour, answer)


def _said(wire: ModuleType, path: str) -> bytes:
    """What a server says of itself: most have nothing but a listing."""
    said: bytes = wire.get(path) if hasattr(wire, "get") else wire.models()
    return said


async def _stream(wire: ModuleType, request: Request, behaviour: Behaviour, answer: Answer) -> bool:
    await answer.begin({"content-type": wire.STREAM_TYPE, **behaviour.headers})
    for number, event in enumerate(wire.events(request, behaviour)):
        if number == behaviour.cut_after:
            if behaviour.cut == "reset":
                return answer.abort()
            if behaviour.cut == "error":
                await answer.piece(wire.error_event())
            break
        await answer.piece(event)
        if behaviour.pause:
            await asyncio.sleep(behaviour.pause)
    return await answer.end()


class Answer:
    """The writing side of one connection. Each method tells whether the connection stays."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def whole(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> bool:
        sent = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
        self._writer.write(_head(status, sent) + body)
        await self._writer.drain()
        return True

    async def begin(self, headers: dict[str, str]) -> None:
        sent = {"transfer-encoding": "chunked", **headers}
        self._writer.write(_head(200, sent))
        await self._writer.drain()

    async def piece(self, data: bytes) -> None:
        self._writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await self._writer.drain()

    async def end(self) -> bool:
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()
        return True

    def abort(self) -> bool:
        """End the connection without ending the message."""
        self._writer.transport.abort()
        return False


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Standin", "date: Sun, 22 Nov 2026 14:00:00 GMT", "x-request-id: req_standin"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items())]).encode() + b"\r\n\r\n"


def _shown(request: Request) -> dict[str, Any]:
    """A request for another process to read; the body also byte for byte."""
    kept = ("number", "dialect", "method", "path", "headers", "body")
    return {name: getattr(request, name) for name in kept} | {"raw": base64.b64encode(request.raw).decode()}


async def _run(options: argparse.Namespace) -> None:
    directory = Path(options.directory or tempfile.mkdtemp(prefix="standin-"))
    certificate, ca = options.certificate, None
    if certificate is None and not options.plain:
        ca = make_authority(directory, *options.name)
        certificate = directory / "server.pem"
    cloud = Cloud(None if options.plain else certificate)
    for dialect in DIALECTS:
        port = getattr(options, f"{dialect}_port")
        if port is not None:
            await cloud.listen(dialect, port, options.host)
    names = {dialect: cloud.base_url(dialect) for dialect in cloud.ports}
    print(json.dumps(names | ({"ca": str(ca)} if ca else {})), flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), options.lifetime)
    await cloud.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="A stand-in for OpenAI's and Anthropic's clouds.")
    for dialect in DIALECTS:
        parser.add_argument(f"--{dialect}-port", type=int, help="serve this dialect here; 0 takes any free port")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--certificate", type=Path, help="PEM with key and certificate; default: made on the spot")
    parser.add_argument("--directory", help="where made certificates go; the printed `ca` is to be trusted")
    parser.add_argument("--name", action="append", default=[], help="further name of the made certificate")
    parser.add_argument("--plain", action="store_true", help="no TLS")
    parser.add_argument("--lifetime", type=float, default=3600.0, help="seconds until it ends by itself")
    options = parser.parse_args()
    if all(getattr(options, f"{dialect}_port") is None for dialect in DIALECTS):
        parser.error("nothing to serve: give --openai-port, or that of another dialect")
    asyncio.run(_run(options))


if __name__ == "__main__":
    main()
