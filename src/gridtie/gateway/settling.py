"""Metering for a key with limits: what its request used is settled in the key's allowance as well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gridtie.gateway.allowance import Taken
from gridtie.gateway.errors import Fault
from gridtie.gateway.settings import Loaded
from gridtie.ledger.prices import Charge
from gridtie.routing.outcome import Outcome


class Meter(Protocol):
    """What a response tells of its end, once."""

    def settle(self, outcome: Outcome, loaded: Loaded, fault: Fault | None = None) -> Charge: ...


class Settling:
    """A `Meter` around another."""

    def __init__(self, meter: Meter, taken: Taken, clock: Callable[[], float]) -> None:
        self._meter = meter
        self._taken = taken
        self._clock = clock

    def settle(self, outcome: Outcome, loaded: Loaded, fault: Fault | None = None) -> Charge:
        """Also where it cannot be metered: it was used."""
        try:
            return self._meter.settle(outcome, loaded, fault)
        finally:
            usage = outcome.tokens()
            self._taken.settle(0 if usage is None else usage.input + usage.output, self._clock())
