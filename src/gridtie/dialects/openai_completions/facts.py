"""Reading the facts of a request for a completion that is no chat: a text goes on, or a gap in one is filled."""

from __future__ import annotations

import msgspec

from gridtie.dialects.body import (
    NULL,
    SDK_ARGUMENTS,
    Found,
    Take,
    bill,
    fields_of,
    read_each,
    take_limit,
    take_model,
    take_number,
    take_stream,
    take_text,
    typed,
)
from gridtie.dialects.facts import Facts
from gridtie.dialects.found import kind
from gridtie.dialects.openai_chat.facts import BILLED, take_service_tier, take_stream_options
from gridtie.dialects.openai_chat.numbers import NUMBERS, number
from gridtie.dialects.types import InvalidRequest
from gridtie.dialects.values import holds_numbers

_Raw = msgspec.Raw
_WANTED = "a text, or a list of texts or tokens"
_MOST_CHOICES = 128
_FREE_FIELDS = frozenset(("stop", "user", "logprobs", "logit_bias", "echo", "keep_alive", "cache_prompt"))

_items = msgspec.json.Decoder(list[_Raw]).decode


def read(body: bytes | bytearray) -> Facts:
    """The facts of a client's body. Raises `InvalidRequest`."""
    return read_each({"fields": fields_of(body), "dialect": "openai-completions"}, _TAKE, _FREE_FIELDS)


def _take_prompt(found: Found, name: str, value: msgspec.Raw) -> None:
    if value == NULL:
        return
    texts = 1
    if kind(value) not in ("a string", "a list"):
        raise InvalidRequest(name, kind(value), _WANTED)
    if kind(value) == "a list" and not holds_numbers(value):
        texts = max(1, len(typed(_items, name, value, _WANTED) or ()))
    if texts > _MOST_CHOICES:
        raise InvalidRequest(name, f"{texts} texts", f"at most {_MOST_CHOICES}")
    found["messages"] = texts
    # Each text is answered by itself.
    found["choices"] = found.get("choices", 1) * texts
    take_text(found, name, value)


def _take_choices(found: Found, name: str, value: msgspec.Raw) -> None:
    choices = number(found["fields"], name, value)
    if choices is not None:
        found["choices"] = found.get("choices", 1) * int(choices)


def _take_best_of(found: Found, name: str, value: msgspec.Raw) -> None:
    # Answers that are made and thrown away, and billed all the same.
    if value not in (NULL, _Raw(b"1")):
        bill(found, name)


_TAKE: dict[str, Take] = {
    **dict.fromkeys(NUMBERS, take_number),
    **BILLED,
    "service_tier": take_service_tier,
    "model": take_model,
    "stream": take_stream,
    "stream_options": take_stream_options,
    "max_tokens": take_limit,
    "n": _take_choices,
    "prompt": _take_prompt,
    "best_of": _take_best_of,
    **SDK_ARGUMENTS,
}
