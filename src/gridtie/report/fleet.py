"""One bill for several hosts: their rows in one table, each request once, and the figures of the report over it."""

from __future__ import annotations

import contextlib
import datetime
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from gridtie.report.fleet_words import words
from gridtie.report.rows import ELECTRICITY, FIGURES, GROUP, WHEN, Handed, OtherSchemaError, handed
from gridtie.report.shared_machines import machine, share
from gridtie.report.sql import line

SCHEMA = 1
# What the bill has a table for; `person` is the key's name, which people and applications ask with.
DIMENSIONS = {
    "host": "host",
    # Each station has a key of its own, and all of these have one name.
    "person": "iif(key = 'station', 'station of ' || host, key)",
    "project": "project",
    "environment": "environment",
    "model": "model",
    "day": "day",
    # All three at once, for whoever passes costs on.
    "host, person, project": "host || ', ' || key || ', ' || iif(project = '', '(none)', project)",
}
_LINE = line(f"coalesce(sum({ELECTRICITY}), 0) / 1e12")
_COLUMNS = ("machine", "requests", *GROUP, *FIGURES, "start", "stop")
_FIGURES = len(FIGURES) + len(WHEN)
# A request is of the month in which it arrived, and in the ledger once it is answered: `timeouts.total` later at most,
# which is 15 minutes unless somebody waits for longer.
_LAST_ANSWERS_S = 3600.0
# Of a host's bottom line, what is the machine's and nobody's requests'.
_OF_THE_MACHINE = ("idle_usd", "amortisation_usd")


class Missing(NamedTuple):
    """A host whose ledger is not in the bill, and why."""

    host: str
    why: str


def bill(
    documents: Iterable[tuple[str, bytes]], absent: Iterable[Missing], month: str, ends: float, now: float
) -> dict[str, Any]:
    """The bill of a month that ends at `ends` (Unix seconds), of what each host handed over, in the inventory's order.

    Where a request lies in two ledgers, the first host that has it keeps it. A document that cannot be read makes its
    host a missing one.
    """
    missing, hosts, twice, told = list(absent), [], [], {}
    with contextlib.closing(sqlite3.connect("")) as merged:
        merged.row_factory = sqlite3.Row
        merged.execute(f"CREATE TABLE traffic (id TEXT PRIMARY KEY, host, {', '.join(_COLUMNS)}) WITHOUT ROWID")
        merged.execute("CREATE TEMP TABLE arrived AS SELECT * FROM traffic")
        for host, raw in documents:
            try:
                found = handed(raw)
                taken = _taken(merged, host, found)
            except ValueError as error:
                missing.append(Missing(host, str(error)))
                continue
            twice += taken
            told[host] = found
            hosts.append(_described(host, found, sum(each["requests"] for each in taken)))
        share(merged, ELECTRICITY)
        figures = _figures(merged)
    figures["bottom_line"] = _bottom_line(figures["totals"], told.values())
    found_all = {
        "schema": SCHEMA,
        "currency": "USD",
        "month": month,
        "ends": _iso(ends),
        "made": _iso(now),
        # By the clocks of all of them, and with its last answers in the ledgers.
        "over": now >= ends + _LAST_ANSWERS_S and all(each.question["until"] >= ends for each in told.values()),
        "hosts": hosts,
        "missing": [each._asdict() for each in missing],
        "twice": twice,
        "own": _own(told),
        "unfinished": sum(int(each.unfinished["attempts"]) for each in told.values()),
        "unfinished_usd": sum(float(each.unfinished["reserved_usd"]) for each in told.values()),
        "private_at_a_cloud": [{"host": host, **row} for host, each in told.items() for row in each.private_at_a_cloud],
        "relayed_for_missing": list(_relayed(told, {each.host for each in missing})),
        **figures,
    }
    return {**found_all, "words": words(found_all)}


def _taken(merged: sqlite3.Connection, host: str, found: Handed) -> list[dict[str, Any]]:
    """Take a host's rows in; which requests other hosts have told of already."""
    merged.execute("DELETE FROM arrived")
    marks = ", ".join("?" * (2 + len(_COLUMNS)))
    merged.executemany(f"INSERT INTO arrived VALUES ({marks})", _rows(host, found))
    if merged.execute("SELECT count(*) FROM arrived").fetchone()[0] != found.count:
        raise OtherSchemaError("it handed over another number of requests than it says")
    both = merged.execute(
        "SELECT traffic.host AS kept_of, count(*) AS requests FROM arrived JOIN traffic USING (id) GROUP BY 1"
    ).fetchall()
    merged.execute("INSERT OR IGNORE INTO traffic SELECT * FROM arrived")
    return [{"host": host, **dict(row)} for row in both]


def _rows(host: str, found: Handed) -> Iterator[tuple[Any, ...]]:
    began = round(float(found.question["since"]) * 1e3)
    machines = [machine(host, dict(zip(GROUP, group, strict=True))["model"], found.machines) for group in found.groups]
    for number, id, *figures in found.rows:
        if not isinstance(number, int) or not 0 <= number < len(found.groups) or len(figures) != _FIGURES:
            raise OtherSchemaError("its rows have other columns than they should")
        *figures, started, took = figures
        if not isinstance(started, int) or not isinstance(took, int):
            raise OtherSchemaError("its rows do not say when they ran")
        start = began + started
        yield (id, host, machines[number], 1, *found.groups[number], *figures, start, start + took)


def _figures(merged: sqlite3.Connection) -> dict[str, Any]:
    by = {
        name: [
            dict(row) for row in merged.execute(f'SELECT {sql} AS "group", {_LINE} FROM traffic GROUP BY 1 ORDER BY 1')
        ]
        for name, sql in DIMENSIONS.items()
    }
    return {"totals": dict(merged.execute(f"SELECT {_LINE} FROM traffic").fetchone()), "by": by}


def _bottom_line(totals: Mapping[str, Any], told: Iterable[Handed]) -> dict[str, Any]:
    """From the baseline to what is left: the sums of the requests, and what the machines cost whoever asks."""
    machines = dict.fromkeys(_OF_THE_MACHINE, 0.0)
    for each in told:
        for name in machines:
            machines[name] += each.bottom_line[name] or 0.0
    net = None if totals["net_usd"] is None else totals["net_usd"] - sum(machines.values())
    baseline = totals["baseline_usd"]
    return {
        "baseline_usd": baseline,
        "cloud_usd": None if totals["cloud_usd"] is None else totals["cloud_usd"] - totals["uncompared_usd"],
        **{name: totals[name] for name in ("own_usd", "electricity_usd")},
        **machines,
        "net_usd": net,
        "net_share": net / baseline if net is not None and baseline else None,
    }


def _described(host: str, found: Handed, twice: int) -> dict[str, Any]:
    power = found.question["power"]
    priced = [row for row in found.named if row["baseline_usd"] is not None]
    dates = {row["price_date"] for row in priced} - {""}
    return {
        "host": host,
        "version": found.version,
        "until": _iso(found.question["until"]),
        "requests": found.count,
        "in_other_ledgers": twice,
        "electricity": power["status"],
        "watts": power["watts"],
        "usd_per_kwh": power["usd_per_kwh"],
        **{name: found.bottom_line[name] for name in _OF_THE_MACHINE},
        "baselines": sorted({row["baseline"] for row in priced}),
        "price_dates": sorted(dates),
    }


def _own(told: Mapping[str, Handed]) -> list[dict[str, Any]]:
    """The tool's own traffic, which is in no figure."""
    return [
        {"host": host, **{name: row[name] for name in ("purpose", "requests", "cloud_usd")}}
        for host, each in told.items()
        for row in each.own
    ]


def _relayed(told: Mapping[str, Handed], missing: set[str]) -> Iterator[dict[str, Any]]:
    """What hosts answered for others whose ledgers are not here: it is counted nowhere in the bill."""
    for host, each in told.items():
        for row in each.relayed:
            asking = str(row["key"]).removeprefix("relay.")
            if asking in missing or asking not in told:
                yield {
                    "host": host,
                    "asking": asking,
                    "requests": row["requests"],
                    "output_tokens": row["output_tokens"],
                }


def _iso(moment: float) -> str:
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).isoformat(timespec="seconds")
