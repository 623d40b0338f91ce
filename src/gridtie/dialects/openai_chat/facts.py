"""Reading the facts of an OpenAI chat request: one pass, with everything that money or policy rests on checked.

Text, images, schemas and arguments are measured where they stand and not decoded. What only an upstream can judge
(roles, unknown fields, kinds of parts) passes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Required, TypedDict, TypeVar

import msgspec

from gridtie.config.names import canonical
from gridtie.dialects.facts import MAX_MODEL_CHARACTERS, Facts
from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.found import BOM, got, kind, unquoted
from gridtie.dialects.openai_chat.messages import FRAME_BYTES, QUOTES, measure
from gridtie.dialects.openai_chat.numbers import NUMBERS, NumberFields, number
from gridtie.dialects.types import InvalidRequest

# The most bytes that so many characters can take as JSON: each as a pair of \uXXXX escapes, and the quotes.
_MAX_MODEL_BYTES = 12 * MAX_MODEL_CHARACTERS + 2

_T = TypeVar("_T")
_Raw = msgspec.Raw
_NULL, _TRUE, _FALSE = _Raw(b"null"), _Raw(b"true"), _Raw(b"false")
_EMPTY_TEXT = _Raw(b'""')
_EMPTY_OBJECT = _Raw(b"{}")
_NOTHING = (_NULL, _Raw(b"[]"), _Raw(b"{}"), _Raw(b'""'), _Raw(b"false"))
_ASK_USAGE = _Raw(b'{"include_usage":true}')
_NO_TOOL = _Raw(b'"none"')
# Of `tool_choice`: the model may answer without a call.
_FREE_CHOICES = (_NULL, _NO_TOOL, _Raw(b'"auto"'))
_UTF_16 = (b"\xff\xfe", b"\xfe\xff", b"{\0", b"\0{")

_PLAIN_TOOLS = {"function", "custom"}
_PLAIN_TIERS = {"auto", "default", "flex"}
# What a host may bill, or bill otherwise.
_BILLED_FIELDS = (
    *("web_search_options", "audio"),
    # OpenRouter's: other models, plugins with a price of their own, and hosts with theirs.
    *("models", "plugins", "provider"),
    # xAI's, Qwen's and other hosts' searches, and LiteLLM's other models.
    *("search_parameters", "enable_search", "web_search", "fallbacks"),
    # Anthropic's dearer ways to run a model.
    *("speed", "inference_geo"),
    # Limits of an answer beside the one that is counted with.
    *("max_output_tokens", "max_new_tokens"),
)
# Arguments of the SDKs and of LiteLLM that people write into the JSON.
_HEADER_FIELDS = ("extra_headers", "default_headers", "headers")
# Fields that add nothing to a prompt or a bill, whatever stands in them.
_FREE_FIELDS = frozenset(
    (
        *("stop", "user", "metadata", "store", "logprobs", "logit_bias", "tool_choice", "parallel_tool_calls"),
        *("reasoning_effort", "verbosity", "keep_alive", "think", "cache_prompt", "safety_identifier"),
        *("prompt_cache_key", "function_call"),
    )
)


class _Tool(msgspec.Struct):
    type: str | None = None
    function: msgspec.Raw = _NULL
    cache_control: msgspec.Raw = _NULL


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _ResponseFormat(msgspec.Struct):
    type: str | None = None


class _Message(msgspec.Struct, forbid_unknown_fields=True):
    role: msgspec.Raw = _EMPTY_TEXT
    content: msgspec.Raw = _EMPTY_TEXT


class _Plain(NumberFields):
    """A body without lists but that of its messages, of role and content, and fields of `_OFTEN` alone."""

    model: Annotated[str, msgspec.Meta(max_length=MAX_MODEL_CHARACTERS)] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    messages: list[_Message] = []


_plain = msgspec.json.Decoder(_Plain).decode
_fields = msgspec.json.Decoder(dict[str, _Raw]).decode
_text = msgspec.json.Decoder(str).decode
_tools = msgspec.json.Decoder(list[_Tool]).decode
_texts = msgspec.json.Decoder(list[str]).decode
_stream_options = msgspec.json.Decoder(_StreamOptions).decode
_response_format = msgspec.json.Decoder(_ResponseFormat).decode

_NONE = frozenset[str]()


class _Found(TypedDict, total=False):
    """What has been read so far, under the names of `Facts`: only what differs from its default costs anything."""

    fields: Required[dict[str, msgspec.Raw]]
    model: str
    stream: bool
    wants_usage: bool
    max_output: int
    choices: int
    needs: frozenset[str]
    text_bytes: int
    messages: int
    images: int
    image_bytes: int
    extras: frozenset[str]
    caches: bool
    one_tool_call: bool
    must_call: bool


def read(body: bytes | bytearray) -> Facts:
    """The facts of a client's body. Raises `InvalidRequest`."""
    try:
        fields = _fields(body)
    except UNREADABLE as error:
        return read_each(_after_mark(body, error))
    # Where one list stands in the whole body it can only be that of the messages, and they hold nothing but texts.
    if body.find(b"[", body.find(b"[") + 1) < 0 and _OFTEN.issuperset(fields):
        try:
            return _plain_facts(fields, _plain(body))
        except UNREADABLE:
            pass  # which field it is, and whether it can be taken all the same, is told below
    return read_each(fields)


def read_each(fields: dict[str, msgspec.Raw]) -> Facts:
    """The facts of any request, field by field. Raises `InvalidRequest`."""
    found: _Found = {"fields": fields}
    for name, value in fields.items():
        take = _TAKE.get(name)
        if take is not None:
            take(found, name, value)
        elif name not in _FREE_FIELDS:
            _take_unknown(found, name, value)
    return Facts(**found)


def _plain_facts(fields: dict[str, msgspec.Raw], plain: _Plain) -> Facts:
    """Those of a chat of texts and a few numbers, as most are: the same, in a tenth of the steps."""
    limit, newer = plain.max_tokens, plain.max_completion_tokens
    if newer is not None and (limit is None or newer > limit):
        limit = newer
    messages = plain.messages
    count = len(messages)
    text = 0
    for message in messages:
        text += len(message.content)
    text -= QUOTES * count
    hidden = len(fields["messages"]) - text - FRAME_BYTES * count if messages else 0
    model = plain.model or ""
    if not model.isprintable():
        return read_each(fields)
    options = plain.stream_options
    return Facts(
        fields=fields,
        model=model,
        stream=plain.stream is True,
        wants_usage=options is not None and options.include_usage is True,
        max_output=limit,
        choices=plain.n or 1,
        text_bytes=text + hidden if hidden > 0 else text,
        messages=count,
    )


# -- Settings: each function takes one field ---------------------------------------------------------------------------


def _take_model(found: _Found, name: str, value: msgspec.Raw) -> None:
    if len(value) > _MAX_MODEL_BYTES:
        raise InvalidRequest(name, f"a value of {len(value)} bytes", _MODEL)
    try:
        found["model"] = model = _text(value)
    except UNREADABLE as error:
        if value == _NULL:
            return
        raise InvalidRequest(name, got(error), _MODEL) from None
    if len(model) > MAX_MODEL_CHARACTERS:
        raise InvalidRequest(name, f"a name of {len(model)} characters", _MODEL)
    if not model.isprintable():
        raise InvalidRequest(name, "a name with characters that cannot be printed", _MODEL)


def _take_stream(found: _Found, name: str, value: msgspec.Raw) -> None:
    if value == _TRUE:
        found["stream"] = True
    elif value not in (_FALSE, _NULL):
        raise InvalidRequest(name, kind(value), "true or false")


def _take_stream_options(found: _Found, name: str, value: msgspec.Raw) -> None:
    if value == _ASK_USAGE:
        found["wants_usage"] = True
        return
    options = _typed(_stream_options, name, value, "an object whose include_usage is true or false")
    if options is not None and options.include_usage:
        found["wants_usage"] = True


def _take_limit(found: _Found, name: str, value: msgspec.Raw) -> None:
    limit = number(found["fields"], name, value)
    if limit is not None:
        found["max_output"] = max(int(limit), found.get("max_output", 1))


def _take_choices(found: _Found, name: str, value: msgspec.Raw) -> None:
    choices = number(found["fields"], name, value)
    if choices is not None:
        found["choices"] = int(choices)


def _take_number(found: _Found, name: str, value: msgspec.Raw) -> None:
    number(found["fields"], name, value)


def _take_response_format(found: _Found, name: str, value: msgspec.Raw) -> None:
    shape = _typed(_response_format, name, value, "an object whose type is text")
    if shape is not None and shape.type in ("json_object", "json_schema"):
        _need(found, "json")
        _take_text(found, name, value)


def _take_tools(found: _Found, name: str, value: msgspec.Raw) -> None:
    tools = _typed(_tools, name, value, "a list of objects, each with a type")
    if tools is None:
        return
    if tools and found["fields"].get("tool_choice") != _NO_TOOL:
        _need(found, "tools")
        if found["fields"].get("parallel_tool_calls") == _FALSE:
            found["one_tool_call"] = True
        if found["fields"].get("tool_choice", _NULL) not in _FREE_CHOICES:
            found["must_call"] = True
    _take_text(found, name, value)
    for tool in tools:
        if tool.type not in _PLAIN_TOOLS if tool.type is not None else tool.function == _NULL:
            _bill(found, "server-side tools")
        if tool.cache_control != _NULL:
            found["caches"] = True


def _take_functions(found: _Found, name: str, value: msgspec.Raw) -> None:
    if value not in _NOTHING and found["fields"].get("function_call") != _NO_TOOL:
        _need(found, "tools")
    _take_text(found, name, value)


def _take_text(found: _Found, _name: str, value: msgspec.Raw) -> None:
    if value != _NULL:
        found["text_bytes"] = found.get("text_bytes", 0) + len(value)


def _take_unknown(found: _Found, name: str, value: msgspec.Raw) -> None:
    """A field that passes unread: what stands in it may become prompt.

    Not one that means something else to us than to a server: Go's JSON takes `Max_Tokens` for `max_tokens`.
    """
    folded = canonical(name)
    if folded in _TAKE or folded in _FREE_FIELDS:
        raise InvalidRequest(name[:80], "another spelling of a field", folded)
    _refuse_ours(name, name)
    _take_text(found, name, value)


def _take_headers(found: _Found, name: str, value: msgspec.Raw) -> None:
    """An argument of SDKs for headers, as a field: nobody makes headers of it here."""
    _refuse_headers(name, value)
    _take_text(found, name, value)


def _take_extra_body(found: _Found, name: str, value: msgspec.Raw) -> None:
    """An argument of SDKs for fields, as a field itself: what means us is no more read in it than beside it."""
    for inner, each in (_members(value) or {}).items():
        path = f"{name}.{inner}"
        _refuse_ours(path, inner)
        if inner in _HEADER_FIELDS:
            _refuse_headers(path, each)
    _take_text(found, name, value)


def _refuse_headers(path: str, value: msgspec.Raw) -> None:
    headers = _members(value)
    if headers is None:  # pairs, or lines: what might be an instruction is not passed over for its form
        _refuse_ours(path, bytes(value).decode("latin-1"))
    for header in headers or ():
        _refuse_ours(f"{path}.{header}", header)


def _refuse_ours(path: str, name: str) -> None:
    """What says where a prompt may go must not be passed over because it stands in the wrong place."""
    if "gridtie" in canonical(name).replace("-", "").replace("_", ""):
        raise InvalidRequest(path[:80], "what this router reads in headers alone", "it there: send it as a header")


def _members(value: msgspec.Raw) -> dict[str, msgspec.Raw] | None:
    """What an object holds; None for any other value."""
    try:
        return _fields(value)
    except UNREADABLE:
        return None


def _take_best_of(found: _Found, name: str, value: msgspec.Raw) -> None:
    # Answers that are made and thrown away, and billed all the same.
    if value not in (_NULL, _Raw(b"1")):
        _bill(found, name)


def _take_cache_control(found: _Found, name: str, value: msgspec.Raw) -> None:
    if value != _NULL:
        found["caches"] = True


def _take_billed(found: _Found, name: str, value: msgspec.Raw) -> None:
    # Web search with an empty object is asked for, with its defaults.
    if value not in _NOTHING or (value == _EMPTY_OBJECT and name == "web_search_options"):
        _bill(found, name)


def _take_service_tier(found: _Found, name: str, value: msgspec.Raw) -> None:
    tier = _typed(_text, name, value, "auto, default, flex or a name that the provider knows")
    if tier is not None and tier not in _PLAIN_TIERS:
        _bill(found, name)


def _take_modalities(found: _Found, name: str, value: msgspec.Raw) -> None:
    if set(_typed(_texts, name, value, "a list of strings") or ()) - {"text"}:
        _bill(found, "audio")


def _need(found: _Found, what: str) -> None:
    found["needs"] = found.get("needs", _NONE) | {what}


def _bill(found: _Found, what: str) -> None:
    found["extras"] = found.get("extras", _NONE) | {what}


def _take_messages(found: _Found, name: str, value: msgspec.Raw) -> None:
    if value == _NULL:
        return
    measured = measure(name, value)
    found["messages"] = measured.messages
    found["text_bytes"] = found.get("text_bytes", 0) + measured.text
    if measured.images:
        found["images"], found["image_bytes"] = measured.images, measured.image_bytes
        _need(found, "vision")
    if measured.caches:
        found["caches"] = True
    if measured.extras:
        found["extras"] = found.get("extras", _NONE) | measured.extras


_MODEL = f"a name of at most {MAX_MODEL_CHARACTERS} printable characters"

_TAKE: dict[str, Callable[[_Found, str, msgspec.Raw], None]] = {
    **dict.fromkeys(NUMBERS, _take_number),
    **dict.fromkeys(_BILLED_FIELDS, _take_billed),
    "model": _take_model,
    "stream": _take_stream,
    "stream_options": _take_stream_options,
    "max_tokens": _take_limit,
    "max_completion_tokens": _take_limit,
    "n": _take_choices,
    "messages": _take_messages,
    "tools": _take_tools,
    "functions": _take_functions,
    "response_format": _take_response_format,
    "prediction": _take_text,
    "service_tier": _take_service_tier,
    "modalities": _take_modalities,
    "best_of": _take_best_of,
    "cache_control": _take_cache_control,
    **dict.fromkeys(_HEADER_FIELDS, _take_headers),
    "extra_body": _take_extra_body,
}
# What a plain body consists of: what `_Plain` reads, and what needs no reading.
_OFTEN = frozenset({field.name for field in msgspec.structs.fields(_Plain)} | (_FREE_FIELDS - _TAKE.keys()))


def _after_mark(body: bytes | bytearray, error: Exception) -> dict[str, msgspec.Raw]:
    """The fields of a body behind a byte-order mark; of any other the reason why it has none."""
    if body.startswith(BOM):
        try:
            return _fields(body[len(BOM) :])
        except UNREADABLE as behind:
            error = behind
    wanted = "a JSON object of a few levels" if isinstance(error, RecursionError) else "a JSON object in UTF-8"
    raise InvalidRequest("", _no_object(body, error), wanted) from None


def _no_object(body: bytes | bytearray, error: Exception) -> str:
    if not body:
        return "nothing"
    if isinstance(error, msgspec.ValidationError):
        return got(error)
    if isinstance(error, RecursionError):
        return "values nested too deep"
    return "UTF-16" if body.startswith(_UTF_16) else f"no JSON ({unquoted(error)})"


def _typed(decode: Callable[[msgspec.Raw], _T], name: str, value: msgspec.Raw, wanted: str) -> _T | None:
    """A field's value, None for null."""
    try:
        return decode(value)
    except UNREADABLE as error:
        if value == _NULL:
            return None
        raise InvalidRequest(name, got(error), wanted) from None
