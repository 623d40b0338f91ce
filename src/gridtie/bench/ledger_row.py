"""The ledger's row of a request that was just answered."""

from __future__ import annotations

from collections.abc import Mapping
from time import sleep
from typing import Any

from gridtie.bench.target import Router
from gridtie.host.router import Declined, Unreachable

# The ledger knows a request a moment after its last byte.
_TRIES = 20
_WAIT_S = 0.1


def row_of(router: Router, request_id: str) -> Mapping[str, Any]:
    """Wait for the row; empty where there is none."""
    for _ in range(_TRIES if request_id else 0):
        try:
            row: Mapping[str, Any] = router.get(f"/gridtie/requests/{request_id}")
        except (Declined, Unreachable):
            sleep(_WAIT_S)
        else:
            return row
    return {}
