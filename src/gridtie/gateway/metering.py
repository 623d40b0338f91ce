"""Every request is metered once: a ledger row, the metrics, a line in the log."""

from __future__ import annotations

import logging
from time import time

import msgspec

from gridtie.config.names import PRIVATE
from gridtie.dialects.types import Usage
from gridtie.gateway.errors import Fault
from gridtie.gateway.log import AccessLog
from gridtie.gateway.settings import Loaded
from gridtie.gateway.telemetry import Telemetry
from gridtie.ledger.entry import CLIENT_LEFT, Entry
from gridtie.ledger.ledger import Ledger
from gridtie.ledger.prices import Charge
from gridtie.providers.target import Target
from gridtie.routing.outcome import Outcome
from gridtie.routing.plan import PlannedAttempt

log = logging.getLogger("gridtie.metering")

# What was refused or failed costs nothing, and has no price.
_NOTHING = Charge(None, None)
_NO_TOKENS = Usage(input=0, output=0)


class _Nowhere(msgspec.Struct, frozen=True):
    """What stands in a row for the target of a request that nothing answered."""

    id: None = None
    locality: None = None
    model: None = None
    engine: str = ""
    engine_version: str = ""
    digest: str = ""


class _Nothing(msgspec.Struct, frozen=True):
    """The same for an attempt that was never made."""

    output_limit: None = None
    reserve_usd: float = 0.0


_NOWHERE, _NOT_PLANNED = _Nowhere(), _Nothing()


class Metering:
    """What a request used and cost, by the configuration that it was admitted by."""

    def __init__(self, ledger: Ledger, telemetry: Telemetry, log: AccessLog) -> None:
        self.ledger = ledger
        self._telemetry = telemetry
        self._log = log

    def begin(self, outcome: Outcome, planned: PlannedAttempt) -> None:
        """An attempt at a cloud is about to be sent: it may bill, whatever becomes of us. Raises `LedgerError`."""
        info = outcome.info
        self.ledger.begin(
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
        usage, target = outcome.tokens(), outcome.target
        charge = _NOTHING
        if usage is not None and target is not None:
            overrides = loaded.targets.price_overrides
            charge = loaded.prices.charge(target.id, target.locality, outcome.plan.baseline, usage, overrides)
        entry = _entry(outcome, loaded, usage or _NO_TOKENS, charge, fault)
        if entry.reserved_usd and entry.over_reserved:
            # What a budget allows was reserved before; the provider bills by rules that we do not know.
            log.error(
                "%s: %s billed $%.6f, above the $%.6f that were reserved; check its prices (providers.*.prices)",
                entry.id,
                entry.target,
                charge.cost_usd or 0.0,
                entry.reserved_usd,
            )
            self._telemetry.over_reserved += 1
        row = self.ledger.record(entry)
        asked = loaded.targets.named(entry.asked or loaded.routing.defaults.alias)
        self._telemetry.observe(entry, outcome, "" if asked is None else asked.name)
        self._log.request(row)
        if outcome.trace is not None:
            outcome.trace.ended(outcome, entry)
        return charge


def _entry(outcome: Outcome, loaded: Loaded, usage: Usage, charge: Charge, fault: Fault | None) -> Entry:
    info, plan = outcome.info, outcome.plan
    whole = fault is None and outcome.failure is None and outcome.refusal is None and not outcome.gone
    target: Target | _Nowhere = outcome.target or _NOWHERE
    planned: PlannedAttempt | _Nothing = outcome.planned or _NOT_PLANNED
    # In the order of its fields: forty names would cost as much as the whole decision.
    return Entry(
        info.id,
        outcome.time,
        info.key,
        info.environment,
        info.surface,
        info.alias,  # asked
        200 if outcome.committed or whole else _status(fault),  # status
        info.agent,
        tuple(sorted(info.tags)) if info.tags else (),  # tags
        PRIVATE in info.tags,  # private
        info.stream,
        plan.rule,
        target.id,  # target
        target.locality,
        target.model,  # served
        tuple(outcome.tries),  # tries
        usage.input,  # input_tokens
        usage.output,  # output_tokens
        usage.cached,  # cached_tokens
        usage.cache_write,  # cache_write_tokens
        usage.estimated,
        whole,  # complete
        outcome.first_token,
        outcome.duration,
        "" if fault is None else _reason(outcome, fault),  # error
        charge.cost_usd,
        plan.baseline,
        charge.baseline_usd,
        loaded.prices.date,  # price_date
        info.purpose,
        "" if fault is None else fault.code,
        usage.reasoning,  # reasoning_tokens
        outcome.waited,
        target.engine,
        target.engine_version,
        target.digest,
        charge.prices,
        loaded.project,
        loaded.endpoint,  # station
        planned.reserve_usd,  # reserved_usd
        info.choices,
        planned.output_limit,
    )


def _status(fault: Fault | None) -> int:
    """Of a request that was not answered: with an error, or not at all, since its client had left."""
    return CLIENT_LEFT if fault is None else fault.status


def _reason(outcome: Outcome, fault: Fault) -> str:
    """In our words: what upstream said, and what the client is told of it, may quote the prompt."""
    return fault.message if outcome.failure is None else outcome.failure.message
