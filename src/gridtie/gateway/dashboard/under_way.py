"""Requests that have not come to their end: what is known of each, and how one is ended (`POST /dashboard/cancel`)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from gridtie.config.names import PRIVATE
from gridtie.gateway.admin.answer import refuse, tell
from gridtie.gateway.dashboard.sign_in import PATH, SignIn, from_our_page
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.routes import Route
from gridtie.routing.plan import Refusal
from gridtie.routing.request import OVER, TRYING, Request
from gridtie.routing.runner import Runner

log = logging.getLogger("gridtie.dashboard")

# nginx's word for a client that left: that is what it is metered as, and SDKs do not ask again after it.
_ENDED = 499


class _Cancel(msgspec.Struct, frozen=True):
    id: str


class UnderWay:
    """All requests that are in flight."""

    def __init__(self, runner: Runner, sign_in: SignIn) -> None:
        self._runner = runner
        self._sign_in = sign_in

    def routes(self) -> Iterable[Route]:
        """The paths it answers."""
        return (Route(path=f"{PATH}/cancel", post=self.cancel, public=True),)

    def requests(self) -> Iterator[Request]:
        """Those that somebody still waits for."""
        return (each for each in self._runner.under_way() if each.phase is not OVER)

    def find(self, id: str) -> Request | None:
        """One of them."""
        return next((each for each in self.requests() if each.info.id == id), None)

    def cancel(self, exchange: Exchange) -> None:
        """End a request: one's own, or as an admin anybody's."""
        viewer = self._sign_in.viewer(exchange)
        if viewer is None or not from_our_page(exchange):
            return
        try:
            id = msgspec.json.decode(exchange.body, type=_Cancel).id
        except (msgspec.DecodeError, UnicodeDecodeError):
            refuse(exchange, 400, "invalid_body", 'the body is no {"id": "..."}')
            return
        request = self.find(id)
        # Whose it is stays unsaid: to others it does not exist.
        if request is None or not viewer.sees(request.info.key):
            refuse(
                exchange, 404, "not_found", f"no request {id[:80]!r} of yours is under way; it may have ended by itself"
            )
            return
        by, whose = viewer.key.name, request.info.key
        log.info('"%s" ends the request %s of "%s" at the dashboard', by, id, whose)
        request.end_for(Refusal(status=_ENDED, code="cancelled", message=f'ended by "{by}" at the dashboard'))
        tell(exchange, {"id": id})


def row(request: Request, now: float) -> dict[str, Any]:
    """What is shown of one; `now` in monotonic seconds. No text of it is here to be shown."""
    info, outcome = request.info, request.outcome
    return {
        "id": info.id,
        "key": info.key,
        "environment": info.environment,
        "agent": info.agent,
        "asked": info.alias,
        "private": PRIVATE in info.tags,
        "purpose": info.purpose,
        "rule": outcome.plan.rule,
        "target": outcome.planned.target.id if outcome.planned is not None else None,
        "phase": phase(request),
        "age": now - outcome.started,
        "first_token": outcome.first_token,
        "tokens": outcome.frames,
        "attempts": outcome.attempts,
    }


def phase(request: Request) -> str:
    """How far it is, in a word."""
    if request.outcome.first_token is not None:
        return "answering"
    if request.phase is not TRYING:
        return "pausing"
    return "waiting for the model" if request.outcome.planned is not None else "waiting for a slot"
