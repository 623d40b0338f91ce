"""Going on from an answer of before: its items before those of a request, and what of an answer is to be kept; pure.

Items are kept as the JSON that they are, with commas between.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gridtie.dialects.body import NULL
from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.found import kind

_Raw = msgspec.Raw
_MESSAGE = b'{"type":"message","role":"user","content":%b}'
_DATA = b"\ndata: "


class Earlier(msgspec.Struct, frozen=True):
    """What a conversation came to with an answer: all items, and where they may go.

    `private`: they are to stay on this machine. `stays`: no cloud may have them.
    """

    items: bytes
    private: bool = False
    stays: bool = False


class _Response(msgspec.Struct):
    id: Any = None
    output: msgspec.Raw = NULL


class _Final(_Response):
    # Of a stream's last event.
    response: _Response | None = None


_final = msgspec.json.Decoder(_Final).decode


def items(given: msgspec.Raw) -> bytes:
    """The items of an `input` in either of its forms; none of what is no such thing."""
    match kind(given):
        case "a list":
            return bytes(given).strip()[1:-1].strip()
        case "a string":
            return _MESSAGE % bytes(given)
    return b""


def together(*parts: bytes) -> bytes:
    """Items behind items."""
    return b",".join(part for part in parts if part)


def going_on(earlier: Earlier, given: msgspec.Raw) -> msgspec.Raw:
    """The `input` of a request that goes on; one of a wrong type stays, to be refused as in any other request."""
    if kind(given) not in ("a list", "a string", "null"):
        return given
    return _Raw(b"[%b]" % together(earlier.items, items(given)))


def answered(last: bytes) -> tuple[str, bytes] | None:
    """Id and items of an answer, from its body or the last bytes of its stream; None where it has none."""
    body = last.rstrip().rpartition(_DATA)[2]
    try:
        final = _final(body)
    except UNREADABLE:
        return None
    response = final.response or final
    output = items(response.output)
    return (response.id, output) if isinstance(response.id, str) and output else None
