"""Reading the facts of an OpenAI chat request: one pass, with everything that money or policy rests on checked.

Text, images, schemas and arguments are measured where they stand and not decoded. What only an upstream can judge
(roles, unknown fields, kinds of parts) passes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

from gridtie.dialects.facts import Facts
from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.found import got, kind, unquoted
from gridtie.dialects.openai_chat.numbers import NUMBERS, number
from gridtie.dialects.types import InvalidRequest

MAX_MODEL_CHARACTERS = 256
# The most bytes that so many characters can take as JSON: each as a pair of \uXXXX escapes, and the quotes.
_MAX_MODEL_BYTES = 12 * MAX_MODEL_CHARACTERS + 2

_T = TypeVar("_T")
_Raw = msgspec.Raw
_NULL, _TRUE, _FALSE = _Raw(b"null"), _Raw(b"true"), _Raw(b"false")
_NOTHING = (_NULL, _Raw(b"[]"), _Raw(b"{}"), _Raw(b'""'))
_LIST = ord("[")
_BOM = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff", b"{\0", b"\0{")

# JSON around the values of one message or part that is neither text nor image: braces, keys, role, white space.
_FRAME_BYTES = 200

_PLAIN_PARTS = {"text", "refusal"}
_IMAGE_PARTS = {"image_url", "image", "input_image"}
_PLAIN_TOOLS = {"function", "custom"}
_PLAIN_TIERS = {"auto", "default", "flex"}
# OpenRouter's: other models, or plugins with a price of their own.
_BILLED_FIELDS = ("web_search_options", "audio", "models", "plugins")


class _Part(msgspec.Struct):
    type: str = ""
    text: msgspec.Raw = _NULL
    image_url: msgspec.Raw = _NULL
    image: msgspec.Raw = _NULL
    cache_control: msgspec.Raw = _NULL


class _Tool(msgspec.Struct):
    type: str | None = None
    cache_control: msgspec.Raw = _NULL


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _ResponseFormat(msgspec.Struct):
    type: str | None = None


_fields = msgspec.json.Decoder(dict[str, _Raw]).decode
_text = msgspec.json.Decoder(str).decode
_messages = msgspec.json.Decoder(list[dict[str, _Raw]]).decode
_parts = msgspec.json.Decoder(list[_Part]).decode
_part = msgspec.json.Decoder(_Part).decode
_items = msgspec.json.Decoder(list[_Raw]).decode
_tools = msgspec.json.Decoder(list[_Tool]).decode
_texts = msgspec.json.Decoder(list[str]).decode
_stream_options = msgspec.json.Decoder(_StreamOptions | None).decode
_response_format = msgspec.json.Decoder(_ResponseFormat | None).decode

# The sets of needs that there can be, made once.
_NEEDS = {
    (tools, vision, json): frozenset(
        name for name, needed in (("tools", tools), ("vision", vision), ("json", json)) if needed
    )
    for tools in (False, True)
    for vision in (False, True)
    for json in (False, True)
}
_NO_EXTRAS: frozenset[str] = frozenset()


def read(body: bytes | bytearray) -> Facts:
    """The facts of a client's body. Raises `InvalidRequest`."""
    fields = _object(body)
    reading = _Reading(fields)
    for name, value in fields.items():
        take = _TAKE.get(name)
        if take is not None and value != _NULL:
            take(reading, name, value)
    return reading.facts()


class _Reading:
    """What has been read so far; each method takes one field."""

    model = ""
    stream = wants_usage = json = caches = single = False
    max_output: int | None = None
    choices = 1
    text = messages = images = image_bytes = 0
    tools = True
    offers_tools = False
    extras: set[str] | None = None

    def __init__(self, fields: dict[str, msgspec.Raw]) -> None:
        self.fields = fields

    def facts(self) -> Facts:
        tools = self.offers_tools and self.tools
        return Facts(
            fields=self.fields,
            model=self.model,
            stream=self.stream,
            wants_usage=self.wants_usage,
            max_output=self.max_output,
            choices=self.choices,
            needs=_NEEDS[tools, self.images > 0, self.json],
            text_bytes=self.text,
            messages=self.messages,
            images=self.images,
            image_bytes=self.image_bytes,
            extras=_NO_EXTRAS if self.extras is None else frozenset(self.extras),
            caches=self.caches,
            one_tool_call=self.single and tools,
        )

    def take_model(self, name: str, value: msgspec.Raw) -> None:
        if len(value) > _MAX_MODEL_BYTES:
            raise InvalidRequest(name, f"a value of {len(value)} bytes", _MODEL)
        self.model = model = _typed(_text, name, value, _MODEL)
        if len(model) > MAX_MODEL_CHARACTERS:
            raise InvalidRequest(name, f"a name of {len(model)} characters", _MODEL)
        if not model.isprintable():
            raise InvalidRequest(name, "a name with characters that cannot be printed", _MODEL)

    def take_stream(self, name: str, value: msgspec.Raw) -> None:
        self.stream = _flag(name, value)

    def take_single(self, name: str, value: msgspec.Raw) -> None:
        # Odd values are upstream's to judge.
        self.single = value == _FALSE

    def take_stream_options(self, name: str, value: msgspec.Raw) -> None:
        options = _typed(_stream_options, name, value, "an object whose include_usage is true or false")
        self.wants_usage = options is not None and bool(options.include_usage)

    def take_limit(self, name: str, value: msgspec.Raw) -> None:
        limit = int(number(self.fields, name, value))
        self.max_output = limit if self.max_output is None else max(limit, self.max_output)

    def take_choices(self, name: str, value: msgspec.Raw) -> None:
        self.choices = int(number(self.fields, name, value))

    def take_number(self, name: str, value: msgspec.Raw) -> None:
        number(self.fields, name, value)

    def take_response_format(self, name: str, value: msgspec.Raw) -> None:
        shape = _typed(_response_format, name, value, "an object whose type is text")
        self.json = shape is not None and shape.type in ("json_object", "json_schema")
        if self.json:
            self.text += len(value)

    def take_tool_choice(self, _name: str, value: msgspec.Raw) -> None:
        # A model that may call none needs not be able to; every other value is upstream's to judge.
        self.tools = value != _Raw(b'"none"')

    def take_tools(self, name: str, value: msgspec.Raw) -> None:
        tools = _typed(_tools, name, value, "a list of objects, each with a type")
        self.offers_tools = self.offers_tools or bool(tools)
        self.text += len(value)
        for tool in tools:
            if tool.type is not None and tool.type not in _PLAIN_TOOLS:
                self.bill("server-side tools")
            if tool.cache_control != _NULL:
                self.caches = True

    def take_functions(self, _name: str, value: msgspec.Raw) -> None:
        self.offers_tools = self.offers_tools or value not in _NOTHING
        self.text += len(value)

    def take_text(self, _name: str, value: msgspec.Raw) -> None:
        self.text += len(value)

    def take_billed(self, name: str, value: msgspec.Raw) -> None:
        # Web search with an empty object is asked for, with its defaults.
        if name == "web_search_options" or value not in _NOTHING:
            self.bill(name)

    def take_service_tier(self, name: str, value: msgspec.Raw) -> None:
        if _typed(_text, name, value, "auto, default, flex or a name that the provider knows") not in _PLAIN_TIERS:
            self.bill(name)

    def take_modalities(self, name: str, value: msgspec.Raw) -> None:
        if set(_typed(_texts, name, value, "a list of strings")) - {"text"}:
            self.bill("audio")

    def bill(self, what: str) -> None:
        if self.extras is None:
            self.extras = set()
        self.extras.add(what)

    def take_messages(self, name: str, value: msgspec.Raw) -> None:
        try:
            messages = _messages(value)
        except UNREADABLE as error:
            raise _not_messages(name, value, error) from None
        before = self.text + self.image_bytes
        frames = self.messages = len(messages)
        for index, message in enumerate(messages):
            for key, part in message.items():
                if part == _NULL or key == "role":
                    continue
                if key == "content" and memoryview(part)[0] == _LIST:
                    frames += self._take_parts(index, part)
                elif key == "cache_control":
                    self.caches = True
                else:
                    self.text += len(part) - 2
        # A key that is doubled inside a message, or a mass of white space: whoever reads it may bill it.
        hidden = len(value) - (self.text + self.image_bytes - before) - _FRAME_BYTES * frames
        if hidden > 0:
            self.text += hidden

    def _take_parts(self, index: int, value: msgspec.Raw) -> int:
        try:
            parts = _parts(value)
        except UNREADABLE:
            return self._take_odd_parts(index, value)
        for part in parts:
            self._take_part(part, len(part.text) - 2)
        return len(parts)

    def _take_odd_parts(self, index: int, value: msgspec.Raw) -> int:
        """Parts of which some are no objects, as vLLM takes them."""
        items = _items(value)
        for place, item in enumerate(items):
            if memoryview(item)[0] == ord("{"):
                path = f"messages[{index}].content[{place}]"
                self._take_part(_typed(_part, path, item, "an object whose type is a string"), len(item))
            else:
                self.text += len(item)
        return len(items)

    def _take_part(self, part: _Part, text: int) -> None:
        if part.cache_control != _NULL:
            self.caches = True
        if part.type in _PLAIN_PARTS:
            self.text += text
        elif part.type in _IMAGE_PARTS:
            self.images += 1
            self.image_bytes += max(len(part.image_url), len(part.image))
        else:
            self.bill(part.type if part.type in _BILLED_PARTS else "content parts of an unknown type")


_BILLED_PARTS = {"input_audio", "file", "video_url", "input_file"}
_MODEL = f"a name of at most {MAX_MODEL_CHARACTERS} printable characters"

_TAKE: dict[str, Callable[[_Reading, str, msgspec.Raw], None]] = {
    **dict.fromkeys(NUMBERS, _Reading.take_number),
    **dict.fromkeys(_BILLED_FIELDS, _Reading.take_billed),
    "model": _Reading.take_model,
    "messages": _Reading.take_messages,
    "stream": _Reading.take_stream,
    "stream_options": _Reading.take_stream_options,
    "max_tokens": _Reading.take_limit,
    "max_completion_tokens": _Reading.take_limit,
    "n": _Reading.take_choices,
    "tools": _Reading.take_tools,
    "functions": _Reading.take_functions,
    "tool_choice": _Reading.take_tool_choice,
    "function_call": _Reading.take_tool_choice,
    "parallel_tool_calls": _Reading.take_single,
    "response_format": _Reading.take_response_format,
    "prediction": _Reading.take_text,
    "service_tier": _Reading.take_service_tier,
    "modalities": _Reading.take_modalities,
}


def _object(body: bytes | bytearray) -> dict[str, msgspec.Raw]:
    try:
        return _fields(body)
    except msgspec.ValidationError as error:
        raise InvalidRequest("", got(error), "a JSON object") from None
    except RecursionError:
        raise InvalidRequest("", "values nested too deep", "a JSON object of a few levels") from None
    except UNREADABLE as error:
        if body.startswith(_BOM):
            return _object(body[len(_BOM) :])
        raise InvalidRequest("", _no_json(body, error), "a JSON object in UTF-8") from None


def _no_json(body: bytes | bytearray, error: Exception) -> str:
    if not body:
        return "nothing"
    return "UTF-16" if body.startswith(_UTF_16) else f"no JSON ({unquoted(error)})"


def _not_messages(name: str, value: msgspec.Raw, error: Exception) -> InvalidRequest:
    """Which message is none."""
    place = re.search(r"\$(\[\d+\])", str(error))
    if place is None:
        return InvalidRequest(name, got(error), "a list of messages")
    return InvalidRequest(name + place[1], got(error), "an object with a role and content")


def _flag(name: str, value: msgspec.Raw) -> bool:
    if value == _TRUE:
        return True
    if value == _FALSE:
        return False
    raise InvalidRequest(name, kind(value), "true or false")


def _typed(decode: Callable[[msgspec.Raw], _T], name: str, value: msgspec.Raw, wanted: str) -> _T:
    try:
        return decode(value)
    except UNREADABLE as error:
        raise InvalidRequest(name, got(error), wanted) from None
