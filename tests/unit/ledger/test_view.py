"""Whatever a row is, it is one thing, it was answered in one place, and its money adds up."""

from __future__ import annotations

import sqlite3

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gridtie.ledger import Entry, Try
from gridtie.ledger.schema import MIGRATIONS
from gridtie.ledger.store import _COLUMNS, _RARE, _rare, _row
from standins.ledger import BASELINE, CLOUD, LOCAL

MONEY = st.one_of(st.none(), st.floats(0, 100, allow_nan=False))
PLACES = st.sampled_from([(None, None), (LOCAL, "local"), (CLOUD, "cloud")])
OUTCOMES = ["ok", "busy", "broken", "invalid", "cancelled", "skipped"]
TRIES = st.lists(
    st.builds(
        lambda place, outcome: Try(target=place[0], locality=place[1], outcome=outcome),
        st.sampled_from([(LOCAL, "local"), (CLOUD, "cloud")]),
        st.sampled_from(OUTCOMES),
    ),
    max_size=3,
).map(tuple)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    """Any row, also those that no router should write."""
    target, locality = draw(PLACES)
    return Entry(
        id="a",
        time=1.0,
        key="k",
        environment="dev",
        surface="openai",
        asked="coder",
        status=draw(st.sampled_from([200, 400, 402, 499, 502, 503])),
        complete=draw(st.booleans()),
        target=target,
        locality=locality,
        tries=draw(TRIES),
        input_tokens=draw(st.integers(0, 10**6)),
        output_tokens=draw(st.integers(0, 10**6)),
        estimated=draw(st.booleans()),
        private=draw(st.booleans()),
        cost_usd=draw(MONEY),
        baseline=draw(st.sampled_from(["", BASELINE])),
        baseline_usd=draw(MONEY),
        reserved_usd=draw(st.floats(0, 1)),
        purpose=draw(st.sampled_from(["", "doctor"])),
    )


def metered(entry: Entry) -> sqlite3.Row:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.row_factory = sqlite3.Row
    for step in MIGRATIONS:
        connection.executescript(step)
    sent = len([tried for tried in entry.tries if tried.locality == "cloud" and tried.outcome != "skipped"])
    columns = (*_COLUMNS, *_RARE)
    values = ", ".join("?" * len(columns))
    connection.execute(
        f"INSERT INTO requests ({', '.join(columns)}) VALUES ({values})", (*_row(entry, sent, 0), *_rare(entry))
    )
    (found,) = connection.execute("SELECT * FROM metered").fetchall()
    connection.close()
    return found  # type: ignore[no-any-return]


@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(entries())
def test_every_row_is_one_thing_and_costs_only_what_was_served(entry: Entry) -> None:
    row = metered(entry)

    assert sum(row[name] for name in ("answered", "refused", "failed", "interrupted", "cancelled")) == 1
    assert sum(row[name] for name in ("local", "cloud", "nowhere")) == 1
    if row["refused"] or row["failed"]:
        assert (row["cost_usd"], row["baseline_usd"], row["input_tokens"], row["unpriced"]) == (0, 0, 0, 0)
    if not row["answered"] or not entry.baseline:
        assert row["baseline_usd"] == 0
    # The ledger's sums and the budgets' go by one rule.
    if entry.locality == "cloud":
        assert (row["cost_usd"] or 0.0) == entry.billed_usd
        assert bool(row["over_reserved"]) is entry.over_reserved
    assert row["unpriced"] == (row["cost_usd"] is None or row["baseline_usd"] is None)
