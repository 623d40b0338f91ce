"""An OpenAI chat request -> the conversation."""

from __future__ import annotations

import msgspec

from gridtie.dialects.conversation import (
    NULL,
    Call,
    Choice,
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
from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.found import kind
from gridtie.dialects.object import Object
from gridtie.dialects.types import Untranslatable

_Raw = msgspec.Raw
_FALSE = _Raw(b"false")
_EMPTY_STRING = 2  # bytes: its quotes
# A data URL says what it is within its first bytes; the media type and its parameters are short.
_HEAD_BYTES = 256
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
# What an unknown part asks for, by its type.
_NEEDS = {"input_audio": "audio", "file": "files"}
_NUMBERS = ("temperature", "top_p", "min_p", "frequency_penalty", "presence_penalty", "repeat_penalty")

_decoded = msgspec.json.Decoder(str).decode
_stops = msgspec.json.Decoder(str | list[str]).decode
_any_object = msgspec.json.Decoder(dict[str, _Raw]).decode


def read(facts: Facts) -> Conversation:
    """The conversation of a client's body. Raises `Untranslatable` where it is malformed."""
    fields = facts.fields.copy()
    messages = fields.pop("messages", NULL)
    settings = _settings(Object(fields, ""))
    items = Object({"messages": messages}, "").spans("messages")
    if not items:
        raise Untranslatable("'messages' is empty; a chat needs at least one message")
    return Conversation("openai", settings, [_message(item, f"messages[{at}]") for at, item in enumerate(items)])


# -- Settings ----------------------------------------------------------------------------------------------------------


def _settings(body: Object) -> Settings:
    for name in ("model", "stream"):
        body.take(name)
    if (options := body.inner("stream_options")) is not None:
        options.flag("include_usage")
    newer, limit = body.whole("max_completion_tokens"), body.whole("max_tokens")
    settings = Settings(
        limit=newer if newer is not None else limit,
        stops=_read_stops(body),
        top_k=body.whole("top_k"),
        seed=body.whole("seed"),
        tools=[_tool(span, f"tools[{at}]") for at, span in enumerate(body.spans("tools"))],
        choice=_choice(body),
        parallel=body.flag("parallel_tool_calls"),
        format=_format(body),
        thinks_not=_thinks_not(body),
    )
    for name in _NUMBERS:
        if (value := body.number(name)) is not None:
            setattr(settings, name, value)
    settings.rest = body.rest()
    return settings


def _read_stops(body: Object) -> list[str]:
    span = body.take("stop")
    if span == NULL:
        return []
    try:
        stop = _stops(span)
    except UNREADABLE:
        raise body.wrong("stop", kind(span), "a string, or a list of strings") from None
    return [stop] if isinstance(stop, str) else stop


def _thinks_not(body: Object) -> bool:
    template = body.inner("chat_template_kwargs")
    switches = () if template is None else (template.peek("enable_thinking"), template.peek("thinking"))
    return body.peek("reasoning_effort") == _Raw(b'"none"') or body.peek("think") == _FALSE or _FALSE in switches


def _tool(span: msgspec.Raw, path: str) -> Tool | Opaque:
    tool = Object.read(span, path)
    type_ = tool.string("type") or "function"
    if type_ != "function":
        return Opaque(path=path, span=span, kind=type_[:64], needs="tools")
    function = tool.inner("function")
    name = function.string("name") if function is not None else None
    if function is None or name is None:
        raise tool.wrong("function.name", "nothing", "the function's name")
    cache = tool.take("cache_control")
    return Tool(
        path=path,
        name=name,
        description=function.json_string("description"),
        parameters=function.take("parameters"),
        strict=function.flag("strict"),
        cache=_marked(function.take("cache_control"), cache),
        rest=tool.rest(),
    )


def _marked(first: msgspec.Raw, second: msgspec.Raw) -> msgspec.Raw:
    return first if first != NULL else second


def _choice(body: Object) -> Choice | None:
    span = body.peek("tool_choice")
    if span == NULL:
        return None
    if kind(span) == "a string":
        match body.string("tool_choice"):
            case "auto" | "none" | "required" as word:
                return Choice(word)
        raise body.wrong("tool_choice", "another word", "auto, none, required or a function")
    choice = Object.read(span, "tool_choice")
    if choice.string("type") != "function":
        return None  # kept as it is
    named = body.inner("tool_choice")
    function = None if named is None else named.inner("function")
    if named is None or function is None:
        raise body.wrong("tool_choice.function", "nothing", "an object with a name")
    named.take("type")
    return Choice("named", function.string("name") or "")


def _format(body: Object) -> Format | None:
    form = body.inner("response_format")
    if form is None:
        return None
    type_ = form.string("type")
    if type_ not in ("text", "json_object", "json_schema"):
        raise form.wrong("type", "another word", "text, json_object or json_schema")
    labelled = form.inner("json_schema")
    # llama.cpp's, with either type.
    schema = form.take("schema")
    if labelled is not None:
        schema = _marked(labelled.take("schema"), schema)
    if type_ == "text":
        if schema != NULL:
            raise Untranslatable("response_format.schema: found a schema beside the type text; leave out one of them")
        return None
    if type_ == "json_schema" and schema == NULL:
        raise Untranslatable("response_format is json_schema without json_schema.schema; add the schema")
    found = Format(path="response_format", schema=None if schema == NULL else schema)
    if labelled is not None:
        found.name, found.description = labelled.take("name"), labelled.take("description")
        found.strict = labelled.flag("strict")
    return found


# -- Messages ----------------------------------------------------------------------------------------------------------


def _message(span: msgspec.Raw, path: str) -> Message:
    message = Object.read(span, path)
    role = message.string("role")
    if role not in _ROLES:
        raise message.wrong("role", "an unknown role", f"one of {', '.join(_ROLES)}")
    if message.holds_only("content") and role != "function":
        # As most are.
        said = _parts(message.take("content"), f"{path}.content")
        return Message(path=path, role=role, parts=said)  # type: ignore[arg-type]
    if role == "function" or message.peek("function_call") != NULL:
        raise Untranslatable("function calls of the old form are not translated; use tools", needs="functions")
    parts: list[Part] = []
    thought, other = message.json_string("reasoning_content"), message.json_string("reasoning")
    thought = _marked(thought, other)
    if len(thought) > _EMPTY_STRING and thought != NULL:
        parts.append(Thought(path=path, text=thought))
    said = _parts(message.take("content"), f"{path}.content")
    refusal = message.json_string("refusal")
    if not said and refusal != NULL and len(refusal) > _EMPTY_STRING:
        said = [Text(path=path, text=refusal, refusal=True)]
    parts += said
    calls = message.spans("tool_calls")
    parts += [_call(call, f"{path}.tool_calls[{at}]") for at, call in enumerate(calls)]
    return Message(
        path=path,
        role=role,  # type: ignore[arg-type]
        parts=parts,
        name=message.string("name") or "",
        call_id=message.string("tool_call_id") or "",
        cache=message.take("cache_control"),
        rest=message.rest(),
    )


def _parts(content: msgspec.Raw, path: str) -> list[Part]:
    """The parts of a content in any of its forms, empty text left out."""
    if content == NULL:
        return []
    if kind(content) == "a string":
        return [Text(path=path, text=content)] if len(content) > _EMPTY_STRING else []
    if kind(content) != "a list":
        raise Untranslatable(f"{path}: found {kind(content)}, wanted a string, or a list of parts")
    found: list[Part] = []
    for at, span in enumerate(Object({"": content}, path).spans("")):
        part = _part(span, f"{path}[{at}]")
        if part is not None:
            found.append(part)
    return found


def _part(span: msgspec.Raw, path: str) -> Part | None:
    part = Object.read(span, path)
    type_ = part.string("type") or ""
    if type_ in ("text", "refusal"):
        text = part.json_string(type_)
        if text == NULL or len(text) == _EMPTY_STRING:
            return None
        cache = part.take("cache_control")
        return Text(path=path, text=text, refusal=type_ == "refusal", cache=cache, rest=part.rest())
    if type_ == "image_url":
        return _image(part)
    return Opaque(path=path, span=span, kind=type_[:64], needs=_NEEDS.get(type_, "content"))


def _image(part: Object) -> Image:
    if kind(part.peek("image_url")) == "an object":
        inner = part.inner("image_url")
        url = NULL if inner is None else inner.take("url")
    else:
        url = part.take("image_url")
    source = address(url, part.path)
    cache = part.take("cache_control")
    return Image(path=part.path, source=source, cache=cache, rest=part.rest())


def address(url: msgspec.Raw, path: str) -> Data | msgspec.Raw:
    """An image's data, or the address where it lies, as a JSON string. Raises `Untranslatable`."""
    if kind(url) != "a string":
        raise Untranslatable(f"{path}.image_url.url: found {kind(url)}, wanted a string")
    # The head is read, the data stays: it is megabytes.
    span = bytes(url)
    start = span[1:_HEAD_BYTES].lower()
    if not start.startswith(b"data:"):
        return url
    comma = span.find(b",", 1, _HEAD_BYTES)
    head = _text(span[1:comma]) if comma > 0 else ""
    media_type, *parameters = head[5:].split(";")
    if "base64" not in (parameter.strip().lower() for parameter in parameters):
        wanted = "an image URL that starts with 'data:' must read data:<media type>;base64,<data>"
        raise Untranslatable(f"{path}.image_url.url: {wanted}")
    return Data(media_type.strip().lower(), _Raw(b'"' + span[comma + 1 :]))


def _text(inside: bytes) -> str:
    try:
        return _decoded(b'"' + inside + b'"')
    except UNREADABLE:
        return ""


def _call(span: msgspec.Raw, path: str) -> Call | Opaque:
    call = Object.read(span, path)
    type_ = call.string("type") or "function"
    function = call.inner("function")
    if type_ != "function" or function is None:
        return Opaque(path=path, span=span, kind=type_[:64], needs="tools")
    name = function.string("name")
    if name is None:
        raise function.wrong("name", "nothing", "the function's name")
    arguments = _arguments(function, name)
    id, cache = call.string("id") or "", call.take("cache_control")
    return Call(path=path, id=id, name=name, arguments=arguments, cache=cache, rest=call.rest())


def _arguments(function: Object, name: str) -> str:
    """JSON as text: a string, as OpenAI has it, or the object itself, as some clients send it back."""
    span = function.take("arguments")
    try:
        if kind(span) == "a string":
            return _decoded(span)
        if span != NULL:
            _any_object(span)
            return bytes(span).decode()
    except UNREADABLE:
        what = f"the arguments of the earlier call of {name[:64]!r} are no JSON object"
        raise Untranslatable(f"{what}; this model's server takes nothing else", needs="tools") from None
    return ""
