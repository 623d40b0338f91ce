"""Every request ends in the books once: a ledger row, the metrics, a line in the log."""

from __future__ import annotations

from time import time

from gridtie.config.names import PRIVATE
from gridtie.gateway.errors import Fault
from gridtie.gateway.log import AccessLog
from gridtie.gateway.telemetry import Telemetry
from gridtie.ledger.entry import Entry
from gridtie.ledger.ledger import Ledger, LedgerError
from gridtie.ledger.prices import Charge
from gridtie.providers.registry import Targets
from gridtie.routing.outcome import Outcome
from gridtie.routing.plan import PlannedAttempt

_NOTHING = Charge(None, None)


class Metering:
    """Keeps them. `targets` is replaced when the configuration is."""

    def __init__(self, ledger: Ledger, telemetry: Telemetry, log: AccessLog) -> None:
        self.targets: Targets
        self._ledger = ledger
        self._prices = ledger.prices
        self._telemetry = telemetry
        self._log = log

    @property
    def fault(self) -> str:
        """Why nothing can be metered now; "" while all is well."""
        return self._ledger.fault

    def begin(self, outcome: Outcome, attempt: PlannedAttempt) -> None:
        """An attempt at a cloud is about to be sent: it may bill, whatever becomes of us. Raises `LedgerError`."""
        ask = outcome.ask
        self._ledger.begin(
            ask.id,
            attempt.target.id,
            time(),
            key=ask.key,
            environment=ask.environment,
            reserve_usd=attempt.reserve_usd,
        )

    def settle(self, outcome: Outcome, fault: Fault | None = None) -> Charge:
        """Enter a request that has come to its end; call before its last bytes leave.

        Raises `LedgerError`: then it must not look complete to the client.
        """
        ask, plan, target = outcome.ask, outcome.plan, outcome.target
        usage = outcome.tokens()
        charge = _NOTHING
        if usage is not None and target is not None:
            overrides = self.targets.price_overrides
            charge = self._prices.charge(target.id, target.locality, plan.baseline, usage, overrides)
        # 499 is nginx's word for a client that left before there was a status.
        status = fault.status if fault is not None and not outcome.committed else 499 if _unseen(outcome) else 200
        entry = Entry(
            id=ask.id,
            time=outcome.time,
            key=ask.key,
            environment=ask.environment,
            surface=ask.surface,
            asked=ask.alias,
            status=status,
            agent=ask.agent,
            tags=tuple(sorted(ask.tags)) if ask.tags else (),
            private=PRIVATE in ask.tags,
            stream=ask.stream,
            rule=plan.rule,
            target=target.id if target is not None else None,
            locality=target.locality if target is not None else None,
            served=target.model if target is not None else None,
            tries=tuple(outcome.tries),
            input_tokens=usage.input if usage is not None else 0,
            output_tokens=usage.output if usage is not None else 0,
            cached_tokens=usage.cached if usage is not None else 0,
            cache_write_tokens=usage.cache_write if usage is not None else 0,
            estimated=usage.estimated if usage is not None else False,
            complete=outcome.complete and fault is None,
            first_token=outcome.first_token,
            duration=outcome.duration,
            error=fault.message if fault is not None else "",
            cost_usd=charge.cost_usd,
            baseline=plan.baseline,
            baseline_usd=charge.baseline_usd,
            price_date=self._prices.date,
        )
        row = self._ledger.record(entry)
        self._telemetry.observe(entry, outcome)
        self._log.request(row)
        return charge


def _unseen(outcome: Outcome) -> bool:
    return outcome.gone and not outcome.committed


__all__ = ["LedgerError", "Metering"]
