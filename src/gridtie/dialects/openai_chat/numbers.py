"""The numbers of a chat request, each with its type, sign and range: checked once, for every target."""

from __future__ import annotations

import msgspec

from gridtie.dialects.found import kind
from gridtie.dialects.types import InvalidRequest

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


def number(fields: dict[str, msgspec.Raw], name: str, value: msgspec.Raw) -> float:
    """The number in a field, which is written anew where a whole one came as `100.0`. Raises `InvalidRequest`."""
    allowed = NUMBERS[name]
    text = bytes(value)
    try:
        found = float(text)
    except ValueError:
        raise InvalidRequest(name, kind(value), allowed.wanted) from None
    # A number of 400 digits is infinite here, and in no range.
    if not allowed.low <= found <= allowed.high or (allowed.whole and not found.is_integer()):
        raise InvalidRequest(name, _shown(text), allowed.wanted)
    if allowed.whole and not text.removeprefix(b"-").isdigit():
        fields[name] = msgspec.Raw(b"%d" % int(found))
    return found


def _shown(text: bytes) -> str:
    return text.decode() if len(text) <= _SHOWN else f"a number of {len(text)} characters"
