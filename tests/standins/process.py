"""The router as a process of its own, started as a station starts it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from standins.router import KEY, ROOT, Wire, configure

# How long a process may take for what it does in a second or two where it has a processor to itself. Other tests,
# builds and engines share the machine: a tenth of a processor must do.
PATIENCE_S = 45.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """A router of its own, started as a station starts it."""

    def __init__(
        self, directory: Path, routing_file: str, *, prepare: Callable[[], None] | None = None, **environment: str
    ) -> None:
        """`prepare` is called in the child before it becomes the router."""
        self.directory = directory
        self.config = configure(directory / "config", routing_file)
        self.port = free_port()
        self._prepare = prepare
        self._out, self._errors = (directory / f"router-{self.port}.{name}" for name in ("out", "err"))
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "src"),
            "GRIDTIE_CONFIG_DIR": str(self.config),
            "GRIDTIE_STATE_DIR": str(directory / "state"),
            "GRIDTIE_LISTEN": f"127.0.0.1:{self.port}",
            **environment,
        }
        self.child: asyncio.subprocess.Process
        self._wires: list[Wire] = []

    async def start(self) -> None:
        # Into files: a pipe that nobody reads would fill up, and hold up the router with it.
        with self._out.open("wb") as out, self._errors.open("wb") as errors:
            self.child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "gridtie.gateway.serve"),
                env=self.environment,
                stdout=out,
                stderr=errors,
                preexec_fn=self._prepare,
            )

    async def listening(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self.child.returncode is None:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.transport.abort()
                    return
        raise AssertionError((await self.ended())[2])

    async def ended(self) -> tuple[int, str, str]:
        """Exit status, standard output, standard error."""
        async with asyncio.timeout(PATIENCE_S):
            status = await self.child.wait()
        return status, self._out.read_text(), self.log

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self._errors.read_text()

    async def stop(self) -> tuple[int, str, str]:
        self.child.send_signal(signal.SIGTERM)
        return await self.ended()

    async def connect(self) -> Wire:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", self.port))
        self._wires.append(wire)
        return wire

    def disconnect(self) -> None:
        for wire in self._wires:
            wire.close()

    async def get(self, path: str, key: str = KEY) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False) as client:
            return await client.get(
                f"http://127.0.0.1:{self.port}{path}",
                headers={"authorization": f"Bearer {key}"},
                timeout=PATIENCE_S,
            )


@asynccontextmanager
async def process(
    directory: Path, routing_file: str, *, prepare: Callable[[], None] | None = None, **environment: str
) -> AsyncIterator[Process]:
    """A router that listens; killed in the end if it still runs."""
    router = Process(directory, routing_file, prepare=prepare, **environment)
    await router.start()
    try:
        await router.listening()
        yield router
    finally:
        router.disconnect()
        if router.child.returncode is None:
            router.child.kill()
            await router.ended()
