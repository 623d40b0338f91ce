"""What is so now: one answer a second for all who watch, the same bytes for all who see the same.

Read from the state that routing keeps anyway; nothing is counted for it while nobody looks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from time import monotonic, time
from typing import Any

import msgspec

from gridtie.config.names import canonical
from gridtie.config.schema import KEY_BUDGETS
from gridtie.gateway.dashboard import machine
from gridtie.gateway.dashboard.engines import Engines
from gridtie.gateway.dashboard.pace import Pace
from gridtie.gateway.dashboard.sign_in import Viewer
from gridtie.gateway.dashboard.under_way import UnderWay, row
from gridtie.gateway.machine_readings import MachineReadings
from gridtie.gateway.settings import Loaded
from gridtie.host.version import __version__
from gridtie.ledger.budget import period_end, period_start
from gridtie.ledger.ledger import Ledger
from gridtie.providers.target import Target
from gridtie.routing.request import OVER, Request
from gridtie.routing.snapshot import TargetState, slots_of
from gridtie.routing.state import State

# Requests under way that are sent, the oldest first; their number is always sent.
MOST_REQUESTS = 100
# Seconds between two looks at what changes slowly.
_MACHINE_SECONDS = 5.0

_encode = msgspec.json.Encoder().encode


class Moment:
    """Puts the answer together."""

    def __init__(
        self,
        loaded: Callable[[], Loaded],
        state: State,
        ledger: Ledger,
        under_way: UnderWay,
        unready: Callable[[bool], list[str]],
        totals: Callable[[], dict[str, int]],
        readings: MachineReadings,
    ) -> None:
        """`unready` says why the router cannot serve, in full or not; `totals` counts connections and held bytes."""
        self._loaded = loaded
        self._state = state
        self._ledger = ledger
        self._under_way = under_way
        self._unready = unready
        self._totals = totals
        self._readings = readings
        self._pace = Pace()
        self._requests: list[Request] = []
        self._machine: dict[str, Any] = {}
        self._looked = 0.0
        self._looking = False
        self._told: dict[str | None, bytes] = {}
        self._started = time()
        self.engines = Engines()

    def refresh(self) -> None:
        """Forget what was told, and look at what has to be looked at again and again. Needs a running loop."""
        now = monotonic()
        self._told.clear()
        self._requests = sorted(self._under_way.requests(), key=lambda each: each.outcome.started)
        self._pace.look(now, ((each.info.id, each.info.key, each.outcome.frames) for each in self._requests))
        self.engines.look(now, self._loaded().targets.by_id.values())
        if now - self._looked > _MACHINE_SECONDS and not self._looking:
            self._looked, self._looking = now, True
            # In a thread: drivers take their time with some sensors. One that never answers holds one thread and no
            # more each time, since admins' questions are answered in these as well.
            asyncio.get_running_loop().run_in_executor(None, machine.look, self._readings).add_done_callback(self._seen)

    def rest(self) -> None:
        """Nobody watches: nothing of a request is kept for them."""
        self._told.clear()
        self._requests = []

    def _seen(self, done: asyncio.Future[dict[str, Any]]) -> None:
        self._looking = False
        if not done.cancelled():
            self._machine = done.result()

    def told(self, viewer: Viewer) -> bytes:
        """JSON for a viewer, worked out once between two calls of `refresh`."""
        told = self._told.get(viewer.whose)
        if told is None:
            told = self._told[viewer.whose] = _encode(self._tell(viewer))
        return told

    def _tell(self, viewer: Viewer) -> dict[str, Any]:
        now, loaded, admin = monotonic(), self._loaded(), viewer.key.admin
        states = self._state.snapshot(now).states
        known = [(target, states[id]) for id, target in loaded.targets.by_id.items() if id in states]
        requests = [each for each in self._requests if viewer.sees(each.info.key) and each.phase is not OVER]
        reasons = self._unready(admin)
        engine = loaded.station.engine if loaded.station is not None else None
        return {
            "time": time(),
            "version": __version__,
            "key": viewer.key.name,
            "admin": admin,
            "ready": not reasons,
            "reasons": reasons,
            "router": {"started": self._started, **self._of_router(loaded, admin)},
            "engine": None if engine is None else {"kind": engine.kind, "mode": engine.mode, "version": engine.version},
            "targets": [self._target(target, state, now, admin) for target, state in known],
            "under_way": len(requests),
            "requests": [row(each, now) for each in requests[:MOST_REQUESTS]],
            "tokens_per_second": self._pace.per_second(viewer.whose),
            "budgets": list(self._budgets(loaded, viewer)),
            "machine": self._machine,
        }

    def _of_router(self, loaded: Loaded, admin: bool) -> dict[str, Any]:
        if not admin:
            return {}
        # Both name lines of files, which are not everybody's business.
        problems = [each for each in (loaded.error, *loaded.warnings) if each]
        return {"problems": problems, "pending_rows": self._ledger.pending, **self._totals()}

    def _target(self, target: Target, state: TargetState, now: float, admin: bool) -> dict[str, Any]:
        # What an engine said before it was down is not so any more.
        held = self.engines.held.get(target.id) if state.ready and state.loaded else None
        return {
            "id": target.id,
            "locality": target.locality,
            "own": target.own,
            "ready": state.ready,
            "loaded": state.loaded,
            "in_flight": state.in_flight,
            "waiting": state.waiting,
            "slots": slots_of(target, state) if target.servers else target.slots,
            # Seconds for which it is left alone, and why.
            "paused": max(0.0, state.retry_at - now) if state.retry_at else 0.0,
            "paused_by": state.paused_by if state.retry_at > now else "",
            "error": state.last_error if admin else "",
            "context": target.context,
            "predicted_bytes": target.predicted_bytes or None,
            "memory_bytes": None if held is None else held.size,
            "card_bytes": None if held is None else held.size_vram,
        }

    def _budgets(self, loaded: Loaded, viewer: Viewer) -> Iterator[dict[str, Any]]:
        now = time()
        for budget in (*loaded.routing.budgets, *loaded.keys.budgets()):
            if viewer.whose is None or budget.key == canonical(viewer.key.name):
                left = self._state.left_to_all(budget.name)
                begun, ends = period_start(budget.period, now), period_end(budget.period, now)
                spent = self._ledger.spent(budget, now)
                yield {
                    "name": budget.name.removeprefix(KEY_BUDGETS),
                    "of_key": budget.name.startswith(KEY_BUDGETS),
                    "usd": budget.usd,
                    "period": budget.period,
                    "spent": spent,
                    "reserved": max(0.0, budget.usd - spent - left),
                    "left": left,
                    "ends": ends,
                    # When it is used up if the rest of the period goes as its part until now.
                    "lasts_until": _lasts_until(spent, left, begun, now),
                }


def _lasts_until(spent: float, left: float, begun: float, now: float) -> float | None:
    return now + left / (spent / max(now - begun, 1.0)) if spent > 0 else None
