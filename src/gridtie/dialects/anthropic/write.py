"""The conversation -> Anthropic's `/v1/messages`, API version 2026-10-21.

That version takes no sampling settings (`temperature`, `top_p`, `top_k` answer 400) and no seed; OpenAI promises
no more than an attempt with either, so they are not sent. Penalties are refused: they would change the text.
Thinking is left to the model, as some models refuse to have it switched off.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from gridtie.dialects.anthropic import schema
from gridtie.dialects.conversation import (
    EMPTY,
    NO_PARAMETERS,
    NULL,
    Call,
    Conversation,
    Data,
    Format,
    Image,
    Message,
    Opaque,
    Part,
    Said,
    Settings,
    Thought,
    Tool,
    arguments_object,
    joined,
    leave_out,
)
from gridtie.dialects.object import put
from gridtie.dialects.types import RequestOptions, Untranslatable

# The field is required. `limits.output_tokens` has the same default; where money is limited the router passes that.
DEFAULT_MAX_TOKENS = 8192

_MEDIA_TYPES = {"image/jpeg", "image/png", "image/gif", "image/webp"}
_INSTRUCTIONS = ("system", "developer")
_NOT_IN_AN_ID = re.compile(r"[^a-zA-Z0-9_-]")
# As JSON text: between the parts of one message, and between messages.
_LINE_END, _PARAGRAPH = rb"\n", rb"\n\n"
_KINDS = {"auto": "auto", "none": "none", "required": "any"}
_encode = msgspec.json.Encoder().encode

Block = dict[str, Any]


def write(conversation: Conversation, model: str, options: RequestOptions) -> bytes:
    """The body for `/v1/messages`. Raises `Untranslatable`."""
    leave_out(conversation, "anthropic")
    own, settings = conversation.dialect == "anthropic", conversation.settings
    _refuse(settings)
    native: dict[str, Any] = {
        "model": model,
        "max_tokens": settings.limit or options.output_limit or DEFAULT_MAX_TOKENS,
        "messages": _messages(conversation.messages, own),
        "stream": options.stream,
    }
    if (system := _system(conversation.messages, own)) is not None:
        native["system"] = system
    if settings.stops:
        native["stop_sequences"] = settings.stops
    if tools := [_tool(tool, own) for tool in settings.tools if own or isinstance(tool, Tool)]:
        native["tools"] = tools
        if choice := _tool_choice(settings):
            native["tool_choice"] = choice
    if settings.format is not None:
        native["output_config"] = {"format": _format(settings.format)}
    return _encode(put(native, settings.rest) if own else native)


def _refuse(settings: Settings) -> None:
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


def _system(messages: list[Message], own: bool) -> msgspec.Raw | list[Block] | None:
    """All instructions, hoisted: Anthropic keeps them apart. As blocks where one is cached."""
    instructions = [
        blocks for message in messages if message.role in _INSTRUCTIONS and (blocks := _instructions(message, own))
    ]
    if any(block.keys() != {"type", "text"} for blocks in instructions for block in blocks):
        return [block for blocks in instructions for block in blocks]
    texts = [joined([block["text"] for block in blocks], _LINE_END) for blocks in instructions]
    return joined(texts, _PARAGRAPH) if texts else None


def _instructions(message: Message, own: bool) -> list[Block]:
    if any(isinstance(part, Image) for part in message.parts):
        raise Untranslatable(f"Anthropic takes no images in instructions ({message.path})", needs="vision")
    return _marked_last(_blocks_of(message, own), message)


def _messages(messages: list[Message], own: bool) -> list[dict[str, Any]]:
    """The turns: a run of messages of one side becomes one, since the sides must alternate."""
    native: list[dict[str, Any]] = []
    for message in messages:
        if message.role in _INSTRUCTIONS:
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _turn(message, own)
        if not blocks:
            continue  # an empty turn is an error there, and says nothing
        if native and native[-1]["role"] == role:
            native[-1]["content"] += blocks
        else:
            native.append({"role": role, "content": blocks})
    return native


def _turn(message: Message, own: bool) -> list[Block]:
    blocks = _blocks_of(message, own)
    if message.role != "tool":
        return _marked_last(blocks, message)
    result: Block = {"type": "tool_result", "tool_use_id": _id(message.call_id), "content": blocks}
    if message.failed:
        result["is_error"] = True
    return [_whole(result, message.cache, message, own)]


def _blocks_of(message: Message, own: bool) -> list[Any]:
    return [block for part in message.parts if (block := _block(part, message.path, own)) is not None]


def _block(part: Part, path: str, own: bool) -> Any:
    """A part as a block; None where Anthropic takes none of the kind."""
    if isinstance(part, Opaque):
        return part.span if own else None
    if isinstance(part, Thought):
        # It takes its own reasoning back alone, by its signature.
        if part.redacted:
            return {"type": "redacted_thinking", "data": part.signature}
        block = {"type": "thinking", "thinking": part.text, "signature": part.signature}
        return _whole(block, NULL, part, own) if part.signature != NULL else None
    if isinstance(part, Call):
        block = {"type": "tool_use", "id": _id(part.id), "name": part.name, "input": arguments_object(part)}
    elif isinstance(part, Image):
        block = _image(part, path)
    else:
        block = {"type": "text", "text": part.text}
    return _whole(block, part.cache, part, own)


def _marked_last(blocks: list[Block], message: Message) -> list[Block]:
    """A mark for the cache on a whole message stands on its last block."""
    if blocks and message.cache != NULL:
        blocks[-1]["cache_control"] = message.cache
    return blocks


def _whole(block: Block, mark: msgspec.Raw, said: Said, own: bool) -> Block:
    """A block with its mark for Anthropic's prompt cache, and what else Anthropic's client had in it."""
    if mark != NULL:
        block["cache_control"] = mark
    return put(block, said.rest) if own and said.rest else block


def _image(part: Image, path: str) -> Block:
    source = part.source
    if not isinstance(source, Data):
        return {"type": "image", "source": {"type": "url", "url": source}}
    media_type = "image/jpeg" if source.media_type == "image/jpg" else source.media_type
    if media_type not in _MEDIA_TYPES:
        known = ", ".join(sorted(_MEDIA_TYPES))
        what = f"Anthropic takes no images of type {media_type[:64]!r} ({path}), only {known}"
        raise Untranslatable(what, needs="vision")
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": source.base64}}


def _id(id: str) -> str:
    """A call's id in the characters that Anthropic takes; the same id always becomes the same."""
    return _NOT_IN_AN_ID.sub("_", id) or "call"


def _tool(tool: Tool | Opaque, own: bool) -> Any:
    if isinstance(tool, Opaque):
        return tool.span
    native: dict[str, Any] = {
        "name": tool.name,
        "input_schema": tool.parameters if tool.parameters != NULL else NO_PARAMETERS,
    }
    if tool.description not in (NULL, EMPTY):
        native["description"] = tool.description
    if tool.strict:
        native["strict"] = True
    return _whole(native, tool.cache, tool, own)


def _tool_choice(settings: Settings) -> dict[str, Any] | None:
    choice = settings.choice
    native: dict[str, Any] = {"type": "auto"}
    if choice is not None:
        named = choice.kind == "named"
        native = {"type": "tool", "name": choice.name} if named else {"type": _KINDS[choice.kind]}
    if settings.parallel is False and native["type"] != "none":
        native["disable_parallel_tool_use"] = True
    return native if choice is not None or len(native) > 1 else None


def _format(format_: Format) -> dict[str, Any]:
    if format_.schema is None:
        # Its schemas must list every property, so "any object" cannot be said.
        raise Untranslatable("Anthropic has no json_object format; send a json_schema", needs="json_object")
    return {"type": "json_schema", "schema": schema.closed(format_.schema)}
