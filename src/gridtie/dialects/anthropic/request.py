"""OpenAI chat request -> Anthropic's `/v1/messages`, API version 2026-10-21.

That version takes no sampling settings (`temperature`, `top_p`, `top_k` answer 400) and no seed; OpenAI promises
no more than an attempt with either, so they are not sent. Penalties are refused: they would change the text.
Thinking is left to the model, as some models refuse to have it switched off.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from gridtie.dialects.anthropic import schema as anthropic_schema
from gridtie.dialects.facts import Facts
from gridtie.dialects.openai_chat import conversation as chat
from gridtie.dialects.types import Untranslatable

# The field is required. Large enough for a long file of code and thinking before it; small enough for every
# current model and for unstreamed requests, which Anthropic limits to what takes under ten minutes.
DEFAULT_MAX_TOKENS = 8192

_MEDIA_TYPES = {"image/jpeg", "image/png", "image/gif", "image/webp"}
_NOT_IN_AN_ID = re.compile(r"[^a-zA-Z0-9_-]")
_NO_PARAMETERS = msgspec.Raw(b'{"type":"object","properties":{}}')
_encode = msgspec.json.Encoder().encode

Block = dict[str, Any]


def translate(facts: Facts, model: str, output_limit: int | None) -> bytes:
    """The body for `/v1/messages`. Raises `Untranslatable`."""
    request = chat.read(facts)
    _refuse(request)
    native: dict[str, Any] = {
        "model": model,
        "max_tokens": request.limit or output_limit or DEFAULT_MAX_TOKENS,
        "messages": _messages(request.messages),
        "stream": True,
    }
    if system := _system(request.messages):
        native["system"] = system
    if request.stops:
        native["stop_sequences"] = request.stops
    if request.tools:
        native["tools"] = [_tool(tool.function) for tool in request.tools if tool.function is not None]
        if choice := _tool_choice(request):
            native["tool_choice"] = choice
    if (format_ := _output_format(request.response_format)) is not None:
        native["output_config"] = {"format": format_}
    return _encode(native)


def _refuse(request: chat.ChatRequest) -> None:
    refused = {
        "frequency_penalty": request.frequency_penalty not in (None, 0),
        "presence_penalty": request.presence_penalty not in (None, 0),
        "repeat_penalty": request.repeat_penalty not in (None, 1),
        # Anthropic answers 400 to one of white space alone.
        "stop": any(not stop.strip() for stop in request.stops),
    }
    for field, is_refused in refused.items():
        if is_refused:
            raise Untranslatable(f"Anthropic's API cannot do what {field!r} asks for; leave it out", needs=field)


def _system(messages: list[chat.Message]) -> str:
    """All instructions, hoisted: Anthropic keeps them apart from the conversation."""
    texts = [_text(message) for message in messages if message.role in ("system", "developer")]
    return "\n\n".join(text for text in texts if text)


def _text(message: chat.Message) -> str:
    if isinstance(message.content, list):
        return "\n".join(text for part in message.content if (text := chat.text_of(part)))
    return message.content or ""


def _messages(messages: list[chat.Message]) -> list[dict[str, Any]]:
    """The turns: a run of messages of one side becomes one, since the sides must alternate."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.role in ("system", "developer"):
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _blocks(message)
        if not blocks:
            continue  # an empty turn is an error there, and says nothing
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    return turns


def _blocks(message: chat.Message) -> list[Block]:
    if message.role == "tool":
        return [{"type": "tool_result", "tool_use_id": _id(message.tool_call_id), "content": _content(message)}]
    blocks = _content(message)
    for call in message.tool_calls or ():
        if call.function is not None:
            arguments = chat.arguments_of(call.function)
            blocks.append({"type": "tool_use", "id": _id(call.id), "name": call.function.name, "input": arguments})
    return blocks


def _content(message: chat.Message) -> list[Block]:
    """Text and image blocks; empty text is left out, as Anthropic rejects it."""
    parts = message.content
    if not isinstance(parts, list):
        text = parts or message.refusal
        return [{"type": "text", "text": text}] if text else []
    blocks: list[Block] = []
    for part in parts:
        if isinstance(part, chat.ImagePart):
            blocks.append(_image(part.image_url.url))
        elif text := chat.text_of(part):
            blocks.append({"type": "text", "text": text})
    return blocks


def _image(url: str) -> Block:
    data = chat.data_url(url)
    if data is None:
        return {"type": "image", "source": {"type": "url", "url": url}}
    media_type = "image/jpeg" if data[0] == "image/jpg" else data[0]
    if media_type not in _MEDIA_TYPES:
        known = ", ".join(sorted(_MEDIA_TYPES))
        raise Untranslatable(f"Anthropic takes no images of type {data[0]!r}, only {known}", needs="vision")
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data[1]}}


def _id(id: str | None) -> str:
    """A call's id in the characters that Anthropic takes; the same id always becomes the same."""
    return _NOT_IN_AN_ID.sub("_", id or "") or "call"


def _tool(function: chat.Function) -> dict[str, Any]:
    schema = function.parameters if chat.present(function.parameters) else _NO_PARAMETERS
    tool: dict[str, Any] = {"name": function.name, "input_schema": schema}
    if function.description:
        tool["description"] = function.description
    if function.strict:
        tool["strict"] = True
    return tool


def _tool_choice(request: chat.ChatRequest) -> dict[str, Any] | None:
    choice = request.tool_choice
    if isinstance(choice, chat.NamedTool):
        if choice.function is None:
            raise Untranslatable(f"Anthropic has no tool choice of type {choice.type!r}", needs="tool_choice")
        native: dict[str, Any] = {"type": "tool", "name": choice.function.name}
    else:
        native = {"type": {None: "auto", "required": "any"}.get(choice, choice)}
    if request.parallel_tool_calls is False and native["type"] != "none":
        native["disable_parallel_tool_use"] = True
    return native if choice is not None or len(native) > 1 else None


def _output_format(response_format: chat.ResponseFormat | None) -> dict[str, Any] | None:
    if response_format is None or response_format.type == "text":
        return None
    if response_format.type == "json_object":
        # Its schemas must list every property, so "any object" cannot be said.
        raise Untranslatable("Anthropic has no json_object format; send a json_schema", needs="json_object")
    if response_format.json_schema is None or not chat.present(response_format.json_schema.schema):
        raise Untranslatable("response_format is json_schema without json_schema.schema; add the schema")
    return {"type": "json_schema", "schema": anthropic_schema.closed(response_format.json_schema.schema)}
