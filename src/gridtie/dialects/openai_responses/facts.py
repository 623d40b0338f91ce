"""Reading the facts of a request to OpenAI's responses, with everything that money or policy rests on checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from gridtie.dialects.body import (
    FALSE,
    NULL,
    SDK_ARGUMENTS,
    Found,
    Take,
    bill,
    fields_of,
    need,
    read_each,
    take_model,
    take_number,
    take_one_answer,
    take_stream,
    take_text,
    typed,
)
from gridtie.dialects.facts import Facts
from gridtie.dialects.found import kind
from gridtie.dialects.openai_chat.messages import FRAME_BYTES, QUOTES
from gridtie.dialects.openai_responses.kept import Earlier, going_on
from gridtie.dialects.types import InvalidRequest
from gridtie.dialects.values import FREE_BYTES, bound

# Finds what a conversation came to with an answer, by its id.
Recall = Callable[[str], Earlier]

_Raw = msgspec.Raw
_PLAIN_TIERS = {"auto", "default", "flex"}
# Run by the client, or by nobody.
_CLIENT_TOOLS = {"function", "custom", "namespace", "local_shell"}
_PLAIN_ITEMS = {"message", "function_call", "function_call_output", "reasoning"}
_PLAIN_PARTS = {"input_text", "output_text", "text", "refusal"}
_NO_TOOL, _FREE_CHOICES = _Raw(b'"none"'), (NULL, _Raw(b'"none"'), _Raw(b'"auto"'))
_NOTHING = (NULL, _Raw(b"[]"), _Raw(b"{}"), _Raw(b'""'), FALSE)
_FREE_FIELDS = frozenset(
    (
        *("tool_choice", "parallel_tool_calls", "reasoning", "store", "include", "metadata", "user", "truncation"),
        *("prompt_cache_key", "prompt_cache_retention", "client_metadata", "safety_identifier", "stream_options"),
        *("max_tool_calls", "top_logprobs"),
    )
)

_Limit = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class _Item(msgspec.Struct):
    type: str = "message"
    content: msgspec.Raw = NULL
    output: msgspec.Raw = NULL


class _Part(msgspec.Struct):
    type: str = ""
    text: msgspec.Raw = NULL
    image_url: msgspec.Raw = NULL


class _Tool(msgspec.Struct):
    type: str = ""


class _Format(msgspec.Struct):
    type: str = "text"


class _Text(msgspec.Struct):
    format: _Format | None = None


_ITEM_ITSELF = "the item itself, as with `store: false`: this router looks none up"

_items = msgspec.json.Decoder(list[_Item]).decode
_parts = msgspec.json.Decoder(list[_Part]).decode
_tools = msgspec.json.Decoder(list[_Tool]).decode
_text = msgspec.json.Decoder(_Text).decode
_string = msgspec.json.Decoder(str).decode
_limit = msgspec.json.Decoder(_Limit | None).decode


def read(body: bytes | bytearray, recall: Recall | None = None) -> Facts:
    """The facts of a client's body. `recall` finds an answer of before; None: none is kept. Raises `InvalidRequest`."""
    found: Found = {"fields": fields_of(body), "dialect": "openai-responses", "wants_usage": True}
    if recall is not None:
        _go_on(found, recall)
        found["keeps"] = found["fields"].get("store") != FALSE
    return read_each(found, _TAKE, _FREE_FIELDS)


def _go_on(found: Found, recall: Recall) -> None:
    """Put what the conversation came to before the items of the request, as if the client had sent it again."""
    fields, name = found["fields"], "previous_response_id"
    id = typed(_string, name, fields.get(name, NULL), "an answer's id")
    if id is None:
        return
    earlier = recall(id)
    del fields[name]
    fields["input"] = together = going_on(earlier, fields.get("input", NULL))
    if len(together) > FREE_BYTES:
        bound("input", bytes(together))
    found["previous"], found["private"], found["stays"] = id, earlier.private, earlier.stays


def _take_input(found: Found, name: str, value: msgspec.Raw) -> None:
    if value == NULL or kind(value) == "a string":
        found["messages"] = 1
        take_text(found, name, value)
        return
    items: list[Any] = typed(_items, name, value, "a text, or a list of items") or []
    found["messages"] = len(items)
    said = images = 0
    frames = len(items)
    for at, item in enumerate(items):
        if item.type == "item_reference":
            raise InvalidRequest(f"{name}[{at}]", "a reference to an item of before", _ITEM_ITSELF)
        if item.type not in _PLAIN_ITEMS:
            bill(found, "items of an unknown type")
        for field, content in (("content", item.content), ("output", item.output)):
            if kind(content) == "a string":
                said += len(content) - QUOTES
            elif kind(content) == "a list" and item.type != "reasoning":
                parts = typed(_parts, f"{name}[{at}].{field}", content, "a list of parts") or []
                frames += len(parts)
                said += sum(len(part.text) - QUOTES for part in parts if part.text is not NULL)
                images += sum(_take_part(found, part) for part in parts)
    # What is more than the frames of items and parts may become prompt, too: names, arguments, reasoning.
    hidden = max(0, len(value) - said - images - FRAME_BYTES * frames // 2)
    found["text_bytes"] = found.get("text_bytes", 0) + said + hidden


def _take_part(found: Found, part: _Part) -> int:
    """Bytes of an image."""
    if part.type == "input_image":
        found["images"] = found.get("images", 0) + 1
        found["image_bytes"] = found.get("image_bytes", 0) + len(part.image_url)
        need(found, "vision")
        return len(part.image_url) - QUOTES
    if part.type not in _PLAIN_PARTS:
        bill(found, "files" if part.type == "input_file" else "content parts of an unknown type")
    return 0


def _take_tools(found: Found, name: str, value: msgspec.Raw) -> None:
    tools: list[Any] = typed(_tools, name, value, "a list of objects, each with a type") or []
    choice = found["fields"].get("tool_choice", NULL)
    if tools and choice != _NO_TOOL:
        need(found, "tools")
        if found["fields"].get("parallel_tool_calls") == FALSE:
            found["one_tool_call"] = True
        if choice not in _FREE_CHOICES:
            found["must_call"] = True
    take_text(found, name, value)
    if any(tool.type not in _CLIENT_TOOLS for tool in tools):
        bill(found, "server-side tools")


def _take_format(found: Found, name: str, value: msgspec.Raw) -> None:
    text = typed(_text, name, value, "an object")
    if text is not None and text.format is not None and text.format.type != "text":
        need(found, "json")
        take_text(found, name, value)


def _take_limit(found: Found, name: str, value: msgspec.Raw) -> None:
    limit = typed(_limit, name, value, "an integer from 1 to 2147483647")
    if limit is not None:
        found["max_output"] = limit


def _take_billed(found: Found, name: str, value: msgspec.Raw) -> None:
    if value not in _NOTHING:
        bill(found, name)


def _take_service_tier(found: Found, name: str, value: msgspec.Raw) -> None:
    tier: Any = typed(_string, name, value, "auto, default or flex")
    if tier is not None and tier not in _PLAIN_TIERS:
        bill(found, name)


def _take_previous(found: Found, name: str, value: msgspec.Raw) -> None:
    if value != NULL:
        wanted = "all items in `input`: this router keeps no answers unless llm_routing.yaml has responses.keep: true"
        raise InvalidRequest(name, "an answer of before", wanted)


def _take_conversation(found: Found, name: str, value: msgspec.Raw) -> None:
    if value != NULL:
        raise InvalidRequest(name, "a conversation of before", "all items in `input`: this router keeps none by name")


_TAKE: dict[str, Take] = {
    "model": take_model,
    "stream": take_stream,
    "input": _take_input,
    "instructions": take_text,
    "tools": _take_tools,
    "text": _take_format,
    "max_output_tokens": _take_limit,
    "n": take_one_answer,
    **dict.fromkeys(("temperature", "top_p"), take_number),
    "service_tier": _take_service_tier,
    "previous_response_id": _take_previous,
    "conversation": _take_conversation,
    **dict.fromkeys(("background", "prompt"), _take_billed),
    **SDK_ARGUMENTS,
}
