"""Money of a budget that is handed out to replicas beforehand, so that a decision waits for nobody.

A lease is what a replica may spend of a budget in one period, all in all. The leases of a period add up to no more than
the budget, and no replica spends more than its lease: so nothing is overdrawn, whatever the clocks say and whoever is
down. A lease grows here first and then in its replica, and shrinks in its replica first and then here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from gridtie.config.names import canonical
from gridtie.config.schema import Budget
from gridtie.ledger.budget import period_end
from gridtie.ledger.postgres.database import Cursor, Database

# Budget's name and the start of the period in Unix seconds.
Period = tuple[str, float]

# Without demand a replica holds a fourth of its even part: the rest is for whoever needs it, and not lost until the end
# of the period where a replica dies.
SPARE = 4
# But an even part of the rest up to so many US dollars: of a small budget a fourth might be too little for one request.
LEAST_USD = 1.0
# A replica that was not seen for so many seconds shares nothing.
ALIVE_SECONDS = 20.0
# Leases of periods that are over are kept for so long.
_KEEP_SECONDS = 40 * 24 * 3600
# One replica at a time. The word "lease" in hexadecimal.
_LOCK = 0x6C65617365


class Wish(msgspec.Struct, frozen=True):
    """What a replica says of a budget in one period. Amounts in US dollars."""

    budget: Budget
    start: float
    # Spent, and reserved for what is in flight.
    used: float
    # What it goes by; None: it has just begun. Never more than is written.
    holds: float | None
    # How much more than usual it needs, 1 where it does not.
    demand: float = 1.0

    @property
    def period(self) -> Period:
        return self.budget.name, self.start


class Lease(msgspec.Struct, frozen=True):
    """What came of it: the lease, what it should be above what is used, and what nobody has leased."""

    usd: float
    spare: float
    free: float = 0.0


class Round(msgspec.Struct, frozen=True):
    """What came of all wishes; how many replicas live, and at which place this one is."""

    leases: Mapping[Period, Lease]
    count: int
    place: int


def lease(wish: Wish, written: float, others: float, count: int) -> Lease:
    """The lease of a replica that has `written`, where the others have so much, `count` of them all living."""
    usd = written if wish.holds is None else min(written, wish.holds)
    # What was spent is spent, also where nobody had leased it: before there was a budget, or before it was lowered.
    usd = max(usd, wish.used)
    free = max(0.0, wish.budget.usd - others - usd)
    pot = free + usd - wish.used
    part = 1.0 if count <= 1 else min(1.0, wish.demand / (SPARE * count))
    spare = max(pot * part, min(pot / count, LEAST_USD))
    if usd - wish.used < spare / 2 or (wish.demand > 1 and usd - wish.used < spare):
        usd = wish.used + spare
    return Lease(usd=usd, spare=spare, free=max(0.0, wish.budget.usd - others - usd))


class Leases:
    """One replica's, in the database. Any thread may call."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # Periods in which what was spent without a lease has been booked.
        self._booked: set[Period] = set()

    def exchange(self, wishes: Sequence[Wish]) -> Round:
        """Renew, enlarge and give back. Raises `StoreError`; then what was given back stays given back."""
        me = self._database.replica
        with self._database.transaction() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            living = self._living(cursor)
            fresh = [wish for wish in wishes if wish.period not in self._booked]
            if fresh:
                _book(cursor, fresh)
            written = self._written(cursor, wishes)
            leases: dict[Period, Lease] = {}
            for wish in wishes:
                of_period = written[wish.period]
                mine = of_period.pop(me, 0.0)
                leases[wish.period] = lease(wish, mine, sum(of_period.values()), len(living))
            _write(cursor, me, leases)
        self._booked.update(wish.period for wish in fresh)
        return Round(leases=leases, count=len(living), place=living.index(me))

    def give_back(self, wishes: Sequence[Wish]) -> None:
        """All that was not used. Raises `StoreError`."""
        with self._database.transaction() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            _write(cursor, self._database.replica, {wish.period: Lease(usd=wish.used, spare=0.0) for wish in wishes})

    def _living(self, cursor: Cursor) -> list[str]:
        me = self._database.replica
        cursor.execute(
            "INSERT INTO gridtie.replicas (name) VALUES (%s) ON CONFLICT (name) DO UPDATE SET seen = clock_timestamp()",
            (me,),
        )
        cursor.execute(
            "SELECT name FROM gridtie.replicas "
            "WHERE seen > clock_timestamp() - make_interval(secs => %s) ORDER BY name",
            (ALIVE_SECONDS,),
        )
        return [name for (name,) in cursor.fetchall()]

    def _written(self, cursor: Cursor, wishes: Iterable[Wish]) -> Mapping[Period, dict[str, float]]:
        periods = [wish.period for wish in wishes]
        cursor.execute(
            "SELECT budget, start, replica, usd FROM gridtie.leases "
            "WHERE (budget, start) IN (SELECT * FROM unnest(%s::text[], %s::float8[]))",
            ([name for name, _ in periods], [start for _, start in periods]),
        )
        found: dict[Period, dict[str, float]] = defaultdict(dict)
        for budget, start, replica, usd in cursor.fetchall():
            found[budget, start][replica] = usd
        return found


_SPENT = """
    SELECT replica, environment, key, sum(spent_usd) FROM gridtie.requests
    WHERE time >= %s AND time < %s AND spent_usd > 0 GROUP BY 1, 2, 3
    UNION ALL SELECT replica, environment, key, reserve_usd FROM gridtie.attempts
    WHERE time >= %s AND time < %s
    UNION ALL SELECT replica, environment, '', usd FROM gridtie.erased_spending
    WHERE hour >= %s AND hour < %s
"""
_BOOK = "INSERT INTO gridtie.leases (budget, start, replica, usd) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING"


def _book(cursor: Cursor, wishes: Sequence[Wish]) -> None:
    """What replicas without a lease have spent in a period counts as theirs, since a budget may be new."""
    # Read once for all budgets of a period: every key may have one.
    spent: dict[tuple[float, float], list[tuple[str, str, str, float]]] = {}
    for wish in wishes:
        span = (wish.start, period_end(wish.budget.period, wish.start))
        if span not in spent:
            cursor.execute(_SPENT, span * 3)
            spent[span] = [(who, canonical(where), canonical(key), usd) for who, where, key, usd in cursor.fetchall()]
        booked: dict[str, float] = defaultdict(float)
        for replica, environment, key, usd in spent[span]:
            if wish.budget.environment in (None, environment) and wish.budget.key in (None, key):
                booked[replica] += usd
        cursor.executemany(_BOOK, [(wish.budget.name, wish.start, *each) for each in booked.items()])
    oldest = min(wish.start for wish in wishes)
    cursor.execute("DELETE FROM gridtie.leases WHERE start < %s", (oldest - _KEEP_SECONDS,))


_WRITE = """
    INSERT INTO gridtie.leases (budget, start, replica, usd)
    SELECT budget, start, %s, usd FROM unnest(%s::text[], %s::float8[], %s::float8[]) AS given (budget, start, usd)
    ON CONFLICT (budget, start, replica) DO UPDATE SET usd = excluded.usd WHERE leases.usd <> excluded.usd
"""


def _write(cursor: Cursor, replica: str, leases: Mapping[Period, Lease]) -> None:
    names, starts = [name for name, _ in leases], [start for _, start in leases]
    cursor.execute(_WRITE, (replica, names, starts, [each.usd for each in leases.values()]))
