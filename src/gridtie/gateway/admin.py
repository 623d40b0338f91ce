"""The router's own paths: whether it is well, what it counts, and what it knows about requests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from time import monotonic, time
from typing import Any
from urllib.parse import parse_qs

import msgspec

from gridtie.gateway.claims import claimed
from gridtie.gateway.dispatch import request_info
from gridtie.gateway.error_format import OpenAIErrorFormat
from gridtie.gateway.errors import Fault
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.response import JSON, retry_fields
from gridtie.gateway.routes import Route
from gridtie.gateway.settings import Settings
from gridtie.gateway.telemetry import Telemetry
from gridtie.ledger.ledger import Ledger, LedgerError
from gridtie.ledger.usage import UsageError, moment
from gridtie.routing.explain import explain, read_query
from gridtie.routing.plan import Refusal
from gridtie.routing.state import State

log = logging.getLogger(__name__)

_ERRORS = OpenAIErrorFormat()
_METRICS = b"content-type: text/plain; version=0.0.4; charset=utf-8\r\n"
_DAY = 24 * 3600.0
_encode = msgspec.json.Encoder().encode

# A status and what is to be said as JSON.
Answer = tuple[int, Any]


class Admin:
    """`/healthz`, `/readyz`, `/metrics` and `/gridtie/...`."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        telemetry: Telemetry,
        state: State,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._telemetry = telemetry
        self._state = state
        self._loop = loop
        self.draining = False

    def routes(self) -> Iterable[Route]:
        """The paths it answers."""
        return (
            Route(path="/healthz", get=self.healthz, public=True),
            Route(path="/readyz", get=self.readyz, public=True),
            Route(path="/metrics", get=self.metrics, public=True),
            Route(path="/gridtie/config", get=self.config),
            Route(path="/gridtie/route", post=self.route),
            Route(path="/gridtie/usage", get=self.usage),
            Route(path="/gridtie/requests/", get=self.request),
        )

    def healthz(self, exchange: Exchange) -> None:
        """Alive."""
        exchange.respond(200, JSON, b'{"status":"ok"}')

    def readyz(self, exchange: Exchange) -> None:
        """Whether requests can be served, and if not why."""
        reasons = self.unready()
        status = 503 if reasons else 200
        body = {"status": "unready" if reasons else "ready", "reasons": reasons}
        exchange.respond(status, JSON, _encode(body))

    def unready(self) -> list[str]:
        """Why requests cannot be served; empty where they can."""
        reasons = ["the router is going down"] if self.draining else []
        if self._ledger.fault:
            reasons.append(self._ledger.fault)
        loaded = self._settings.current
        if loaded.station is not None and loaded.station.models:
            states = self._state.snapshot(0.0).states
            # A probe that succeeded has found out whether the model is in memory.
            probed = [states[id] for id, target in loaded.targets.by_id.items() if target.probe_url and id in states]
            if probed and not any(state.ready and state.loaded is not None for state in probed):
                told = {state.last_error for state in probed if state.last_error}
                reasons.append("the engine has not answered yet" + "".join(f"; {each}" for each in sorted(told)))
        return reasons

    def metrics(self, exchange: Exchange) -> None:
        """For Prometheus."""
        exchange.respond(200, _METRICS, self._telemetry.render())

    def config(self, exchange: Exchange) -> None:
        """Which configuration is in force, and what is wrong with the files as they are."""
        loaded = self._settings.current
        body = {
            "digest": loaded.digest,
            "keys": loaded.keys.file_digest,
            "loaded_at": loaded.loaded_at,
            "error": loaded.error or None,
        }
        exchange.respond(200, JSON, _encode(body))

    def route(self, exchange: Exchange) -> None:
        """What would become of a request that is described, and why; nothing is sent."""
        key = exchange.head.key
        if key is None:
            return
        try:
            query = read_query(exchange.body)
        except ValueError as error:
            self._no(exchange, 400, "invalid_query", str(error))
            return
        found = claimed(key, query.environment, query.agent, query.tags, query.purpose)
        if isinstance(found, Refusal):
            self._no(exchange, found.status, found.code, found.message)
            return
        info = request_info(exchange.id, query.surface, query.facts(), key, found)
        snapshot = self._state.snapshot(monotonic())
        exchange.respond(200, JSON, _encode(explain(info, exchange.head.loaded.policy, snapshot)))

    def usage(self, exchange: Exchange) -> None:
        """The report on a period; admins see everybody's, others their own."""
        query = parse_qs(exchange.head.query)
        asked = {name: values[-1] for name, values in query.items()}
        key = exchange.head.key
        if key is None:
            return
        if unknown := asked.keys() - {"since", "until", "by", "key"}:
            names = ", ".join(sorted(unknown))
            self._no(exchange, 400, "invalid_query", f"unknown: {names}; wanted: since, until, by, key")
            return
        whose = asked.get("key") if key.admin else key.name
        now = time()

        def report() -> Answer:
            since = moment(asked["since"], now) if "since" in asked else now - _DAY
            until = moment(asked["until"], now) if "until" in asked else now
            return 200, self._ledger.usage(since, until, asked.get("by"), whose)

        self._later(exchange, report)

    def request(self, exchange: Exchange) -> None:
        """One request's row."""
        key, id = exchange.head.key, exchange.head.rest

        def find() -> Answer:
            entry = self._ledger.find(id)
            # Whose it is stays unsaid: to others it does not exist.
            if entry is None or key is None or not (key.admin or entry.key == key.name):
                return 404, Fault(status=404, code="not_found", message=f"no request {id[:80]!r} of yours is known")
            return 200, entry

        self._later(exchange, find)

    def _later(self, exchange: Exchange, work: Callable[[], Answer]) -> None:
        """Answer with what `work` returns; it reads the disk, so a thread does it."""
        future = self._loop.run_in_executor(None, work)
        future.add_done_callback(lambda done: self._tell(exchange, done))

    def _tell(self, exchange: Exchange, done: asyncio.Future[Answer]) -> None:
        error = done.exception()
        if error is None:
            status, body = done.result()
            exchange.respond(status, JSON, _ERRORS.error(body) if isinstance(body, Fault) else _encode(body))
        elif isinstance(error, UsageError):
            self._no(exchange, 400, "invalid_query", str(error))
        elif isinstance(error, LedgerError):
            self._no(exchange, 503, "ledger_unavailable", str(error))
        else:
            log.error("%s failed", exchange.head.path, exc_info=error)
            self._no(exchange, 500, "internal_error", "the router failed; its log says why")

    def _no(self, exchange: Exchange, status: int, code: str, message: str) -> None:
        fault = Fault(status=status, code=code, message=message)
        exchange.respond(status, JSON + retry_fields(fault), _ERRORS.error(fault))
