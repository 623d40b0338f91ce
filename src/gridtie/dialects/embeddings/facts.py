"""Reading the facts of a request for embeddings, in each of the dialects that have them.

OpenAI's `/v1/embeddings`, Ollama's `/api/embed`, and its older `/api/embeddings`, which takes one `prompt`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gridtie.dialects.body import NULL, SDK_ARGUMENTS, Found, Take, fields_of, need, read_each, take_model, typed
from gridtie.dialects.facts import Facts
from gridtie.dialects.found import kind
from gridtie.dialects.openai_chat.facts import BILLED, take_service_tier
from gridtie.dialects.types import Dialect, InvalidRequest
from gridtie.dialects.values import holds_numbers

_WANTED = "a text, or a list of texts or tokens, none of them empty"
_FREE_FIELDS = frozenset(("encoding_format", "dimensions", "user", "truncate", "keep_alive", "options"))

_BASE64 = msgspec.Raw(b'"base64"')
_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


def read_openai(body: bytes | bytearray) -> Facts:
    """Of `/v1/embeddings`; its answer depends on the encoding that is asked for. Raises `InvalidRequest`."""
    facts = _read(body, "openai-embeddings", "input")
    packed = facts.fields.get("encoding_format") == _BASE64
    return msgspec.structs.replace(facts, dialect="openai-embeddings-base64") if packed else facts


def read_embed(body: bytes | bytearray) -> Facts:
    """Of `/api/embed`."""
    return _read(body, "ollama-embed", "input")


def read_embeddings(body: bytes | bytearray) -> Facts:
    """Of `/api/embeddings`."""
    return _read(body, "ollama-embeddings", "prompt")


def _read(body: bytes | bytearray, dialect: Dialect, name: str) -> Facts:
    # Vectors are no tokens, so one is the most that an answer is billed as.
    found: Found = {"fields": fields_of(body), "dialect": dialect, "max_output": 1}
    need(found, "embeddings")
    if name not in found["fields"]:
        raise InvalidRequest(name, "nothing", _WANTED)
    take: dict[str, Take] = {"model": take_model, name: _take_input, **BILLED, **SDK_ARGUMENTS}
    take["service_tier"] = take_service_tier
    return read_each(found, take, _FREE_FIELDS)


def _take_input(found: Found, name: str, value: msgspec.Raw) -> None:
    if kind(value) == "a string" or holds_numbers(value):
        found["messages"] = 1
    elif kind(value) == "a list":
        items: list[Any] = typed(_items, name, value, _WANTED) or []
        if not items:
            raise InvalidRequest(name, "an empty list", _WANTED)
        found["messages"] = len(items)
    else:
        raise InvalidRequest(name, "null" if value == NULL else kind(value), _WANTED)
    found["text_bytes"] = found.get("text_bytes", 0) + len(value)
