"""A router process of a checkout, with a configuration of the case's own, and what a case sees of it from outside.

The router that is tried is always a process of its own: what a case can see is what a client, an upstream, the
ledger, the log and the operating system show.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cases.registry import Case, Fails, expect
from standins.router import ROOT, Answered, Wire, configure, request
from standins.scripted import Behaviour, Upstream

# How long a process may take to start or to end, on a machine that is busy with other tests.
START_SECONDS = 20.0
# Nobody waits longer for an answer, unless a case says so: the time-outs of the configurations are far below.
ANSWER_SECONDS = 5.0
# What a case sees of a message.
SEEN_LETTERS = 130

_LISTENING = re.compile(r"listening on 127\.0\.0\.1:(\d+)")


@dataclass(frozen=True)
class Checkout:
    """A tree of the project's files."""

    name: str
    root: Path
    # The one that is compared with: a key of the routing file that it does not know is left out for it.
    old: bool = False

    def knows(self, key: str) -> bool:
        """Whether the routing file may hold this key. What is tried must know it; only of the old one it is asked."""
        schema = (self.root / "src/gridtie/config/schema.py").read_text()
        return not self.old or re.search(rf"^    {key}:", schema, re.MULTILINE) is not None


@contextmanager
def extracted(commit: str) -> Iterator[Checkout]:
    """A commit of this repository in a directory of its own, for as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="cases-base-") as directory:
        archive = subprocess.run(
            ["git", "archive", commit, "src", "config"], cwd=ROOT, check=True, stdout=subprocess.PIPE
        ).stdout
        subprocess.run(["tar", "x", "-C", directory], input=archive, check=True)
        yield Checkout(commit, Path(directory), old=True)


HERE = Checkout("here", ROOT)


class Router:
    """A router process that runs."""

    def __init__(self, directory: Path, child: asyncio.subprocess.Process, port: int) -> None:
        self.directory = directory
        self.child = child
        self.port = port
        self._wires: list[Wire] = []

    # -- what a client sees ------------------------------------------------------------------------------------------

    async def connect(self) -> Wire:
        """A connection, closed with the router."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        wire = Wire(reader, writer)
        self._wires.append(wire)
        return wire

    async def ask(self, body: Any = None, *, within: float = ANSWER_SECONDS, **options: Any) -> Answered:
        """One request over a connection of its own. Fails where no whole answer comes in time."""
        return await self.send(request(body, port=self.port, **options), within=within)

    async def send(self, data: bytes, *, within: float = ANSWER_SECONDS) -> Answered:
        """The answer to the bytes of one request."""
        wire = await self.connect()
        try:
            async with asyncio.timeout(within):
                await wire.send(data)
                return await wire.answered()
        except TimeoutError:
            raise Fails(f"no answer in {within:g} s") from None
        except (ConnectionError, asyncio.IncompleteReadError):
            raise Fails("the connection ended without an answer") from None
        finally:
            wire.close()

    # -- what the ledger says ----------------------------------------------------------------------------------------

    async def entry(self, answered: Answered) -> Any:
        """The ledger's row of a request that was answered."""
        expect("x-gridtie-request-id" in answered.headers, f"{brief(answered)}, and no request id")
        path = f"/gridtie/requests/{answered.headers['x-gridtie-request-id']}"
        for _ in range(40):
            found = await self.ask(path=path)
            if found.status == 200:
                return found.json
            await asyncio.sleep(0.05)
        raise Fails(f"not in the ledger: {answered.headers['x-gridtie-request-id']}")

    async def totals(self) -> Any:
        """The totals of the report on the last day."""
        return (await self.ask(path="/gridtie/usage")).json["totals"]

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """What the ledger's file says, read beside the router."""
        file = self.directory / "state" / "ledger" / "ledger.sqlite"
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            return list(database.execute(statement))

    # -- what the machine shows --------------------------------------------------------------------------------------

    def log(self) -> str:
        """All that it wrote to standard output and standard error."""
        return "".join((self.directory / name).read_text(errors="replace") for name in ("stdout", "stderr"))

    def kept(self) -> bytes:
        """Every byte that it has written: logs, journal, ledger."""
        files = [self.directory / "stdout", self.directory / "stderr"]
        files += [path for path in (self.directory / "state").rglob("*") if path.is_file()]
        return b"".join(path.read_bytes() for path in files)

    def peak(self) -> int:
        """The most memory that it ever had resident, in MiB."""
        return self._status("VmHWM")

    def resident(self) -> int:
        """Resident memory now, in MiB."""
        return self._status("VmRSS")

    def _status(self, name: str) -> int:
        try:
            status = Path(f"/proc/{self.child.pid}/status").read_text()
            found = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
        except OSError:
            found = None
        if found is None:
            raise Fails("the router is gone")
        return int(found[1]) // 1024

    async def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        text = (await self.ask(path="/metrics")).body.decode()
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))

    # -- what its administrator does ---------------------------------------------------------------------------------

    @property
    def config(self) -> Path:
        """The directory of its configuration."""
        return self.directory / "config"

    async def reload(self) -> None:
        """SIGHUP; waits until the files as they are now were read."""
        path = "/gridtie/config"
        before = (await self.ask(path=path)).json
        self.child.send_signal(signal.SIGHUP)
        for _ in range(100):
            await asyncio.sleep(0.05)
            now = (await self.ask(path=path)).json
            if now != before:
                return
        raise Fails("the changed files were not read within 5 s")

    async def kill(self) -> None:
        """SIGKILL."""
        self.child.kill()
        await self.child.wait()

    async def close(self) -> None:
        """End it, whatever it does."""
        for wire in self._wires:
            wire.close()
        if self.child.returncode is None:
            await self.kill()


@dataclass
class Ended:
    """A router process that did not come to serve anybody."""

    status: int
    told: str


@dataclass
class Fixture:
    """What a case gets: upstreams that do as they are told, and routers of the checkout that is tried."""

    checkout: Checkout
    directory: Path
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _count: int = 0

    async def upstream(self, *behaviours: Behaviour) -> Upstream:
        """An upstream that plays these in order, and then the last one again and again."""
        return await self.stack.enter_async_context(Upstream(*behaviours))

    async def router(
        self,
        routing: Mapping[str, Any] | str | bytes,
        *,
        new: Mapping[str, Mapping[str, Any]] | None = None,
        files: Mapping[str, str] | None = None,
        directory: Path | None = None,
        **environment: str,
    ) -> Router:
        """A router that listens. Fails where it does not.

        `new` are keys of the routing file, by section, that the old checkout does without; `files` is what else the
        configuration holds, by name; `directory` is that of a router which was there before.
        """
        started = await self.start(routing, new=new, files=files, directory=directory, **environment)
        if isinstance(started, Ended):
            told = started.told.strip()
            # Of a traceback the last line says what it was.
            raise Fails(f"the router does not start: {told.splitlines()[-1] if 'Traceback' in told else told}")
        return started

    async def start(
        self,
        routing: Mapping[str, Any] | str | bytes,
        *,
        new: Mapping[str, Mapping[str, Any]] | None = None,
        files: Mapping[str, str] | None = None,
        directory: Path | None = None,
        **environment: str,
    ) -> Router | Ended:
        """As `router`; but what it said where it ended instead."""
        if directory is None:
            self._count += 1
            directory = self.directory / f"router{self._count}"
        self._configure(directory / "config", routing, new or {}, files or {})
        with (directory / "stdout").open("ab") as out, (directory / "stderr").open("wb") as errors:
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "gridtie.gateway.serve"),
                env=self._environment(directory, environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
            )
        router = Router(directory, child, 0)
        self.stack.push_async_callback(router.close)
        return await _listening(router)

    def _configure(
        self, config: Path, routing: Mapping[str, Any] | str | bytes, new: Mapping[str, Any], files: Mapping[str, str]
    ) -> None:
        if isinstance(routing, Mapping):
            merged = json.loads(json.dumps(routing))
            for section, keys in new.items():
                known = {key: value for key, value in keys.items() if self.checkout.knows(key)}
                if known:
                    merged[section] = {**merged.get(section, {}), **known}
            routing = yaml.safe_dump(merged, sort_keys=False)
        configure(config, "")
        (config / "llm_routing.yaml").write_bytes(routing if isinstance(routing, bytes) else routing.encode())
        shutil.copy(self.checkout.root / "config" / "prices.json", config / "prices.json")
        for name, text in files.items():
            (config / name).parent.mkdir(exist_ok=True)
            (config / name).write_text(text)

    def _environment(self, directory: Path, changed: Mapping[str, str]) -> dict[str, str]:
        """This process's own environment without what would lead the router astray."""
        inherited = {name: value for name, value in os.environ.items() if not _TELLS_THE_ROUTER.search(name)}
        return {
            **inherited,
            "PYTHONPATH": str(self.checkout.root / "src"),
            "GRIDTIE_CONFIG_DIR": str(directory / "config"),
            "GRIDTIE_STATE_DIR": str(directory / "state"),
            "GRIDTIE_LISTEN": "127.0.0.1:0",
            **changed,
        }


_TELLS_THE_ROUTER = re.compile(r"^(GRIDTIE_.*|PYTHON.*|.*_PROXY)$", re.IGNORECASE)


async def _listening(router: Router) -> Router | Ended:
    """Wait until it listens, by what it says, or has ended."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        told = (router.directory / "stderr").read_text(errors="replace")
        if router.child.returncode is not None:
            told += (router.directory / "stdout").read_text(errors="replace")
            return Ended(router.child.returncode, told.replace(f"{router.config}/", ""))
        if found := _LISTENING.search(told):
            router.port = int(found[1])
            return router
        await asyncio.sleep(0.02)
    raise Fails(f"neither listens nor ends within {START_SECONDS:g} s")


def brief(answered: Answered) -> str:
    """An answer in a few words."""
    text = answered.body.decode(errors="replace")
    with contextlib.suppress(ValueError, KeyError, TypeError):
        text = f"{answered.error['code']}: {answered.error['message']}"
    with contextlib.suppress(ValueError, KeyError, TypeError, IndexError):
        text = repr(answered.json["choices"][0]["message"]["content"])
    return shortened(f"{answered.status} {text}")


def shortened(text: str) -> str:
    """The first words of a text, in one line."""
    line = " ".join(text.split())
    return line if len(line) <= SEEN_LETTERS else f"{line[: SEEN_LETTERS - 3]}..."


@dataclass(frozen=True)
class Result:
    """How a case went."""

    case: Case
    holds: bool
    seen: str
    seconds: float

    def __str__(self) -> str:
        return f"{'holds' if self.holds else 'FAILS'}: {self.seen}"


async def run(case: Case, checkout: Checkout) -> Result:
    """Try one case; whatever it raises is told as a failure."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"case-{case.id}-") as directory:
        try:
            async with asyncio.timeout(case.limit), _fixture(checkout, Path(directory)) as fixture:
                seen, holds = await case.body(fixture), True
        except Fails as failure:
            seen, holds = shortened(str(failure)), False
        except TimeoutError:
            seen, holds = f"not over within {case.limit:g} s", False
        except Exception as error:  # a case that meets what it did not expect has failed, and the others go on
            seen, holds = f"{type(error).__name__}: {shortened(str(error))}", False
    return Result(case, holds, seen, time.monotonic() - began)


@asynccontextmanager
async def _fixture(checkout: Checkout, directory: Path) -> AsyncIterator[Fixture]:
    fixture = Fixture(checkout, directory)
    async with fixture.stack:
        yield fixture
