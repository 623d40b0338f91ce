"""Every fault of an upstream, against a real router process: `make faults` prints the same as a table."""

from __future__ import annotations

import pytest

from faults.play import play
from faults.table import CLIENTS, cells, rows
from faults.upstream import FAULTS
from standins.router import run

# About 25 s where every cell is right; one that hangs waits out the table's own patience.
LIMIT_S = 300.0


@pytest.mark.timeout(LIMIT_S + 20)
@pytest.mark.parametrize("client", CLIENTS)
def test_every_fault_comes_to_what_the_table_says_and_leaves_nothing_behind(client: str) -> None:
    """Whole, well-formed, in time, in the words of one target, and as the ledger says; no slot stays taken."""
    verdicts, after = run(lambda: play(cells(client), client), LIMIT_S)
    wrong = [f"{verdict.cell.name}: {'; '.join(verdict.wrong)}" for verdict in verdicts if verdict.wrong]

    assert wrong + after == []


def test_every_fault_that_can_be_played_is_in_the_table_and_the_other_way_round() -> None:
    assert {fault for row in rows() for fault in row.faults} == set(FAULTS)
