"""The numbers of a chat request, each with its type, sign and range: checked once, for every target."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import msgspec

from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.found import kind
from gridtie.dialects.types import InvalidRequest

_NULL = msgspec.Raw(b"null")
_LARGEST = 2**31 - 1
# Shown in an error as it stands up to this length; a longer one by its length.
_SHOWN = 24


class _Range(msgspec.Struct, frozen=True):
    low: float
    high: float
    whole: bool = False

    @property
    def wanted(self) -> str:
        return f"{'an integer' if self.whole else 'a number'} from {self.low:.17g} to {self.high:.17g}"


# Ranges are OpenAI's where every server holds to them, and wider where llama.cpp, vLLM or Ollama take more.
NUMBERS = {
    "max_tokens": _Range(1, _LARGEST, whole=True),
    "max_completion_tokens": _Range(1, _LARGEST, whole=True),
    "n": _Range(1, 128, whole=True),
    "temperature": _Range(0, 100),
    "top_p": _Range(0, 1),
    "min_p": _Range(0, 1),
    # -1, and 0 at llama.cpp, switch it off.
    "top_k": _Range(-1, _LARGEST, whole=True),
    "seed": _Range(-(2**63), 2**63 - 1, whole=True),
    "frequency_penalty": _Range(-100, 100),
    "presence_penalty": _Range(-100, 100),
    "repeat_penalty": _Range(0, 100),
    "repetition_penalty": _Range(0, 100),
    "top_logprobs": _Range(0, 1000, whole=True),
}


# Each number as a type that a decoder checks, range and all.
_TYPES = {
    name: Annotated[int if allowed.whole else float, msgspec.Meta(ge=allowed.low, le=allowed.high)]
    for name, allowed in NUMBERS.items()
}
_DECODERS: dict[str, Callable[[msgspec.Raw], float]] = {
    name: msgspec.json.Decoder(type).decode for name, type in _TYPES.items()
}


if TYPE_CHECKING:

    class NumberFields(msgspec.Struct, kw_only=True):
        """A body's numbers, each checked as it is decoded; the fields that are used by name."""

        max_tokens: int | None = None
        max_completion_tokens: int | None = None
        n: int | None = None

else:
    NumberFields = msgspec.defstruct(
        "NumberFields", [(name, type | None, None) for name, type in _TYPES.items()], kw_only=True
    )


def number(fields: dict[str, msgspec.Raw], name: str, value: msgspec.Raw) -> float | None:
    """The number in a field, None for null; a whole one that came as `100.0` is written anew.

    Raises `InvalidRequest`.
    """
    try:
        return _DECODERS[name](value)
    except UNREADABLE:
        return _odd(fields, name, value)


def _odd(fields: dict[str, msgspec.Raw], name: str, value: msgspec.Raw) -> float | None:
    """Another way to write it, or what is wrong with it."""
    if value == _NULL:
        return None
    allowed = NUMBERS[name]
    text = bytes(value)
    try:
        found = float(text)
    except ValueError:
        raise InvalidRequest(name, kind(value), allowed.wanted) from None
    # A number of 400 digits is infinite here, and in no range.
    if not allowed.low <= found <= allowed.high or (allowed.whole and not found.is_integer()):
        raise InvalidRequest(name, _shown(text), allowed.wanted)
    if allowed.whole:
        fields[name] = msgspec.Raw(b"%d" % int(found))
    return found


def _shown(text: bytes) -> str:
    return text.decode() if len(text) <= _SHOWN else f"a number of {len(text)} characters"
