"""OpenAI chat request -> Ollama's native `/api/chat`.

`truncate` and `shift` are off: by default Ollama drops the oldest messages of a chat that does not fit and
answers as if nothing had happened. The context length is never sent: it belongs to the model, and another value
makes Ollama load the model again. Nor is `keep_alive`, which the station sets for the server.
Thinking that a client switches off is switched off; every other wish about it is left to the model, as Ollama refuses
an effort on models that do not think, and those that do think by default.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gridtie.dialects.facts import Facts
from gridtie.dialects.openai_chat.conversation import (
    NULL,
    ChatRequest,
    Conversation,
    NamedTool,
    ResponseFormat,
    Tool,
    ToolCall,
    Turn,
    arguments_of,
    read,
    schema_of,
)
from gridtie.dialects.openai_chat.parts import DataUrl, ImagePart, TextPart, image_address, joined
from gridtie.dialects.types import Untranslatable

_encode = msgspec.json.Encoder().encode
_EMPTY = msgspec.Raw(b'""')
_NO_PARAMETERS = msgspec.Raw(b'{"type":"object","properties":{}}')
# The text parts of one message stand on lines of their own.
_LINE_END = b"\\n"
# OpenAI's field -> Ollama's option, where only the name differs.
_OPTIONS = ("temperature", "top_p", "top_k", "min_p", "seed", "frequency_penalty", "presence_penalty", "repeat_penalty")


def translate(facts: Facts, model: str, output_limit: int | None) -> bytes:
    """The body for `/api/chat`, always streamed. Raises `Untranslatable`."""
    conversation = read(facts)
    settings = conversation.settings
    native: dict[str, Any] = {
        "model": model,
        "messages": _messages(conversation),
        "stream": True,
        "truncate": False,
        "shift": False,
    }
    if options := _options(settings, output_limit):
        native["options"] = options
    if tools := _tools(settings):
        native["tools"] = tools
    if (format_ := _format(settings.response_format)) is not None:
        native["format"] = format_
    if settings.thinks_not:
        native["think"] = False
    return _encode(native)


def _messages(conversation: Conversation) -> list[dict[str, Any]]:
    # Ollama's templates want the name of the function that a result belongs to; OpenAI's messages only its id.
    function_names: dict[str, str] = {}
    native = []
    for turn in conversation.turns:
        for call in turn.calls:
            if call.function is not None and call.id:
                function_names[call.id] = call.function.name
        native.append(_message(turn, function_names))
    return native


def _message(turn: Turn, function_names: dict[str, str]) -> dict[str, Any]:
    texts = [part.text for part in turn.parts if isinstance(part, TextPart)]
    images = [_image(part, turn.path) for part in turn.parts if isinstance(part, ImagePart)]
    native: dict[str, Any] = {
        "role": "system" if turn.role == "developer" else turn.role,
        "content": joined(texts, _LINE_END) if texts else _EMPTY,
    }
    if images:
        native["images"] = images
    if turn.reasoning not in (NULL, _EMPTY):
        native["thinking"] = turn.reasoning
    if turn.calls:
        native["tool_calls"] = [_call(call) for call in turn.calls]
    if turn.role == "tool":
        native["tool_call_id"] = turn.call_id
        if name := turn.name or function_names.get(turn.call_id):
            native["tool_name"] = name
    return native


def _call(call: ToolCall) -> dict[str, Any]:
    function = {} if call.function is None else {"name": call.function.name, "arguments": arguments_of(call.function)}
    return {"id": call.id or "", "function": function}


def _image(part: ImagePart, path: str) -> msgspec.Raw:
    address = image_address(part, path)
    if isinstance(address, DataUrl):
        return address.data
    raise Untranslatable("Ollama fetches no image URLs; send the image as data:image/...;base64,...", needs="vision")


def _options(settings: ChatRequest, output_limit: int | None) -> dict[str, Any]:
    options = {name: value for name in _OPTIONS if (value := getattr(settings, name)) is not None}
    limit = settings.limit if settings.limit is not None else output_limit
    if limit is not None:
        options["num_predict"] = limit
    if settings.stops:
        options["stop"] = settings.stops
    return options


def _tools(settings: ChatRequest) -> list[dict[str, Any]]:
    """The tools. What Ollama cannot be told is held when its answer is read (`Facts.one_tool_call`, `must_call`)."""
    choice = settings.tool_choice
    if not settings.tools or choice == "none":
        # A model that is shown no tools calls none.
        return []
    if isinstance(choice, NamedTool):
        if choice.function is None:
            what = f"Ollama has no tool choice of type {choice.type[:64]!r}, only auto, none, required and a function"
            raise Untranslatable(what, needs="tool_choice")
        # Nor any other, where it is shown one.
        named = choice.function.name
        shown = [tool for tool in settings.tools if tool.function.name == named]
        if not shown:
            raise Untranslatable(f"tool_choice names the function {named[:64]!r}, and tools does not have it")
        return [_tool(shown[0])]
    return [_tool(tool) for tool in settings.tools]


def _tool(tool: Tool) -> dict[str, Any]:
    function = tool.function
    return {
        "type": "function",
        "function": {
            "name": function.name,
            "description": function.description if function.description != NULL else _EMPTY,
            "parameters": function.parameters if function.parameters != NULL else _NO_PARAMETERS,
        },
    }


def _format(response_format: ResponseFormat | None) -> str | msgspec.Raw | None:
    schema = schema_of(response_format)
    if schema is not None:
        return schema
    return "json" if response_format is not None and response_format.type == "json_object" else None
