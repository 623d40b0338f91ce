"""The conversation -> Ollama's native `/api/chat`.

`truncate` and `shift` are off: by default Ollama drops the oldest messages of a chat that does not fit and
answers as if nothing had happened. The context length is never sent: it belongs to the model, and another value
makes Ollama load the model again. Nor is `keep_alive`, which the station sets for the server.
Thinking that a client switches off is switched off; every other wish about it is left to the model, as Ollama refuses
an effort on models that do not think, and those that do think by default.
"""

from __future__ import annotations

from typing import Any

import msgspec

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
    Settings,
    Text,
    Thought,
    Tool,
    arguments_object,
    joined,
    leave_out,
)
from gridtie.dialects.object import put
from gridtie.dialects.types import RequestOptions, Untranslatable

_encode = msgspec.json.Encoder().encode
# The text parts of one message stand on lines of their own.
_LINE_END = b"\\n"
# Ollama's options of the same name.
_OPTIONS = ("temperature", "top_p", "top_k", "min_p", "seed", "frequency_penalty", "presence_penalty", "repeat_penalty")


def write(conversation: Conversation, model: str, options: RequestOptions) -> bytes:
    """The body for `/api/chat`. Raises `Untranslatable`."""
    leave_out(conversation, "ollama")
    own, settings = conversation.dialect == "ollama", conversation.settings
    native: dict[str, Any] = {
        "model": model,
        "messages": _messages(conversation.messages, own),
        "stream": options.stream,
        "truncate": False,
        "shift": False,
    }
    if chosen := _options(settings, options.output_limit):
        native["options"] = chosen
    if tools := _tools(settings, own):
        native["tools"] = tools
    if settings.format is not None:
        native["format"] = _format(settings.format)
    if settings.thinks_not:
        native["think"] = False
    return _encode(put(native, settings.rest) if own else native)


def _messages(messages: list[Message], own: bool) -> list[dict[str, Any]]:
    # Ollama's templates want the name of the function that a result belongs to; other dialects have only its id.
    function_names: dict[str, str] = {}
    native = []
    for message in messages:
        function_names.update((part.id, part.name) for part in message.parts if isinstance(part, Call) and part.id)
        native.append(_message(message, function_names, own))
    return native


def _message(message: Message, function_names: dict[str, str], own: bool) -> dict[str, Any]:
    texts = [part.text for part in message.parts if isinstance(part, Text)]
    images = [_image(part) for part in message.parts if isinstance(part, Image)]
    thoughts = [part.text for part in message.parts if isinstance(part, Thought) and part.text not in (NULL, EMPTY)]
    calls = [_call(part, own) for part in message.parts if isinstance(part, Call)]
    native: dict[str, Any] = {
        "role": "system" if message.role == "developer" else message.role,
        "content": joined(texts, _LINE_END) if texts else EMPTY,
    }
    if images:
        native["images"] = images
    if thoughts:
        native["thinking"] = joined(thoughts, _LINE_END)
    if calls:
        native["tool_calls"] = calls
    if message.role == "tool":
        native["tool_call_id"] = message.call_id
        if name := message.name or function_names.get(message.call_id):
            native["tool_name"] = name
    return put(native, message.rest) if own else native


def _call(call: Call, own: bool) -> dict[str, Any]:
    native: dict[str, Any] = {"id": call.id, "function": {"name": call.name, "arguments": arguments_object(call)}}
    return put(native, call.rest) if own else native


def _image(part: Image) -> msgspec.Raw:
    if isinstance(part.source, Data):
        return part.source.base64
    raise Untranslatable("Ollama fetches no image URLs; send the image as data:image/...;base64,...", needs="vision")


def _options(settings: Settings, output_limit: int | None) -> dict[str, Any]:
    options = {name: value for name in _OPTIONS if (value := getattr(settings, name)) is not None}
    limit = settings.limit if settings.limit is not None else output_limit
    if limit is not None:
        options["num_predict"] = limit
    if settings.stops:
        options["stop"] = settings.stops
    return options


def _tools(settings: Settings, own: bool) -> list[dict[str, Any]]:
    """The tools. What Ollama cannot be told is held when its answer is read (`Facts.one_tool_call`, `must_call`)."""
    tools = [tool for tool in settings.tools if isinstance(tool, Tool)]
    choice = settings.choice
    if not tools or (choice is not None and choice.kind == "none"):
        # A model that is shown no tools calls none.
        return []
    if choice is not None and choice.kind == "named":
        # Nor any other, where it is shown one.
        tools = [tool for tool in tools if tool.name == choice.name][:1]
        if not tools:
            raise Untranslatable(f"tool_choice names the function {choice.name[:64]!r}, and tools does not have it")
    return [_tool(tool, own) for tool in tools]


def _tool(tool: Tool, own: bool) -> dict[str, Any]:
    native: dict[str, Any] = {
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description if tool.description != NULL else EMPTY,
            "parameters": tool.parameters if tool.parameters != NULL else NO_PARAMETERS,
        },
    }
    return put(native, tool.rest) if own else native


def _format(format_: Format) -> str | msgspec.Raw:
    return "json" if format_.schema is None else format_.schema
