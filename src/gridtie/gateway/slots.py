"""`POST /gridtie/slot`: another station's router stands in line for a slot here, and then sends its request with it.

It is held as long as the connection that asked for it is open, and for `relay.HELD_SECONDS` at most; whoever asks
stands in the engine's own line, in order of arrival with the station's own requests.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable
from time import monotonic

import msgspec

from gridtie.gateway.admin.answer import refuse
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.keys import Key
from gridtie.gateway.response import JSON
from gridtie.gateway.routes import Route
from gridtie.providers import relay
from gridtie.providers.target import Target
from gridtie.routing.decide import decide
from gridtie.routing.plan import PlannedAttempt, RequestInfo
from gridtie.routing.state import Lease, State

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(relay.Wanted).decode


class Slots:
    """Those that stand in line, and the slots that are held. Belongs to the event loop's thread."""

    def __init__(self, state: State, loop: asyncio.AbstractEventLoop) -> None:
        self._state = state
        self._loop = loop
        self._places: set[_Place] = set()
        # By the name of the slot.
        self._held: dict[str, _Place] = {}

    def routes(self) -> Iterable[Route]:
        """The path it answers."""
        return (Route(path=relay.PATH, post=self.ask, relay=True),)

    def ask(self, exchange: Exchange) -> None:
        """Hold a slot as soon as there is one, and say so."""
        key, loaded = exchange.head.key, exchange.head.loaded
        if key is None or not key.relay:
            refuse(
                exchange, 403, "not_a_relay", f"{relay.PATH} is for routers of other stations, with their relay keys"
            )
            return
        try:
            wanted = _decode(exchange.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            refuse(exchange, 400, "invalid_body", f"this does not ask for a slot: {error}")
            return
        now = monotonic()
        plan = decide(_info(exchange, key, wanted.model), loaded.policy, self._state.snapshot(now))
        if plan.refusal is not None:
            refuse(exchange, plan.refusal.status, plan.refusal.code, plan.refusal.message)
            return
        place = _Place(self, exchange, key.name)
        self._places.add(place)
        seconds = min(max(0.0, wanted.wait), loaded.routing.timeouts.total)
        if place.stand(self._state, plan.attempts[0], now + seconds, self._loop):
            exchange.listener = place

    def take(self, slot: str, owner: str) -> Lease | None:
        """The slot of this name, where this router was given it and it is still held."""
        place = self._held.get(slot)
        return place.taken() if place is not None and place.owner == owner else None

    def offer(self, target: Target) -> relay.Offer:
        """What of an engine could be had now."""
        return self._state.offer(target)

    def drain(self) -> None:
        """The router goes down: whoever stands in line is to stand elsewhere. What is held may still be used."""
        for place in [each for each in self._places if not each.slot]:
            place.end(503, "going_down", "the router is going down")

    def hold(self, place: _Place) -> None:
        self._held[place.slot] = place

    def left(self, place: _Place) -> None:
        self._places.discard(place)
        self._held.pop(place.slot, None)


class _Place:
    """One router in line, and then the slot that is held for it. The exchange's listener: `cancel` when it leaves."""

    def __init__(self, slots: Slots, exchange: Exchange, owner: str) -> None:
        self.owner = owner
        # Its name; "" while there is none.
        self.slot = ""
        self._slots = slots
        self._exchange = exchange
        self._lease: Lease | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def stand(self, state: State, attempt: PlannedAttempt, end: float, loop: asyncio.AbstractEventLoop) -> bool:
        """Take a slot, or wait for one until `end` (monotonic); False where the answer is given already."""
        lease = state.reserve(attempt)
        if lease is not None:
            self._hold(lease, loop)
        elif end > monotonic():
            self._task = loop.create_task(self._wait(state, attempt, end, loop))
        else:
            self._none()
        return lease is not None or self._task is not None

    async def _wait(self, state: State, attempt: PlannedAttempt, end: float, loop: asyncio.AbstractEventLoop) -> None:
        lease = await state.wait(attempt, end)
        self._task = None
        if lease is None:
            self._none()
        else:
            self._hold(lease, loop)

    def _none(self) -> None:
        self.end(429, "busy", "every slot is taken")

    def _hold(self, lease: Lease, loop: asyncio.AbstractEventLoop) -> None:
        self._lease, self.slot = lease, secrets.token_urlsafe(16)
        self._slots.hold(self)
        self._timer = loop.call_later(relay.HELD_SECONDS, self.cancel)
        # The answer stays open: while it does, the slot is held.
        self._exchange.begin(200, JSON, _encode(relay.Held(slot=self.slot)))

    def taken(self) -> Lease | None:
        """The slot, for the request that came with it: it is that one's to give back."""
        lease, self._lease = self._lease, None
        self._over()
        self._exchange.end()
        return lease

    def end(self, status: int, code: str, message: str) -> None:
        """There is no slot to be had."""
        self._over()
        refuse(self._exchange, status, code, message)

    def cancel(self) -> None:
        """Whoever asked has gone, or does not come for it. Idempotent."""
        lease, self._lease = self._lease, None
        self._over()
        if lease is not None:
            lease.release()
        if self.slot:
            self._exchange.end()

    def _over(self) -> None:
        self._slots.left(self)
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def pause(self) -> None:
        """It is a few bytes."""

    def resume(self) -> None:
        """It is a few bytes."""


def _info(exchange: Exchange, key: Key, model: str) -> RequestInfo:
    """The request that it will be, as far as it matters which engine has a slot for it."""
    return RequestInfo(
        id=exchange.id, surface="openai", alias=model, environment=key.environments[0], key=key.name, relayed=True
    )
