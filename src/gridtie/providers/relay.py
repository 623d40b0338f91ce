"""What the routers of a pool say to each other beside requests: what a station can take, a slot that it holds. Pure.

A station says in its list of models how many requests of others it could begin now (`Offer`). A router that has a
request sends it there with `now` in `HEADER`, and is refused at once where no slot is free after all. Then it asks all
stations of the kind for a slot (`PATH`), and sends the request to the first that holds one, with that slot in `HEADER`.
A station holds a slot for as long as the connection that asked for it is open, and for `HELD_SECONDS` at most.

Routers of before know none of this: they let a request wait for a slot, whatever its header says.
"""

from __future__ import annotations

from contextlib import suppress

import msgspec

PATH = "/gridtie/slot"
HEADER = "x-gridtie-slot"
# In the place of a slot: begin at once, or refuse.
NOW = "now"

# Seconds that a slot is held for whoever asked: a router that was given one sends its request in the same moment.
HELD_SECONDS = 5.0

# More than any machine serves at once; a number beyond it is damaged or hostile.
_MOST = 1_000_000


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What a station can take of other routers, for one of its models."""

    # Requests that could begin now.
    free: int
    # Whether its engine answers, and has the model in memory (None: it does not say).
    ready: bool = True
    loaded: bool | None = None


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a request for a slot: for which model, and how many seconds it would be waited for."""

    model: str
    wait: float = 0.0


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: the name of the slot that is held."""

    slot: str


def read_offer(found: object) -> Offer | None:
    """What a listing says under `gridtie` of a model; None where it says nothing that makes sense."""
    if not isinstance(found, dict) or not isinstance(found.get("offer"), dict):
        return None
    with suppress(msgspec.ValidationError):
        offer = msgspec.convert(found["offer"], Offer)
        return offer if 0 <= offer.free <= _MOST else None
    return None


def read_held(body: bytes) -> str:
    """The slot of an answer; "" where there is none in it."""
    with suppress(msgspec.DecodeError, UnicodeDecodeError):
        slot = msgspec.json.decode(body, type=Held).slot
        # It goes into a header.
        return slot if slot.isascii() and slot.isprintable() and 0 < len(slot) <= 200 else ""
    return ""


class _Error(msgspec.Struct, frozen=True):
    code: str | int | None = None


class _Refused(msgspec.Struct, frozen=True):
    error: _Error = _Error()


def says_busy(body: bytes) -> bool:
    """Whether a refusal is for want of a slot, and for nothing else."""
    with suppress(msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.json.decode(body, type=_Refused).error.code == "busy"
    return False
