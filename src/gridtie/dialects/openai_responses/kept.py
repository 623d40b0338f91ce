"""Going on from an answer of before, and showing it again: what of it is to be kept; pure.

Items are kept as the JSON that they are, with commas between: those of the conversation, behind them the answer's.
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
_NOTHING, _ASSISTANT = _Raw(b"[]"), _Raw(b'"assistant"')


class Earlier(msgspec.Struct, frozen=True):
    """What a conversation came to with an answer: all items, and where they may go.

    `private`: they are to stay on this machine. `stays`: no cloud may have them. Of the items the first `put` bytes are
    what was asked; `response` is the answer without its items.
    """

    items: bytes
    private: bool = False
    stays: bool = False
    put: int = 0
    response: bytes = b""

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return len(self.items) + len(self.response)


class Answer(msgspec.Struct, frozen=True):
    """An answer: its id, its items, and all else that it says."""

    id: str
    items: bytes
    response: bytes

    def earlier(self, put: bytes, *, private: bool, stays: bool) -> Earlier:
        """It behind the items that were put."""
        return Earlier(together(put, self.items), private, stays, len(put), self.response)


class _Final(msgspec.Struct):
    # Of a stream's last event.
    response: msgspec.Raw = NULL


class _Named(msgspec.Struct):
    # An item, of which nothing else is read.
    id: msgspec.Raw = NULL


_final = msgspec.json.Decoder(_Final).decode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_named = msgspec.json.Decoder(list[_Named]).decode
_string = msgspec.json.Decoder(str).decode
_encode = msgspec.json.Encoder().encode


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


def answered(last: bytes) -> Answer | None:
    """An answer, from its body or the last bytes of its stream; None where it has no id or no items."""
    body = last.rstrip().rpartition(_DATA)[2]
    try:
        final = _final(body).response
        response = _fields(body if final == NULL else final)
        id, output = _string(response["id"]), items(response["output"])
    except (*UNREADABLE, KeyError):
        return None
    return Answer(id, output, _encode(response | {"output": _NOTHING})) if output else None


def shown(earlier: Earlier) -> bytes:
    """The answer, as its client got it."""
    output = earlier.items[earlier.put :].removeprefix(b",")
    return _encode(_fields(earlier.response) | {"output": _Raw(b"[%b]" % output)})


class Asked(msgspec.Struct, frozen=True, gc=False):
    """An item of what was asked, not read but for its id: there may be hundreds of thousands."""

    id: str
    item: msgspec.Raw

    def listed(self) -> dict[str, Any]:
        """As OpenAI lists it: with its id, and a message with its text in parts."""
        return _listed(_fields(self.item)) | {"id": self.id}


def asked(earlier: Earlier, id: str) -> list[Asked]:
    """The items that it answers, those of the conversation before it among them; each has an id."""
    put = b"[%b]" % earlier.items[: earlier.put]
    name = id.removeprefix("resp_")
    return [
        Asked(_own_id(named.id) or f"in_{name}_{at}", item)
        for at, (named, item) in enumerate(zip(_named(put), _list(put), strict=True))
    ]


def _own_id(id: msgspec.Raw) -> str:
    """What its client calls it; "" where that is nothing to be found by."""
    if id == NULL:
        return ""
    try:
        return _string(id)
    except UNREADABLE:
        return ""


def _listed(item: dict[str, msgspec.Raw]) -> dict[str, Any]:
    listed: dict[str, Any] = {"type": "message"} | item
    content = item.get("content", NULL)
    if kind(content) == "a string":
        said = item.get("role") == _ASSISTANT
        part = {"type": "output_text", "annotations": []} if said else {"type": "input_text"}
        listed["content"] = [part | {"text": content}]
    return listed
