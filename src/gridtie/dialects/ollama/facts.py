"""Reading the facts of requests to Ollama's native `/api/chat` and `/api/generate`.

`images: []` on every message, as aider sends it, is no image; a body without `stream` asks for a stream.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gridtie.dialects.body import (
    FALSE,
    NULL,
    SDK_ARGUMENTS,
    TRUE,
    Found,
    Take,
    fields_of,
    need,
    read_each,
    take_model,
    take_one_answer,
    take_stream,
    take_text,
    typed,
)
from gridtie.dialects.facts import BYTES_PER_TOKEN, Facts
from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.found import kind
from gridtie.dialects.openai_chat.messages import FRAME_BYTES, QUOTES
from gridtie.dialects.types import Dialect, InvalidRequest

_Raw = msgspec.Raw
_NOTHING = (NULL, _Raw(b'""'), _Raw(b"[]"))
# A prompt has a text for an answer, in which no call can stand.
_CHAT_ONLY = ("messages", "tools")
_MOST_TOKENS = 2**31 - 1
_FREE_FIELDS = frozenset(("think", "keep_alive", "truncate", "shift", "raw", "logprobs", "top_logprobs"))


class _Message(msgspec.Struct):
    content: msgspec.Raw = NULL
    images: msgspec.Raw = NULL


class _Options(msgspec.Struct):
    num_predict: float | None = None


_messages = msgspec.json.Decoder(list[_Message]).decode
_options = msgspec.json.Decoder(_Options).decode
_list = msgspec.json.Decoder(list[_Raw]).decode


def read_chat(body: bytes | bytearray) -> Facts:
    """Of `/api/chat`. Raises `InvalidRequest`."""
    return _read(fields_of(body), "ollama")


def read_generate(body: bytes | bytearray) -> Facts:
    """Of `/api/generate`: a text that goes on as it stands, or a gap that is filled, is another thing than a turn."""
    fields = fields_of(body)
    for name in _CHAT_ONLY:
        if fields.get(name, NULL) not in _NOTHING:
            raise InvalidRequest(name, "a field of /api/chat", "none: a prompt has neither; ask there")
    fills = fields.get("suffix", NULL) not in _NOTHING or fields.get("raw") == TRUE
    return _read(fields, "ollama-fill" if fills else "ollama-generate")


def _read(fields: dict[str, msgspec.Raw], dialect: Dialect) -> Facts:
    found: Found = {"fields": fields, "dialect": dialect, "wants_usage": True, "stream": fields.get("stream") != FALSE}
    return read_each(found, _TAKE, _FREE_FIELDS)


def asks_for_nothing(facts: Facts) -> bool:
    """Whether it names a model and no prompt, by which clients have a model loaded."""
    return all(facts.fields.get(name, NULL) in _NOTHING for name in ("messages", "prompt", "images", "suffix"))


def _take_messages(found: Found, name: str, value: msgspec.Raw) -> None:
    messages: list[_Message] = typed(_messages, name, value, "a list of messages, each with a role and content") or []
    found["messages"] = found.get("messages", 0) + len(messages)
    images = 0
    for at, message in enumerate(messages):
        images += _take_images(found, f"{name}[{at}].images", message.images)
    text = sum(len(message.content) - QUOTES for message in messages if message.content is not NULL)
    hidden = max(0, len(value) - text - images - FRAME_BYTES * len(messages))
    found["text_bytes"] = found.get("text_bytes", 0) + text + hidden


def _take_images(found: Found, name: str, value: msgspec.Raw) -> int:
    """Their bytes."""
    images: list[Any] = typed(_list, name, value, "a list of images in base64") or []
    if not images:
        return 0
    need(found, "vision")
    size = len(value)
    found["images"] = found.get("images", 0) + len(images)
    found["image_bytes"] = found.get("image_bytes", 0) + size
    return size


def _take_own_images(found: Found, name: str, value: msgspec.Raw) -> None:
    _take_images(found, name, value)


def _take_prompt(found: Found, name: str, value: msgspec.Raw) -> None:
    if value not in _NOTHING:
        found["messages"] = 1
        take_text(found, name, value)


def _take_context(found: Found, name: str, value: msgspec.Raw) -> None:
    """A conversation of before, as the numbers of its tokens."""
    if value not in _NOTHING:
        if kind(value) != "a list":
            raise InvalidRequest(name, kind(value), "a list of tokens")
        tokens = bytes(value).count(b",") + 1
        found["text_bytes"] = found.get("text_bytes", 0) + BYTES_PER_TOKEN * tokens


def _take_tools(found: Found, name: str, value: msgspec.Raw) -> None:
    if value not in _NOTHING:
        typed(_list, name, value, "a list of tools")
        need(found, "tools")
        take_text(found, name, value)


def _take_format(found: Found, name: str, value: msgspec.Raw) -> None:
    if value not in _NOTHING:
        need(found, "json")
        take_text(found, name, value)


def _take_options(found: Found, name: str, value: msgspec.Raw) -> None:
    try:
        options = _options(value) if value != NULL else _Options()
    except UNREADABLE:
        raise InvalidRequest(name, "another value", "an object whose num_predict is a number") from None
    limit = options.num_predict
    if limit is not None and limit > 0:
        if limit > _MOST_TOKENS or limit != int(limit):
            raise InvalidRequest(f"{name}.num_predict", "a number out of range", f"an integer up to {_MOST_TOKENS}")
        found["max_output"] = int(limit)


_TAKE: dict[str, Take] = {
    "model": take_model,
    "stream": take_stream,
    "messages": _take_messages,
    "prompt": _take_prompt,
    "images": _take_own_images,
    "tools": _take_tools,
    "format": _take_format,
    "context": _take_context,
    "options": _take_options,
    "n": take_one_answer,
    **SDK_ARGUMENTS,
}
