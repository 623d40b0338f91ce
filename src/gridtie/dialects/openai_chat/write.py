"""The conversation -> an OpenAI chat request."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from gridtie.dialects.conversation import (
    EMPTY,
    NULL,
    Call,
    Conversation,
    Data,
    Format,
    Image,
    Message,
    Opaque,
    Part,
    Settings,
    Text,
    Thought,
    Tool,
    joined,
    leave_out,
)
from gridtie.dialects.object import put
from gridtie.dialects.types import RequestOptions

_encode = msgspec.json.Encoder().encode
# Settings of the same name in requests of OpenAI's dialect.
NUMBERS = ("temperature", "top_p", "top_k", "min_p", "seed", "frequency_penalty", "presence_penalty", "repeat_penalty")
_NO_ARGUMENTS = "{}"
# As JSON text: between pieces of one text.
_LINE_END = rb"\n"
# A schema needs a name there, which only labels it.
_SCHEMA_NAME = "answer"


def write(conversation: Conversation, model: str, options: RequestOptions) -> bytes:
    """The body for `/chat/completions`. Raises `Untranslatable`."""
    leave_out(conversation, "openai")
    own, settings = conversation.dialect == "openai", conversation.settings
    native: dict[str, Any] = {
        "model": model,
        "messages": _messages(conversation.messages, own),
        "stream": options.stream,
    }
    if options.stream and options.include_usage:
        native["stream_options"] = {"include_usage": True}
    limit = settings.limit if settings.limit is not None else options.output_limit
    if limit is not None:
        native[options.limit_field] = limit
    if settings.stops:
        native["stop"] = settings.stops
    native |= {name: value for name in NUMBERS if (value := getattr(settings, name)) is not None}
    _put_tools(native, settings, own)
    if settings.format is not None:
        native["response_format"] = _format(settings.format)
    return _encode(put(native, settings.rest) if own else native)


def _put_tools(native: dict[str, Any], settings: Settings, own: bool) -> None:
    tools = [
        tool.span if isinstance(tool, Opaque) else _tool(tool, own)
        for tool in settings.tools
        if own or isinstance(tool, Tool)
    ]
    if not tools:
        return
    native["tools"] = tools
    choice = settings.choice
    if choice is not None:
        named = {"type": "function", "function": {"name": choice.name}}
        native["tool_choice"] = named if choice.kind == "named" else choice.kind
    if settings.parallel is not None:
        native["parallel_tool_calls"] = settings.parallel


def _tool(tool: Tool, own: bool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description != NULL:
        function["description"] = tool.description
    if tool.parameters != NULL:
        function["parameters"] = tool.parameters
    if tool.strict is not None:
        function["strict"] = tool.strict
    return _whole({"type": "function", "function": function}, tool, own)


def _whole(native: dict[str, Any], said: Tool | Text | Image | Message | Call, own: bool) -> dict[str, Any]:
    """An object with its mark for a cache and what else was in it, which OpenAI itself takes from no other dialect."""
    if own:
        if said.cache != NULL:
            native["cache_control"] = said.cache
        put(native, said.rest)
    return native


def _format(format_: Format) -> dict[str, Any]:
    if format_.schema is None:
        return {"type": "json_object"}
    labelled: dict[str, Any] = {"name": format_.name if format_.name != NULL else _SCHEMA_NAME}
    if format_.description != NULL:
        labelled["description"] = format_.description
    labelled["schema"] = format_.schema
    if format_.strict is not None:
        labelled["strict"] = format_.strict
    return {"type": "json_schema", "json_schema": labelled}


def _messages(messages: list[Message], own: bool) -> list[dict[str, Any]]:
    if own or not any(message.role == "tool" for message in messages):
        return [_message(message, own) for message in messages]
    native = []
    shown: list[Part] = []
    for message in messages:
        if message.role == "tool":
            # OpenAI takes images of the user alone: they follow the results, which must stand together.
            shown += [part for part in message.parts if isinstance(part, Image)]
            message = replace(message, parts=[part for part in message.parts if not isinstance(part, Image)])
        elif shown:
            native.append(_message(Message(role="user", parts=shown), own))
            shown = []
        native.append(_message(message, own))
    return [*native, _message(Message(role="user", parts=shown), own)] if shown else native


def _message(message: Message, own: bool) -> dict[str, Any]:
    parts = [part for part in message.parts if own or not isinstance(part, Opaque)]
    thoughts = [part.text for part in parts if isinstance(part, Thought) and part.text not in (NULL, EMPTY)]
    calls = [part for part in parts if _is_call(part)]
    said: list[Part] = [part for part in parts if not isinstance(part, Thought) and not _is_call(part)]
    # Templates of open models know no `developer` and leave such a message out; OpenAI takes both alike.
    role = "system" if message.role == "developer" and not own else message.role
    native: dict[str, Any] = {"role": role, "content": _content(said, None if calls else EMPTY, own)}
    if message.name:
        native["name"] = message.name
    if message.role == "tool":
        native["tool_call_id"] = message.call_id
    if thoughts:
        # Of several pieces one text, as servers of open models take it.
        native["reasoning_content"] = joined(thoughts, _LINE_END)
    if calls:
        native["tool_calls"] = [_call(call, own) for call in calls]
    return _whole(native, message, own)


def _is_call(part: Part) -> bool:
    return isinstance(part, Call) or (isinstance(part, Opaque) and ".tool_calls[" in part.path)


def _content(parts: list[Part], nothing: msgspec.Raw | None, own: bool) -> Any:
    """As text where it is one text: every server takes that."""
    if not parts:
        return nothing
    if len(parts) == 1 and isinstance(only := parts[0], Text):
        native = _part(only, own)
        if native.keys() == {"type", "text"}:
            return only.text
    return [_part(part, own) for part in parts]


def _part(part: Part, own: bool) -> Any:
    if isinstance(part, Opaque):
        return part.span
    if isinstance(part, Image):
        source = part.source
        url = _data_url(source) if isinstance(source, Data) else source
        return _whole({"type": "image_url", "image_url": {"url": url}}, part, own)
    assert isinstance(part, Text)  # noqa: S101 (the others are no content)
    kind = "refusal" if part.refusal else "text"
    return _whole({"type": kind, kind: part.text}, part, own)


def _data_url(data: Data) -> msgspec.Raw:
    head = _encode(f"data:{data.media_type};base64,")[:-1]
    return msgspec.Raw(head + bytes(data.base64)[1:])


def _call(call: Part, own: bool) -> Any:
    if not isinstance(call, Call):
        return call.span if isinstance(call, Opaque) else None
    function = {"name": call.name, "arguments": call.arguments or _NO_ARGUMENTS}
    return _whole({"id": call.id, "type": "function", "function": function}, call, own)
