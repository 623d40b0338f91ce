"""The router process: puts the parts together, listens, and goes down without dropping anybody.

`python -m gridtie.gateway.serve`, set up by the environment:

GRIDTIE_CONFIG_DIR     /etc/gridtie: llm_routing.yaml, station.json, keys.json, prices.json, secrets/
GRIDTIE_STATE_DIR      /var/lib/gridtie: the ledger
GRIDTIE_DATABASE_FILE  a file with the URL of a PostgreSQL database that several routers share; empty: there is none
GRIDTIE_LISTEN         127.0.0.1:8484, without TLS: for this machine alone
GRIDTIE_TLS_LISTEN     such as 0.0.0.0:8443, with TLS by tls/server.pem in the configuration; empty: nowhere
GRIDTIE_ACCESS_LOG     off: no line per request on standard output
GRIDTIE_DRAIN_SECONDS  25: how long requests in flight may go on after SIGTERM
GRIDTIE_TRACES_ENDPOINT  such as http://collector:4318, an OpenTelemetry collector (OTLP/HTTP); empty: no traces

Exit status: 0 after SIGTERM or SIGINT, 2 where the configuration is wrong, 3 where it cannot run.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import re
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from time import time
from typing import TYPE_CHECKING

import msgspec
import uvloop

from gridtie.config import address
from gridtie.config.problems import ConfigError
from gridtie.config.schema import Budget
from gridtie.config.station import Station
from gridtie.gateway.admin import Admin
from gridtie.gateway.app import App
from gridtie.gateway.audited import Audited
from gridtie.gateway.certificate import DIRECTORY, FILE, HANDSHAKE_SECONDS, SHUTDOWN_SECONDS, Certificate
from gridtie.gateway.client_connection import ClientConnection
from gridtie.gateway.dashboard import Dashboard
from gridtie.gateway.dispatch import Dispatcher
from gridtie.gateway.gauges import of_budgets, of_targets
from gridtie.gateway.kept_answers import KeptAnswers
from gridtie.gateway.log import AccessLog, JsonFormatter
from gridtie.gateway.machine_readings import FILE as READINGS
from gridtie.gateway.machine_readings import MachineReadings
from gridtie.gateway.metering import Metering
from gridtie.gateway.settings import Loaded, Settings
from gridtie.gateway.share import Share
from gridtie.gateway.slots import Slots
from gridtie.gateway.surfaces import SURFACES
from gridtie.gateway.telemetry import Reading, Telemetry
from gridtie.host.audit import of_router
from gridtie.ledger.ledger import Ledger, LedgerError
from gridtie.ledger.store import SqliteStore, StoreError
from gridtie.routing.health import Health
from gridtie.routing.held_bytes import HeldBytes
from gridtie.routing.plan import Refusal
from gridtie.routing.runner import Runner
from gridtie.routing.state import State
from gridtie.upstream.connection_pool import ConnectionPool
from gridtie.upstream.origin import ProxySettings
from gridtie.upstream.sweeper import Sweeper

if TYPE_CHECKING:
    from gridtie.gateway.replica import Replica
    from gridtie.gateway.traces.tracing import Tracing

log = logging.getLogger("gridtie.router")

EXIT_CONFIG = 2
EXIT_CANNOT_RUN = 3

_BACKLOG = 1024

# Garbage is looked for after so many allocations more than releases. The default of 700 costs a few per cent: nearly
# all objects of a request are freed by their counts, and what the router keeps is frozen out of the search.
_GC_THRESHOLD = 50_000


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the environment says."""

    config_dir: Path
    state_dir: Path
    host: str
    port: int
    access_log: bool
    drain_seconds: float
    # Where TLS is listened for; None: nowhere.
    tls: tuple[str, int] | None = None
    # With the URL of the database that several routers share.
    database_file: Path | None = None
    # The base URL of a collector of traces; "": none are made.
    traces: str = ""

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Options:
        """Raises ValueError that names the variable, the mistake and what is wanted; nothing of what it holds."""
        host, port = _address("GRIDTIE_LISTEN", environ.get("GRIDTIE_LISTEN", "127.0.0.1:8484"))
        tls = environ.get("GRIDTIE_TLS_LISTEN", "")
        database = environ.get("GRIDTIE_DATABASE_FILE", "").strip()
        drain = environ.get("GRIDTIE_DRAIN_SECONDS", "25").strip()
        if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]*)?|\.[0-9]+", drain, re.ASCII):
            raise ValueError(
                "GRIDTIE_DRAIN_SECONDS is not a number of seconds, 0 or more; wanted: one such as 25, no unit"
            )
        access = environ.get("GRIDTIE_ACCESS_LOG", "on").strip().lower()
        if access not in ("on", "off"):
            raise ValueError("GRIDTIE_ACCESS_LOG is neither on nor off; wanted: one of these two words")
        return cls(
            config_dir=_directory(environ, "GRIDTIE_CONFIG_DIR", "/etc/gridtie"),
            state_dir=_directory(environ, "GRIDTIE_STATE_DIR", "/var/lib/gridtie"),
            host=host,
            port=port,
            access_log=access == "on",
            drain_seconds=float(drain),
            tls=_address("GRIDTIE_TLS_LISTEN", tls) if tls else None,
            database_file=Path(database) if database else None,
            traces=_endpoint("GRIDTIE_TRACES_ENDPOINT", environ.get("GRIDTIE_TRACES_ENDPOINT", "").strip()),
        )


def _directory(environ: Mapping[str, str], name: str, default: str) -> Path:
    text = environ.get(name, default)
    if not text.strip():
        raise ValueError(f"{name} is empty; wanted: a directory, or no such variable ({default} then)")
    return Path(text)


def _endpoint(name: str, text: str) -> str:
    if text:
        try:
            address.read(text)
        except ValueError as error:
            wanted = "wanted: the base URL of an OpenTelemetry collector, such as http://127.0.0.1:4318, or nothing"
            raise ValueError(f"{name} {error}; {wanted}") from None
    return text


def _tracing(endpoint: str, station: Station | None) -> Tracing:
    """Raises ValueError where what it takes is not installed."""
    try:
        # Here, so that a router without traces pays nothing for them.
        from gridtie.gateway.traces.tracing import Tracing
    except ModuleNotFoundError as error:
        raise ValueError(
            f"GRIDTIE_TRACES_ENDPOINT is set, and {error.name} is not installed: pip install 'gridtie[traces]'; "
            "a station's image has it where gridtie_traces_endpoint says so"
        ) from None
    return Tracing(endpoint, {} if station is None else {"gridtie.project": station.project})


def _address(name: str, text: str) -> tuple[str, int]:
    host, colon, port = text.strip().rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if "://" in text:
        fault = "begins with a scheme"
    elif not colon or not host:
        fault = "lacks its address or its port (0.0.0.0 means every address)"
    elif not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
        fault = "has a port that is not a number from 0 to 65535"
    elif bare == host and ":" in host:
        fault = "has an IPv6 address without brackets"
    elif bare != host and ":" not in bare:
        fault = "has no IPv6 address in its brackets"
    elif not re.fullmatch(r"[A-Za-z0-9_.:%-]+", bare):
        fault = "has an address with characters that no address has"
    else:
        return bare, int(port)
    raise ValueError(f"{name} {fault}; wanted: address:port, such as 127.0.0.1:8484 or [::1]:8484")


class Router:
    """All parts of one process, from `start` to `stop`."""

    def __init__(self, options: Options, environ: Mapping[str, str]) -> None:
        """Read the configuration and open the ledger; needs the running loop.

        Raises ConfigError, LedgerError, StoreError and ValueError.
        """
        self._options = options
        self._loop = loop = asyncio.get_running_loop()
        proxies = ProxySettings(environ)
        self.settings = Settings(options.config_dir)
        loaded = self.settings.current
        self._replica = replica = _replica(options, environ)
        open_store = SqliteStore if replica is None else replica.open
        self.ledger = Ledger(options.state_dir, loaded.prices, open_store=open_store)
        counted = self.ledger.spent if replica is None else replica.counted
        self.state = State(
            spent=lambda budget: counted(budget, time()),
            unleased=None if replica is None else lambda budget: replica.unleased(budget, time()),
        )
        self.sweeper = Sweeper(loop)
        self.pool = ConnectionPool(loop)
        self.telemetry = Telemetry(self._readings)
        self._machine = MachineReadings(self.ledger.directory / READINGS)
        self._access_log = AccessLog(sys.stdout.buffer if options.access_log else None)
        self.metering = Metering(self.ledger, self.telemetry, self._access_log)
        self.held = HeldBytes(loaded.routing.limits.held_bytes)
        self.runner = Runner(loop, self.state, self.pool, self.sweeper, proxies, self.held, self.metering.begin)
        self.kept = KeptAnswers()
        self._tracing = _tracing(options.traces, loaded.station) if options.traces else None
        self.slots = Slots(self.state, loop)
        self.dispatcher = Dispatcher(self.runner, self.metering, self.kept, self.slots, self._tracing)
        self.admin = Admin(self.settings, self.ledger, self.telemetry, self.state, loop)
        self.dashboard = Dashboard(
            self.settings,
            self.ledger,
            self.state,
            self.runner,
            loop,
            self.admin.unready,
            self._totals,
            self._machine,
        )
        self.health = Health(self.state)
        self._certificate = Certificate(options.config_dir / DIRECTORY / FILE) if options.tls else None
        self._servers: list[asyncio.Server] = []
        self._watch: asyncio.Task[None] | None = None
        self._dividing: asyncio.Task[None] | None = None
        self.app: App
        self.port = 0
        # 0: TLS is not spoken.
        self.tls_port = 0

    async def start(self) -> None:
        """Listen. Raises OSError where the address cannot be had, and `StoreError`."""
        if self._replica is not None:
            self.settings.merged_keys = self._replica.keys.merged
            await self.settings.reload()
            self._replica.update(_budgets(self.settings.current))
            await self._replica.start(self.ledger, self.state, self._divided, self.settings.reload)
        self.port, self.tls_port = await self._bind()
        own = (*self.admin.routes(), *self.slots.routes(), *self.dashboard.routes())
        routes = [*own, *(route for surface in SURFACES for route in surface(self.dispatcher).routes())]
        self.app = App(routes, self.telemetry, self.sweeper, self.held, self.port)
        self._reloaded(self.settings.current)
        self.settings.subscribe(self._reloaded)
        self.settings.subscribe(Audited(of_router(self._options.state_dir), self.settings.current))
        for member in (self.app, self.pool, self._access_log, self.kept):
            self.sweeper.add(member)
        self.app.sweep(self._loop.time())
        self.sweeper.start()
        self._watch = self._loop.create_task(self.settings.watch(), name="watch configuration")
        for server in self._servers:
            await server.start_serving()
        log.info("listening on %s:%d", self._options.host, self.port)
        if self._options.tls:
            log.info("listening with TLS on %s:%d", self._options.tls[0], self.tls_port)

    async def _bind(self) -> tuple[int, int]:
        """The ports without and with TLS, bound but not served yet."""
        options, certificate = self._options, self._certificate
        try:
            plain = await self._loop.create_server(
                self._accepted,
                options.host,
                options.port,
                backlog=_BACKLOG,
                start_serving=False,
            )
            self._servers.append(plain)
            if options.tls is None or certificate is None:
                return _port(plain), 0
            secure = await self._loop.create_server(
                self._accepted,
                *options.tls,
                backlog=_BACKLOG,
                start_serving=False,
                ssl=certificate.context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=SHUTDOWN_SECONDS,
            )
            self._servers.append(secure)
        except OSError:
            self._shut()
            raise
        return _port(plain), _port(secure)

    def _accepted(self) -> ClientConnection:
        return ClientConnection(self.app, self._loop)

    def _shut(self) -> bool:
        """Listen no longer; whether it had been listened."""
        servers, self._servers = self._servers, []
        for server in servers:
            server.close()
        return bool(servers)

    async def stop(self) -> None:
        """Take no more requests, let those in flight end for a while, then end them; idempotent."""
        if not self._shut():
            return
        self.admin.draining = True
        self.dashboard.end_streams()
        self.slots.drain()
        self.app.drain()
        try:
            async with asyncio.timeout(self._options.drain_seconds):
                await self.app.empty.wait()
        except TimeoutError:
            log.warning("%d connections did not end in time and are closed", len(self.app.connections))
        going = Refusal(status=503, code="going_down", message="the router is going down", retry_after=1)
        for request in self.runner.under_way():
            request.abandon(going)
        await asyncio.sleep(0)  # what was just written leaves
        for connection in tuple(self.app.connections):
            connection.abandon()
        await self._close()

    async def _close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
        await self.health.close()
        await self.dashboard.close()
        self.sweeper.stop()
        self.pool.close()
        self._access_log.flush()
        await self.release()

    async def release(self) -> None:
        """Let go of the ledger, and of what is shared with other routers; idempotent."""
        if self._replica is not None:
            await self._replica.close()
        await asyncio.to_thread(self.ledger.close)
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)

    def _divided(self, share: Share) -> None:
        """Told by the loop's own thread."""
        self._dividing = self._loop.create_task(self.settings.divide(share), name="divide limits")

    def _reloaded(self, loaded: Loaded) -> None:
        self.ledger.prices = loaded.prices
        budgets = _budgets(loaded)
        self.state.update(loaded.targets.by_id, budgets)
        if self._replica is not None:
            self._replica.update(budgets)
        self.health.update(loaded.targets.by_id)
        self.kept.reload(loaded.routing.responses, loaded.keys.holders())
        self.app.reload(loaded)
        if self._certificate is not None:
            self._certificate.refresh()

    def _totals(self) -> dict[str, int]:
        return {"connections": len(self.app.connections), "held_bytes": self.app.held.total}

    def _readings(self) -> Iterator[Reading]:
        loaded = self.settings.current
        yield from of_targets(loaded.targets.by_id, self.state.snapshot(0.0).states)
        yield from of_budgets(loaded.routing.budgets, self.state)
        yield "gridtie_connections", (), len(self.app.connections)
        yield "gridtie_held_bytes", (), self.app.held.total
        yield "gridtie_kept_answers", (), len(self.kept)
        yield "gridtie_kept_bytes", (), self.kept.bytes
        yield "gridtie_ledger_pending", (), self.ledger.pending
        yield "gridtie_ledger_fault", (), bool(self.ledger.fault)
        yield "gridtie_config_error", (), bool(loaded.error)
        if self._replica is not None:
            yield from self._replica.readings()
        if self._tracing is not None:
            yield from self._tracing.readings()
        yield from self._machine


def _replica(options: Options, environ: Mapping[str, str]) -> Replica | None:
    """What this router has where it is one of several. Raises ValueError for a database that may not be used."""
    if options.database_file is None:
        return None
    try:
        # Only where it is asked for: with the driver the router takes some 20 MB more.
        from gridtie.gateway.replica import Replica
    except ImportError as error:
        raise ValueError(
            f"GRIDTIE_DATABASE_FILE is set, and the driver is not here ({error}); install gridtie[postgres]"
        ) from error
    return Replica(options.database_file, environ)


def _budgets(loaded: Loaded) -> list[Budget]:
    return [*loaded.routing.budgets, *loaded.keys.budgets()]


def _port(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])


def _listened(options: Options) -> list[tuple[str, int]]:
    return [(options.host, options.port), *([options.tls] if options.tls else [])]


async def run(environ: Mapping[str, str]) -> int:
    """Serve until SIGTERM or SIGINT; the exit status."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    try:
        options = Options.read(environ)
        router = Router(options, environ)
    except (ConfigError, ValueError) as error:
        _complain(str(error))
        return EXIT_CONFIG
    except (LedgerError, StoreError) as error:
        _complain(str(error))
        return EXIT_CANNOT_RUN
    try:
        await router.start()
    except StoreError as error:
        _complain(str(error))
        await router.release()
        return EXIT_CANNOT_RUN
    except OSError as error:
        where = " or ".join(f"{host}:{port}" for host, port in _listened(options))
        _complain(f"cannot listen on {where}: {error.strerror}; free it, or set GRIDTIE_LISTEN and GRIDTIE_TLS_LISTEN")
        await router.release()
        return EXIT_CANNOT_RUN
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, 10, 10)
    await stop.wait()
    log.info("going down: requests in flight have %g s", options.drain_seconds)
    await router.stop()
    return 0


def _complain(message: str) -> None:
    """For the person who started it: plain text, before there is anything to log."""
    sys.stderr.write(message + "\n")


def main() -> None:
    """Entry point of `gridtie-router`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    sys.exit(uvloop.run(run(os.environ)))


if __name__ == "__main__":
    main()
