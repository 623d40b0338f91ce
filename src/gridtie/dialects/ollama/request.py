"""OpenAI chat request -> Ollama's native `/api/chat`.

`truncate` and `shift` are off: by default Ollama drops the oldest messages of a chat that does not fit and
answers as if nothing had happened. The context length is never sent: it belongs to the model, and another value
makes Ollama load the model again. Nor is `keep_alive`, which the station sets for the server.
`reasoning_effort: none` switches thinking off; every other effort is left to the model, as Ollama refuses
an effort on models that do not think.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gridtie.dialects.facts import Facts
from gridtie.dialects.openai_chat import conversation as chat
from gridtie.dialects.types import Untranslatable

_encode = msgspec.json.Encoder().encode
_NO_PARAMETERS = msgspec.Raw(b'{"type":"object","properties":{}}')
# OpenAI's field -> Ollama's option, where only the name differs.
_OPTIONS = ("temperature", "top_p", "top_k", "min_p", "seed", "frequency_penalty", "presence_penalty", "repeat_penalty")


def translate(facts: Facts, model: str, output_limit: int | None) -> bytes:
    """The body for `/api/chat`. Raises `Untranslatable`."""
    request = chat.read(facts)
    native: dict[str, Any] = {
        "model": model,
        "messages": _messages(request.messages),
        "stream": True,
        "truncate": False,
        "shift": False,
    }
    if options := _options(request, output_limit):
        native["options"] = options
    if tools := _tools(request):
        native["tools"] = tools
    if (format_ := _format(request.response_format)) is not None:
        native["format"] = format_
    if request.reasoning_effort == "none":
        native["think"] = False
    return _encode(native)


def _messages(messages: list[chat.Message]) -> list[dict[str, Any]]:
    # Ollama's templates want the name of the function that a result belongs to; OpenAI's messages only its id.
    function_names: dict[str, str] = {}
    native = []
    for message in messages:
        for call in message.tool_calls or ():
            if call.function is not None and call.id:
                function_names[call.id] = call.function.name
        native.append(_message(message, function_names))
    return native


def _message(message: chat.Message, function_names: dict[str, str]) -> dict[str, Any]:
    text, images = _content(message)
    native: dict[str, Any] = {"role": "system" if message.role == "developer" else message.role, "content": text}
    if images:
        native["images"] = images
    if thinking := message.reasoning_content or message.reasoning:
        native["thinking"] = thinking
    if message.tool_calls:
        native["tool_calls"] = [
            {
                "id": call.id or "",
                "function": {"name": call.function.name, "arguments": chat.arguments_of(call.function)},
            }
            for call in message.tool_calls
            if call.function is not None
        ]
    if message.role == "tool":
        native["tool_call_id"] = message.tool_call_id or ""
        if name := message.name or function_names.get(message.tool_call_id or ""):
            native["tool_name"] = name
    return native


def _content(message: chat.Message) -> tuple[str, list[str]]:
    """(text, base64 images); the text parts of one message stand on lines of their own."""
    if not isinstance(message.content, list):
        return message.content or message.refusal or "", []
    texts, images = [], []
    for part in message.content:
        text = chat.text_of(part)
        if text is not None:
            texts.append(text)
        elif isinstance(part, chat.ImagePart):
            images.append(_image(part.image_url.url))
    return "\n".join(texts), images


def _image(url: str) -> str:
    data = chat.data_url(url)
    if data is None:
        raise Untranslatable(
            "Ollama fetches no image URLs; send the image as data:image/...;base64,...", needs="vision"
        )
    return data[1]


def _options(request: chat.ChatRequest, output_limit: int | None) -> dict[str, Any]:
    options = {name: value for name in _OPTIONS if (value := getattr(request, name)) is not None}
    limit = request.limit if request.limit is not None else output_limit
    if limit is not None:
        options["num_predict"] = limit
    if request.stops:
        options["stop"] = request.stops
    return options


def _tools(request: chat.ChatRequest) -> list[dict[str, Any]]:
    if not request.tools or request.tool_choice == "none":
        # A model that is shown no tools calls none.
        return []
    if request.tool_choice not in (None, "auto"):
        raise Untranslatable(
            "Ollama cannot force a tool call: tool_choice may be 'auto' or 'none'", needs="tool_choice"
        )
    if request.parallel_tool_calls is False:
        raise Untranslatable("Ollama cannot limit a model to one tool call at a time", needs="parallel_tool_calls")
    return [
        {
            "type": "function",
            "function": {
                "name": tool.function.name,
                "description": tool.function.description or "",
                "parameters": tool.function.parameters if chat.present(tool.function.parameters) else _NO_PARAMETERS,
            },
        }
        for tool in request.tools
        if tool.function is not None
    ]


def _format(response_format: chat.ResponseFormat | None) -> str | msgspec.Raw | None:
    if response_format is None or response_format.type == "text":
        return None
    if response_format.type == "json_object":
        return "json"
    if response_format.json_schema is None or not chat.present(response_format.json_schema.schema):
        raise Untranslatable("response_format is json_schema without json_schema.schema; add the schema")
    return response_format.json_schema.schema
