"""What a router has that is one of several over one database: its store, and its part of what they share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from time import time

from gridtie.config.schema import Budget
from gridtie.gateway.share import WHOLE, Share
from gridtie.gateway.telemetry import Reading
from gridtie.ledger.budget import period_end, period_start
from gridtie.ledger.ledger import Ledger
from gridtie.ledger.postgres import address
from gridtie.ledger.postgres.keys import SharedKeys
from gridtie.ledger.postgres.leases import SPARE, Lease, Leases, Period, Round, Wish
from gridtie.ledger.postgres.store import PostgresStore
from gridtie.ledger.store import StoreError
from gridtie.routing.state import State

log = logging.getLogger("gridtie.replica")

ROUND_SECONDS = 1.0
# A demand that was met is half as large after some two minutes.
_EASING = 0.995
# A lease of the next period is asked for so many seconds before it begins.
_AHEAD_SECONDS = 60.0

# What of this machine's keys was handed over; `gridtie keys list` knows by it that there are others.
HANDED_OVER = "keys-handed-over.json"


class Replica:
    """Belongs to the event loop's thread; what waits for the database is done in others."""

    def __init__(self, database_file: Path, environ: Mapping[str, str]) -> None:
        """Raises `AddressError`, which is a ValueError."""
        self._address = address.read(database_file, environ)
        self._store: PostgresStore
        self._leases: Leases
        self.keys: SharedKeys
        self._ledger: Ledger
        self._state: State
        self._budgets: list[Budget] = []
        # What is gone by: of each period the lease, and what it should be above what is used.
        self._held: dict[Period, Lease] = {}
        # By budget: how much more than usual is needed.
        self._demand: dict[str, float] = {}
        self._share = WHOLE
        self._divided: Callable[[Share], None]
        self._moved: Callable[[], Awaitable[None]]
        self._task: asyncio.Task[None] | None = None

    def open(self, path: Path) -> PostgresStore:
        """The ledger's store. Raises `StoreError` and OSError."""
        self._store = PostgresStore(self._address, path)
        self._leases = Leases(self._store.database)
        self.keys = SharedKeys(self._store.database, path.with_name(HANDED_OVER))
        return self._store

    def update(self, budgets: list[Budget]) -> None:
        """Another configuration."""
        self._budgets = budgets

    def counted(self, budget: Budget, now: float) -> float:
        """What leaves of the budget so much as is left of this router's lease."""
        held = self._held.get((budget.name, period_start(budget.period, now)))
        leased = 0.0 if held is None else held.usd
        return budget.usd - leased + self._ledger.spent(budget, now)

    def unleased(self, budget: Budget, now: float) -> float:
        """US dollars that nobody has leased, as of the last round: they are to be had."""
        held = self._held.get((budget.name, period_start(budget.period, now)))
        return 0.0 if held is None else held.free

    async def start(
        self, ledger: Ledger, state: State, divided: Callable[[Share], None], moved: Callable[[], Awaitable[None]]
    ) -> None:
        """Have leases before the first request comes. Raises `StoreError`.

        `divided` is told whenever there are more or fewer routers, `moved` whenever another one's keys have changed.
        """
        self._ledger, self._state, self._divided, self._moved = ledger, state, divided, moved
        await self._round()
        self._task = asyncio.get_running_loop().create_task(self._rounds(), name="leases")

    async def close(self) -> None:
        """Give back what was not used. Call it when no request is under way."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        wishes = [wish for wish in self._wishes() if wish.holds is not None]
        self._held = {}
        try:
            await asyncio.to_thread(self._leases.give_back, wishes)
        except StoreError as error:
            log.warning("what was leased of budgets is given back at the next start: %s", error)

    def readings(self) -> Iterator[Reading]:
        """For the metrics."""
        yield "gridtie_replicas", (), self._share.count
        yield "gridtie_database_fault", (), bool(self._store.database.fault)
        yield "gridtie_database_clock_seconds", (), self._store.database.clock_s

    async def _rounds(self) -> None:
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            try:
                await self._round()
            except StoreError:
                # Said by the connection. What is leased holds, and nothing more is to be had.
                continue
            except Exception:
                log.exception("leases of budgets could not be renewed; they are tried again")

    async def _round(self) -> None:
        self._note_demand()
        wishes = self._wishes()
        for wish in wishes:
            self._shrink(wish)
        found = await asyncio.to_thread(self._leases.exchange, self._wishes())
        self._apply(found)
        if await asyncio.to_thread(self.keys.moved):
            await self._moved()

    def _note_demand(self) -> None:
        most = 2.0 * SPARE * self._share.count
        eased = {name: demand * _EASING for name, demand in self._demand.items()}
        self._demand = {name: demand for name, demand in eased.items() if demand > 1.0}
        for name in self._state.lacking():
            self._demand[name] = min(2.0 * self._demand.get(name, 1.0), most)

    def _wishes(self) -> list[Wish]:
        now = time()
        return [wish for budget in self._budgets for wish in self._of_budget(budget, now)]

    def _of_budget(self, budget: Budget, now: float) -> Iterator[Wish]:
        moments = [now]
        if (end := period_end(budget.period, now)) - now < _AHEAD_SECONDS:
            moments.append(end)
        for moment in moments:
            start = period_start(budget.period, moment)
            held = self._held.get((budget.name, start))
            yield Wish(
                budget=budget,
                start=start,
                # What is in flight counts in the period in which it ends, for all that is known now.
                used=self._ledger.spent(budget, moment) + self._state.reserved(budget.name),
                holds=None if held is None else held.usd,
                demand=self._demand.get(budget.name, 1.0),
            )

    def _shrink(self, wish: Wish) -> None:
        """Go by less from now on where there is far more than is needed; the database is told afterwards."""
        held = self._held.get(wish.period)
        if held is not None and held.usd - wish.used > 2 * held.spare:
            usd = wish.used + held.spare
            self._held[wish.period] = Lease(usd=usd, spare=held.spare, free=held.free + held.usd - usd)

    def _apply(self, found: Round) -> None:
        now = time()
        # Of periods that are over nothing is asked any more.
        known = {budget.name: period_start(budget.period, now) for budget in self._budgets}
        held = {**self._held, **found.leases}
        self._held = {period: each for period, each in held.items() if period[1] >= known.get(period[0], now)}
        share = Share(found.count, found.place)
        if share != self._share:
            log.warning("routers that share budgets, limits and max_in_flight: %d", share.count)
            self._share = share
            self._divided(share)
