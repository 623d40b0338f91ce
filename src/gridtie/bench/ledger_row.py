"""The ledger's row of a request that was just answered."""

from __future__ import annotations

from time import sleep

import msgspec

from gridtie.bench.lines import Facts
from gridtie.bench.target import Router
from gridtie.host.router import Declined, Unreachable
from gridtie.ledger import Entry

# The ledger knows a request a moment after its last byte.
_TRIES = 20
_WAIT_S = 0.1


def row_of(router: Router, request_id: str) -> Entry | None:
    """Wait for the row; None where there is none."""
    for _ in range(_TRIES if request_id else 0):
        try:
            return msgspec.convert(router.get(f"/gridtie/requests/{request_id}"), Entry)
        except (Declined, Unreachable):
            sleep(_WAIT_S)
        except msgspec.ValidationError:
            return None
    return None


def settled(row: Entry | None) -> float | None:
    """What a request was billed; None where that is not known, or tokens were estimated."""
    return None if row is None or row.estimated else row.cost_usd


def facts_of(row: Entry) -> Facts:
    """What answered it."""
    return Facts(engine=row.engine, engine_version=row.engine_version, digest=row.digest)
