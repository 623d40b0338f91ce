"""A request to Ollama's native `/api/chat` -> the conversation."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import msgspec

from gridtie.dialects.conversation import (
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
)
from gridtie.dialects.facts import Facts
from gridtie.dialects.found import kind
from gridtie.dialects.object import Object
from gridtie.dialects.types import Untranslatable

_Raw = msgspec.Raw
_EMPTY_STRING = 2  # bytes: its quotes
_JSON, _NO_FORMAT, _FALSE = _Raw(b'"json"'), (NULL, _Raw(b'""')), _Raw(b"false")
_ROLES = ("system", "user", "assistant", "tool")
_NUMBERS = ("temperature", "top_p", "min_p", "frequency_penalty", "presence_penalty", "repeat_penalty")
# What base64 begins with, of the kinds of pictures that a model takes: the first bytes of the files.
_MEDIA_TYPES = {b"iVBO": "image/png", b"/9j/": "image/jpeg", b"R0lG": "image/gif", b"UklG": "image/webp"}


def read(facts: Facts) -> Conversation:
    """The conversation of a client's body. Raises `Untranslatable` where it is malformed."""
    fields = facts.fields.copy()
    messages = fields.pop("messages", NULL)
    settings = _settings(Object(fields, ""))
    items = Object({"messages": messages}, "").spans("messages")
    if not items:
        raise Untranslatable("'messages' is empty; a chat needs at least one message")
    waiting = _Waiting()
    found = [_message(item, f"messages[{at}]", waiting) for at, item in enumerate(items)]
    return Conversation("ollama", settings, found)


# -- Settings ----------------------------------------------------------------------------------------------------------


def _settings(body: Object) -> Settings:
    for name in ("model", "stream"):
        body.take(name)
    settings = Settings(
        tools=[_tool(span, f"tools[{at}]") for at, span in enumerate(body.spans("tools"))],
        format=_format(body),
        thinks_not=body.peek("think") == _FALSE,
    )
    if (options := body.inner("options")) is not None:
        _read_options(options, settings)
    settings.rest = body.rest()
    return settings


def _read_options(options: Object, settings: Settings) -> None:
    limit = options.whole("num_predict")
    # Below 0 is no limit.
    settings.limit = limit if limit is not None and limit > 0 else None
    stop = options.peek("stop")
    if stop != NULL:
        one = kind(stop) == "a string"
        settings.stops = [options.string("stop") or ""] if one else options.strings("stop") or []
    settings.top_k, settings.seed = options.whole("top_k"), options.whole("seed")
    for name in _NUMBERS:
        setattr(settings, name, options.number(name))


def _format(body: Object) -> Format | None:
    span = body.take("format")
    if span in _NO_FORMAT:
        return None
    if span == _JSON:
        return Format(path="format")
    if kind(span) != "an object":
        raise body.wrong("format", kind(span), '"json", or a JSON schema')
    return Format(path="format", schema=span)


def _tool(span: msgspec.Raw, path: str) -> Tool | Opaque:
    tool = Object.read(span, path)
    type_ = tool.string("type") or "function"
    function = tool.inner("function")
    if type_ != "function" or function is None:
        return Opaque(path=path, span=span, kind=type_[:64], needs="tools")
    name = function.string("name")
    if name is None:
        raise function.wrong("name", "nothing", "the function's name")
    description, parameters = function.json_string("description"), function.take("parameters")
    return Tool(path=path, name=name, description=description, parameters=parameters, rest=tool.rest())


# -- Messages ----------------------------------------------------------------------------------------------------------


def _message(span: msgspec.Raw, path: str, waiting: _Waiting) -> Message:
    message = Object.read(span, path)
    role = message.string("role")
    if role not in _ROLES:
        raise message.wrong("role", "an unknown role", f"one of {', '.join(_ROLES)}")
    parts: list[Part] = []
    thought, text = message.json_string("thinking"), message.json_string("content")
    if thought != NULL and len(thought) > _EMPTY_STRING:
        parts.append(Thought(path=path, text=thought))
    if text != NULL and len(text) > _EMPTY_STRING:
        parts.append(Text(path=path, text=text))
    parts += [_image(data, f"{path}.images[{at}]") for at, data in enumerate(message.spans("images"))]
    for at, call in enumerate(message.spans("tool_calls")):
        parts.append(_call(call, f"{path}.tool_calls[{at}]", waiting))
    found = Message(path=path, role=_role(role), parts=parts)
    if role == "tool":
        found.name = message.string("tool_name") or message.string("name") or ""
        found.call_id = waiting.answered(message.string("tool_call_id") or "", found.name)
    found.rest = message.rest()
    return found


def _role(role: str) -> Literal["system", "user", "assistant", "tool"]:
    return role  # type: ignore[return-value]


def _image(data: msgspec.Raw, path: str) -> Image:
    if kind(data) != "a string":
        raise Untranslatable(f"{path}: found {kind(data)}, wanted an image in base64")
    begins = bytes(memoryview(data)[1:5])
    return Image(path=path, source=Data(_MEDIA_TYPES.get(begins, "image/png"), data))


def _call(span: msgspec.Raw, path: str, waiting: _Waiting) -> Call:
    call = Object.read(span, path)
    function = call.inner("function")
    name = None if function is None else function.string("name")
    if function is None or name is None:
        raise call.wrong("function.name", "nothing", "the function's name")
    arguments = function.take("arguments")
    if kind(arguments) not in ("an object", "null"):
        raise function.wrong("arguments", kind(arguments), "an object")
    # Ollama names calls by their order alone; the same conversation always gets the same ids.
    id = call.string("id") or f"call_{path.translate(_NO_BRACKETS)}"
    waiting.add(id, name)
    text = "" if arguments == NULL else bytes(arguments).decode()
    for ignored in ("type",):
        call.take(ignored)
    function.take("index")
    return Call(path=path, id=id, name=name, arguments=text, rest=call.rest())


_NO_BRACKETS = str.maketrans({"[": "", "]": "", ".": "_"})


class _Waiting:
    """Calls that have no result yet, by their ids and by the names of their functions; the first is found at once."""

    def __init__(self) -> None:
        self._names: OrderedDict[str, list[str]] = OrderedDict()
        self._by_name: dict[str, OrderedDict[str, None]] = {}

    def add(self, id: str, name: str) -> None:
        self._names.setdefault(id, []).append(name)
        self._by_name.setdefault(name, OrderedDict())[id] = None

    def answered(self, id: str, name: str) -> str:
        """The call that a result belongs to: the one it names, else the first that waits for one of this name, or any.

        It waits no longer.
        """
        if not id:
            id = next(iter(self._by_name.get(name) or self._names), "call")
        for each in self._names.pop(id, ()):
            self._by_name[each].pop(id, None)
        return id
