"""Every request is metered once: a ledger row, the metrics, a line in the log."""

from __future__ import annotations

import logging
from time import time

from gridtie.config.names import PRIVATE
from gridtie.dialects.types import Usage
from gridtie.gateway.errors import Fault
from gridtie.gateway.log import AccessLog
from gridtie.gateway.settings import Loaded
from gridtie.gateway.telemetry import Telemetry
from gridtie.ledger.entry import CLIENT_LEFT, Entry
from gridtie.ledger.ledger import Ledger
from gridtie.ledger.prices import Charge
from gridtie.routing.outcome import Outcome
from gridtie.routing.plan import PlannedAttempt

log = logging.getLogger("gridtie.metering")

# What was refused or failed costs nothing, and has no price.
_NOTHING = Charge(None, None)
_NO_TOKENS = Usage(input=0, output=0)


class Metering:
    """What a request used and cost, by the configuration that it was admitted by."""

    def __init__(self, ledger: Ledger, telemetry: Telemetry, log: AccessLog) -> None:
        self._ledger = ledger
        self._telemetry = telemetry
        self._log = log

    @property
    def fault(self) -> str:
        """Why nothing can be metered now; "" while all is well."""
        return self._ledger.fault

    def begin(self, outcome: Outcome, planned: PlannedAttempt) -> None:
        """An attempt at a cloud is about to be sent: it may bill, whatever becomes of us. Raises `LedgerError`."""
        info = outcome.info
        self._ledger.begin(
            info.id,
            planned.target.id,
            time(),
            key=info.key,
            environment=info.environment,
            reserve_usd=planned.reserve_usd,
        )

    def settle(self, outcome: Outcome, loaded: Loaded, fault: Fault | None = None) -> Charge:
        """Enter a request that has come to its end; call before its last bytes leave.

        Raises `LedgerError`: then it must not look complete to the client.
        """
        usage = outcome.tokens()
        charge = _NOTHING if usage is None else self._charge(outcome, loaded, usage)
        entry = _entry(outcome, loaded, usage or _NO_TOKENS, charge, fault)
        if entry.over_reserved:
            # What a budget allows was reserved before; the provider bills by rules that we do not know.
            log.error(
                "%s: %s billed $%.6f, above the $%.6f that were reserved; check its prices (providers.*.prices)",
                entry.id,
                entry.target,
                charge.cost_usd or 0.0,
                entry.reserved_usd,
            )
            self._telemetry.over_reserved += 1
        row = self._ledger.record(entry)
        self._telemetry.observe(entry, outcome)
        self._log.request(row)
        return charge

    def _charge(self, outcome: Outcome, loaded: Loaded, usage: Usage) -> Charge:
        target = outcome.target
        if target is None:
            return _NOTHING
        overrides = loaded.targets.price_overrides
        return loaded.prices.charge(target.id, target.locality, outcome.plan.baseline, usage, overrides)


def _entry(outcome: Outcome, loaded: Loaded, usage: Usage, charge: Charge, fault: Fault | None) -> Entry:
    info, plan, planned, target, station = (
        outcome.info,
        outcome.plan,
        outcome.planned,
        outcome.target,
        loaded.station,
    )
    return Entry(
        id=info.id,
        time=outcome.time,
        key=info.key,
        environment=info.environment,
        surface=info.surface,
        asked=info.alias,
        status=_status(outcome, fault),
        agent=info.agent,
        tags=tuple(sorted(info.tags)) if info.tags else (),
        private=PRIVATE in info.tags,
        stream=info.stream,
        purpose=info.purpose,
        rule=plan.rule,
        target=target.id if target is not None else None,
        locality=target.locality if target is not None else None,
        served=target.model if target is not None else None,
        engine=target.engine if target is not None else "",
        engine_version=target.engine_version if target is not None else "",
        digest=target.digest if target is not None else "",
        tries=tuple(outcome.tries),
        input_tokens=usage.input,
        output_tokens=usage.output,
        cached_tokens=usage.cached,
        cache_write_tokens=usage.cache_write,
        reasoning_tokens=usage.reasoning,
        estimated=usage.estimated,
        choices=info.choices,
        output_limit=planned.output_limit if planned is not None else None,
        reserved_usd=planned.reserve_usd if planned is not None else 0.0,
        complete=outcome.complete and fault is None,
        first_token=outcome.first_token,
        duration=outcome.duration,
        waited=outcome.waited,
        code=fault.code if fault is not None else "",
        error=_reason(outcome, fault),
        cost_usd=charge.cost_usd,
        baseline=plan.baseline,
        baseline_usd=charge.baseline_usd,
        price_date=loaded.prices.date,
        prices=charge.prices,
        project=station.project if station is not None else "",
        station=station.endpoint if station is not None else "",
    )


def _status(outcome: Outcome, fault: Fault | None) -> int:
    if outcome.committed:
        return 200
    if fault is not None:
        return fault.status
    return CLIENT_LEFT if outcome.gone else 200


def _reason(outcome: Outcome, fault: Fault | None) -> str:
    """In our words: what upstream said, and what the client is told of it, may quote the prompt."""
    if outcome.failure is not None:
        return outcome.failure.message
    return fault.message if fault is not None else ""
