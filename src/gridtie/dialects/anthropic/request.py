"""OpenAI chat request -> Anthropic's `/v1/messages`, API version 2026-10-21.

That version takes no sampling settings (`temperature`, `top_p`, `top_k` answer 400) and no seed; OpenAI promises
no more than an attempt with either, so they are not sent. Penalties are refused: they would change the text.
Thinking is left to the model, as some models refuse to have it switched off.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from gridtie.dialects.anthropic import schema
from gridtie.dialects.facts import Facts
from gridtie.dialects.openai_chat.conversation import (
    NULL,
    ChatRequest,
    NamedTool,
    ResponseFormat,
    Tool,
    Turn,
    arguments_of,
    read,
    schema_of,
)
from gridtie.dialects.openai_chat.parts import DataUrl, ImagePart, image_address, joined
from gridtie.dialects.types import Untranslatable

# The field is required. `limits.output_tokens` has the same default; where money is limited the router passes that.
DEFAULT_MAX_TOKENS = 8192

_MEDIA_TYPES = {"image/jpeg", "image/png", "image/gif", "image/webp"}
_INSTRUCTIONS = ("system", "developer")
_NOT_IN_AN_ID = re.compile(r"[^a-zA-Z0-9_-]")
_EMPTY = msgspec.Raw(b'""')
_NO_PARAMETERS = msgspec.Raw(b'{"type":"object","properties":{}}')
# As JSON text: between the parts of one message, and between messages.
_LINE_END, _PARAGRAPH = rb"\n", rb"\n\n"
_encode = msgspec.json.Encoder().encode

Block = dict[str, Any]


def translate(facts: Facts, model: str, output_limit: int | None) -> bytes:
    """The body for `/v1/messages`, always streamed. Raises `Untranslatable`."""
    conversation = read(facts)
    settings = conversation.settings
    _refuse(settings)
    native: dict[str, Any] = {
        "model": model,
        "max_tokens": settings.limit or output_limit or DEFAULT_MAX_TOKENS,
        "messages": _messages(conversation.turns),
        "stream": True,
    }
    if (system := _system(conversation.turns)) is not None:
        native["system"] = system
    if settings.stops:
        native["stop_sequences"] = settings.stops
    if settings.tools:
        native["tools"] = [_tool(tool) for tool in settings.tools]
        if choice := _tool_choice(settings):
            native["tool_choice"] = choice
    if (format_ := _output_format(settings.response_format)) is not None:
        native["output_config"] = {"format": format_}
    return _encode(native)


def _refuse(settings: ChatRequest) -> None:
    refused = {
        "frequency_penalty": settings.frequency_penalty not in (None, 0),
        "presence_penalty": settings.presence_penalty not in (None, 0),
        "repeat_penalty": settings.repeat_penalty not in (None, 1),
        # Anthropic answers 400 to one of white space alone.
        "stop": any(not stop.strip() for stop in settings.stops),
    }
    for field, is_refused in refused.items():
        if is_refused:
            raise Untranslatable(f"Anthropic's API cannot do what {field!r} asks for; leave it out", needs=field)


def _system(turns: list[Turn]) -> msgspec.Raw | list[Block] | None:
    """All instructions, hoisted: Anthropic keeps them apart from the conversation. As blocks where one is cached."""
    messages = [blocks for turn in turns if turn.role in _INSTRUCTIONS and (blocks := _content(turn))]
    if any("cache_control" in block for blocks in messages for block in blocks):
        return [block for blocks in messages for block in blocks]
    texts = [joined([block["text"] for block in blocks], _LINE_END) for blocks in messages]
    return joined(texts, _PARAGRAPH) if texts else None


def _messages(turns: list[Turn]) -> list[dict[str, Any]]:
    """The turns: a run of messages of one side becomes one, since the sides must alternate."""
    native: list[dict[str, Any]] = []
    for turn in turns:
        if turn.role in _INSTRUCTIONS:
            continue
        role = "assistant" if turn.role == "assistant" else "user"
        blocks = _blocks(turn)
        if not blocks:
            continue  # an empty turn is an error there, and says nothing
        if native and native[-1]["role"] == role:
            native[-1]["content"] += blocks
        else:
            native.append({"role": role, "content": blocks})
    return native


def _blocks(turn: Turn) -> list[Block]:
    if turn.role == "tool":
        result = {"type": "tool_result", "tool_use_id": _id(turn.call_id), "content": _parts(turn)}
        return [_marked(result, turn.cache_control)]
    blocks = _parts(turn)
    for call in turn.calls:
        if call.function is not None:
            arguments = arguments_of(call.function)
            blocks.append({"type": "tool_use", "id": _id(call.id), "name": call.function.name, "input": arguments})
    return _marked_last(blocks, turn)


def _content(turn: Turn) -> list[Block]:
    """The blocks of a message of instructions."""
    if any(isinstance(part, ImagePart) for part in turn.parts):
        raise Untranslatable(f"Anthropic takes no images in instructions ({turn.path})", needs="vision")
    return _marked_last(_parts(turn), turn)


def _parts(turn: Turn) -> list[Block]:
    """Text and image blocks."""
    return [
        _marked(
            _image(part, turn.path) if isinstance(part, ImagePart) else {"type": "text", "text": part.text},
            part.cache_control,
        )
        for part in turn.parts
    ]


def _marked_last(blocks: list[Block], turn: Turn) -> list[Block]:
    """A mark for the cache on a whole message stands on its last block."""
    if blocks:
        _marked(blocks[-1], turn.cache_control)
    return blocks


def _marked(block: Block, mark: msgspec.Raw) -> Block:
    """A block with its mark for Anthropic's prompt cache, where the client set one."""
    if mark != NULL:
        block["cache_control"] = mark
    return block


def _image(part: ImagePart, path: str) -> Block:
    address = image_address(part, path)
    if not isinstance(address, DataUrl):
        return {"type": "image", "source": {"type": "url", "url": address}}
    media_type = "image/jpeg" if address.media_type == "image/jpg" else address.media_type
    if media_type not in _MEDIA_TYPES:
        known = ", ".join(sorted(_MEDIA_TYPES))
        raise Untranslatable(f"Anthropic takes no images of type {media_type[:64]!r}, only {known}", needs="vision")
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": address.data}}


def _id(id: str | None) -> str:
    """A call's id in the characters that Anthropic takes; the same id always becomes the same."""
    return _NOT_IN_AN_ID.sub("_", id or "") or "call"


def _tool(tool: Tool) -> dict[str, Any]:
    function = tool.function
    native: dict[str, Any] = {
        "name": function.name,
        "input_schema": function.parameters if function.parameters != NULL else _NO_PARAMETERS,
    }
    if function.description not in (NULL, _EMPTY):
        native["description"] = function.description
    if function.strict:
        native["strict"] = True
    return _marked(_marked(native, function.cache_control), tool.cache_control)


def _tool_choice(settings: ChatRequest) -> dict[str, Any] | None:
    choice = settings.tool_choice
    if isinstance(choice, NamedTool):
        if choice.type != "function" or choice.function is None:
            what = "Anthropic can be told to call one function, or any, or none"
            raise Untranslatable(f"{what}; tool_choice asks for something else", needs="tool_choice")
        native: dict[str, Any] = {"type": "tool", "name": choice.function.name}
    else:
        native = {"type": {None: "auto", "required": "any"}.get(choice, choice)}
    if settings.parallel_tool_calls is False and native["type"] != "none":
        native["disable_parallel_tool_use"] = True
    return native if choice is not None or len(native) > 1 else None


def _output_format(response_format: ResponseFormat | None) -> dict[str, Any] | None:
    wanted = schema_of(response_format)
    if wanted is not None:
        return {"type": "json_schema", "schema": schema.closed(wanted)}
    if response_format is None or response_format.type == "text":
        return None
    # Its schemas must list every property, so "any object" cannot be said.
    raise Untranslatable("Anthropic has no json_object format; send a json_schema", needs="json_object")
