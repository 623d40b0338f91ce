"""The real router in the test's own loop, with a configuration of the test's own, and plain ways to talk to it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import uvloop

from gridtie.gateway.serve import Options, Router

ROOT = Path(__file__).parents[2]
KEY = "gt-" + "a" * 43
OTHER_KEY = "gt-" + "b" * 43

T = TypeVar("T")


def run(work: Callable[[], Awaitable[T]], seconds: float = 30.0) -> T:
    """Run a test's coroutine on uvloop, as the router runs."""

    async def bounded() -> T:
        async with asyncio.timeout(seconds):
            found = await work()
            await asyncio.sleep(0)  # connections that were just closed get to notice
            return found

    return uvloop.run(bounded())


def configure(directory: Path, routing: str) -> Path:
    """Write a configuration directory with two keys: `station` (admin, everywhere) and `dev` (only there)."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "llm_routing.yaml").write_text(routing)
    rows = [
        ("station", KEY, ["dev", "test", "ci", "production"], True),
        ("dev", OTHER_KEY, ["dev"], False),
    ]
    keys = [
        {"name": name, "sha256": hashlib.sha256(key.encode()).hexdigest(), "environments": where, "admin": admin}
        for name, key, where, admin in rows
    ]
    (directory / "keys.json").write_text(json.dumps({"schema": 1, "keys": keys}))
    shutil.copy(ROOT / "config" / "prices.json", directory / "prices.json")
    return directory


def routing(
    local: str = "",
    cloud: str = "",
    *,
    use: str = "[local, cloud]",
    timeouts: str = "{}",
    limits: str = "{}",
    rule: str = "",
    provider: str = "",
) -> str:
    """A routing file with one alias, `coder`, for up to one local and one cloud upstream."""
    lines = ["version: 1", "providers:"]
    if local:
        lines.append(f"  here: {{type: openai, base_url: '{local}', locality: local{provider}}}")
    if cloud:
        lines.append(f"  openai: {{type: openai, base_url: '{cloud}'}}")
    lines += ["models:", "  coder:", f"    local: {'here/small' if local else 'null'}"]
    if cloud:
        lines.append("    cloud: {provider: openai, model: gpt-5.4-mini}")
    lines += ["rules:", f"  - {{name: all, use: {use}{rule}}}", f"timeouts: {timeouts}", f"limits: {limits}"]
    return "\n".join(lines) + "\n"


class Answered:
    """One HTTP answer as it came."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes, whole: bool) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        # False: the connection ended before the message did.
        self.whole = whole

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        return self.json["error"]

    @property
    def events(self) -> list[str]:
        """The data of each event of a stream."""
        return [part[6:] for part in self.body.decode().split("\n\n") if part.startswith("data: ")]

    @property
    def text(self) -> str:
        """What the events of a stream say."""
        choices = [json.loads(data).get("choices") for data in self.events if data.startswith('{"id"')]
        return "".join(each[0]["delta"].get("content", "") for each in choices if each)


class Wire:
    """One connection to the router."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the next answer."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = head[:-4].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return int(first.split(" ")[1]), headers

    async def answered(self, *, head_only: bool = False) -> Answered:
        """The next answer, whole."""
        status, headers = await self.head()
        if head_only or status in (100, 204):
            return Answered(status, headers, b"", True)
        if headers.get("transfer-encoding") == "chunked":
            body, whole = await self._chunks()
        elif "content-length" in headers:
            body, whole = await self.reader.readexactly(int(headers["content-length"])), True
        else:
            body, whole = await self.reader.read(), True
        return Answered(status, headers, body, whole)

    async def _chunks(self) -> tuple[bytes, bool]:
        pieces = []
        try:
            while True:
                size = int(await self.reader.readuntil(b"\r\n"), 16)
                data = await self.reader.readexactly(size + 2)
                if not size:
                    return b"".join(pieces), True
                pieces.append(data[:-2])
        except (asyncio.IncompleteReadError, ConnectionError):
            return b"".join(pieces), False

    async def ended(self) -> bool:
        """Whether the router has closed this connection; waits a little for it."""
        try:
            async with asyncio.timeout(3):
                return await self.reader.read() == b""
        except (TimeoutError, ConnectionError) as error:
            return isinstance(error, ConnectionError)

    def close(self) -> None:
        self.writer.transport.abort()


def request(
    body: Any = None,
    *,
    path: str = "/v1/chat/completions",
    method: str | None = None,
    headers: Mapping[str, str] | None = None,
    key: str | None = KEY,
    port: int = 0,
) -> bytes:
    """The bytes of a request."""
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"host": f"127.0.0.1:{port}", **({"authorization": f"Bearer {key}"} if key else {}), **(headers or {})}
    if body is not None:
        lines.setdefault("content-length", str(len(data)))
    verb = method or ("GET" if body is None else "POST")
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{verb} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + data


def chat(text: str = "hi", **fields: Any) -> dict[str, Any]:
    """The body of a chat request."""
    return {"model": "coder", "messages": [{"role": "user", "content": text}], **fields}


class Station:
    """A router that runs: `async with Station(directory, routing) as router`."""

    def __init__(
        self,
        directory: Path,
        routing: str,
        *,
        drain_seconds: float = 5.0,
        certificate: Path | None = None,
        traces: str = "",
    ) -> None:
        """`certificate`, a PEM file with its key, makes it listen for TLS, too. `traces`: a collector's base URL."""
        self.config = configure(directory / "config", routing)
        if certificate is not None:
            (self.config / "tls").mkdir(exist_ok=True)
            shutil.copy(certificate, self.config / "tls" / "server.pem")
        self._options = Options(
            config_dir=self.config,
            state_dir=directory / "state",
            host="127.0.0.1",
            port=0,
            access_log=False,
            drain_seconds=drain_seconds,
            tls=("127.0.0.1", 0) if certificate is not None else None,
            traces=traces,
        )
        self.router: Router
        self._wires: list[Wire] = []

    @property
    def port(self) -> int:
        return self.router.port

    async def __aenter__(self) -> Station:
        self.router = Router(self._options, {})
        await self.router.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for wire in self._wires:
            wire.close()
        await self.router.stop()

    async def connect(self, **options: Any) -> Wire:
        port = self.router.tls_port if "ssl" in options else self.port
        wire = Wire(*await asyncio.open_connection("127.0.0.1", port, **options))
        self._wires.append(wire)
        return wire

    async def ask(self, body: Any = None, **options: Any) -> Answered:
        """One request over a connection of its own."""
        wire = await self.connect()
        try:
            await wire.send(request(body, port=self.port, **options))
            return await wire.answered(head_only=options.get("method") == "HEAD")
        finally:
            wire.close()

    async def entry(self, answered: Answered) -> Any:
        """The ledger's row of a request that was answered."""
        found = await self.ask(path=f"/gridtie/requests/{answered.headers['x-gridtie-request-id']}")
        assert found.status == 200, found.body
        return found.json

    async def rows(self, count: int) -> list[Any]:
        """All rows of the ledger, once there are so many."""
        store = self.router.ledger
        async with asyncio.timeout(5):
            while True:
                await asyncio.to_thread(store.flush)
                rows = await asyncio.to_thread(store._store.rows, "SELECT * FROM requests ORDER BY time", ())
                if len(rows) >= count:
                    return [dict(row) for row in rows]
                await asyncio.sleep(0.02)

    @property
    def in_flight(self) -> int:
        """Slots that are taken, over all targets."""
        return sum(state.in_flight for state in self.router.state.snapshot(0.0).states.values())

    async def settled(self) -> bool:
        """Wait until no slot is taken."""
        async with asyncio.timeout(5):
            while self.in_flight:
                await asyncio.sleep(0.01)
        return True
