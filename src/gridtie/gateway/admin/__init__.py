"""The router's own paths: whether it is well, what it counts, and what it knows about requests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from gridtie.gateway.admin.answer import Answers
from gridtie.gateway.admin.config import Config
from gridtie.gateway.admin.key import OwnKey
from gridtie.gateway.admin.prune import Prune
from gridtie.gateway.admin.requests import Requests
from gridtie.gateway.admin.route import Explanation
from gridtie.gateway.admin.status import Status
from gridtie.gateway.admin.usage import Usage
from gridtie.gateway.routes import Route
from gridtie.gateway.settings import Settings
from gridtie.gateway.telemetry import Telemetry
from gridtie.ledger.ledger import Ledger
from gridtie.routing.state import State


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
        answers = Answers(loop)
        self._status = Status(settings, ledger, telemetry, state)
        self._parts = (
            self._status,
            Config(settings),
            Explanation(state),
            OwnKey(state),
            Usage(ledger, answers),
            Requests(ledger, answers),
            Prune(ledger, answers),
        )

    @property
    def draining(self) -> bool:
        """Whether `/readyz` says that the router goes down."""
        return self._status.draining

    @draining.setter
    def draining(self, draining: bool) -> None:
        self._status.draining = draining

    def unready(self, in_full: bool) -> list[str]:
        """Why requests cannot be served; empty where they can. `in_full` with paths and addresses, for admins."""
        return self._status.unready(in_full=in_full)

    def routes(self) -> Iterable[Route]:
        """The paths it answers."""
        return [route for part in self._parts for route in part.routes()]
