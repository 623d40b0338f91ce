"""From an outcome to the client's bytes: headers, metering, and the words that a surface gives to errors."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache

from gridtie.dialects.types import Failure
from gridtie.gateway.error_format import ErrorFormat
from gridtie.gateway.errors import Fault, from_failure, from_refusal
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.settings import Loaded
from gridtie.gateway.settling import Meter
from gridtie.ledger.ledger import LedgerError
from gridtie.routing.outcome import Outcome
from gridtie.routing.plan import Refusal

log = logging.getLogger(__name__)

JSON = b"content-type: application/json\r\n"


class Response:
    """Answers one request; a `routing.ports.Client`."""

    __slots__ = ("_errors", "_exchange", "_keep", "_loaded", "_metering")

    def __init__(
        self,
        exchange: Exchange,
        errors: ErrorFormat,
        metering: Meter,
        loaded: Loaded,
        keep: Callable[[Outcome, bytes], None] | None = None,
    ) -> None:
        """`loaded`: the configuration that the request was admitted by, and is metered by. `keep` gets the answer, or
        the last bytes of its stream, before the client does: the next request may name it at once."""
        self._keep = keep
        self._loaded = loaded
        self._exchange = exchange
        self._errors = errors
        self._metering = metering

    def refuse(self, outcome: Outcome, refusal: Refusal) -> None:
        self._tell(outcome, from_refusal(refusal))

    def answer(self, outcome: Outcome, body: bytes) -> None:
        try:
            charge = self._metering.settle(outcome, self._loaded)
        except Exception as error:
            self._unmetered(outcome, error)
            return
        fields = JSON + _headers(outcome)
        if charge.cost_usd is not None:
            fields += b"x-gridtie-cost-usd: %.8f\r\n" % charge.cost_usd
        if charge.baseline_usd is not None:
            fields += b"x-gridtie-baseline-usd: %.8f\r\n" % charge.baseline_usd
        if self._keep is not None:
            self._keep(outcome, body)
        self._exchange.respond(200, fields, body)

    def sign_of_life(self, outcome: Outcome) -> None:
        comment = self._errors.comment("gridtie is waiting for the model")
        if self._exchange.started:
            self._exchange.write(comment)
        else:
            self._exchange.begin(200, self._stream_fields(outcome), comment)

    def commit(self, outcome: Outcome, data: bytes) -> Callable[[bytes], None]:
        if not self._exchange.started:
            self._exchange.begin(200, self._stream_fields(outcome), data)
        else:
            # The headers left before it was known who would answer.
            told = "; ".join(_headers(outcome).decode("latin-1").split("\r\n")[:-1])
            self._exchange.write(self._errors.comment(told) + data)
        return self._exchange.write

    def finish(self, outcome: Outcome, data: bytes) -> None:
        try:
            self._metering.settle(outcome, self._loaded)
        except Exception as error:
            self._unmetered(outcome, error)
        else:
            if self._keep is not None:
                self._keep(outcome, data)
            self._exchange.end(data)

    def fail(self, outcome: Outcome, failure: Failure) -> None:
        self._tell(outcome, from_failure(failure))

    def left(self, outcome: Outcome) -> None:
        try:
            self._metering.settle(outcome, self._loaded)
        except Exception:
            log.exception("%s: the client left, and what it used could not be metered", outcome.info.id)

    def _tell(self, outcome: Outcome, fault: Fault) -> None:
        try:
            self._metering.settle(outcome, self._loaded, fault)
        except Exception:
            # Whatever it was: the client must not wait for an error that is known.
            log.exception("%s: a failed request could not be entered", outcome.info.id)
        self._error(outcome, fault)

    def _unmetered(self, outcome: Outcome, error: Exception) -> None:
        """Whatever went wrong with metering, the client must not wait for ever, nor get what nobody counted."""
        known = isinstance(error, LedgerError)
        log.error("%s: not completed, since it could not be metered: %s", outcome.info.id, error, exc_info=not known)
        message = str(error) if known else "the answer could not be metered; the router's log says why"
        self._error(outcome, Fault(status=503, code="not_metered", message=message, retry_after=5))

    def _error(self, outcome: Outcome, fault: Fault) -> None:
        if self._exchange.started:
            self._exchange.end(self._errors.error_event(fault))
            return
        fields = JSON + _headers(outcome) + retry_fields(fault)
        self._exchange.respond(fault.status, fields, fault.body or self._errors.error(fault))

    def _stream_fields(self, outcome: Outcome) -> bytes:
        # x-accel-buffering: an nginx in front passes it on at once.
        return self._errors.stream_type + b"cache-control: no-cache\r\nx-accel-buffering: no\r\n" + _headers(outcome)


def retry_fields(fault: Fault) -> bytes:
    """Whether trying again helps, as header lines: SDKs try again after a 429 or a 5xx unless they are told."""
    if fault.retry_after is not None:
        return b"retry-after: %d\r\n" % fault.retry_after
    return b"" if fault.passes else b"x-should-retry: false\r\n"


def _headers(outcome: Outcome) -> bytes:
    """What was decided, as far as it is."""
    info, planned = outcome.info, outcome.planned
    if planned is None or (info.stream and not outcome.committed and outcome.failure is None):
        # Nothing is at work, or what is at work may fail, and another target answer.
        decided = _decided(outcome.plan.rule, "", "", None)
    else:
        target = planned.target
        decided = _decided(outcome.plan.rule, target.id, target.locality, planned.output_limit)
    return b"x-gridtie-request-id: %b\r\n%bx-gridtie-attempts: %d\r\n" % (info.id.encode(), decided, outcome.attempts)


@lru_cache(maxsize=1024)
def _decided(rule: str, target: str, locality: str, output_limit: int | None) -> bytes:
    lines = [f"x-gridtie-rule: {rule}"]
    if target:
        lines += [f"x-gridtie-target: {target}", f"x-gridtie-locality: {locality}"]
    if output_limit is not None:
        lines.append(f"x-gridtie-output-limit: {output_limit}")
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1", "replace")
