"""Reading the facts of an OpenAI chat request: one pass, with everything that money or policy rests on checked.

Text, images, schemas and arguments are measured where they stand and not decoded. What only an upstream can judge
(roles, unknown fields, kinds of parts) passes.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from gridtie.dialects.body import (
    FALSE,
    NULL,
    SDK_ARGUMENTS,
    Found,
    Take,
    bill,
    fields_mended,
    need,
    take_cache_control,
    take_limit,
    take_model,
    take_number,
    take_stream,
    take_text,
    typed,
)
from gridtie.dialects.body import read_each as body_facts
from gridtie.dialects.facts import MAX_MODEL_CHARACTERS, Facts
from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.openai_chat.messages import FRAME_BYTES, QUOTES, measure
from gridtie.dialects.openai_chat.numbers import NUMBERS, NumberFields, number
from gridtie.dialects.values import FREE_BYTES, bound

_Raw = msgspec.Raw
_EMPTY_TEXT = _Raw(b'""')
_EMPTY_OBJECT = _Raw(b"{}")
_NOTHING = (NULL, _Raw(b"[]"), _Raw(b"{}"), _Raw(b'""'), _Raw(b"false"))
_ASK_USAGE = _Raw(b'{"include_usage":true}')
_NO_TOOL = _Raw(b'"none"')
# Of `tool_choice`: the model may answer without a call.
_FREE_CHOICES = (NULL, _NO_TOOL, _Raw(b'"auto"'))

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
    function: msgspec.Raw = NULL
    cache_control: msgspec.Raw = NULL


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


def read(body: bytes | bytearray) -> Facts:
    """The facts of a client's body. Raises `InvalidRequest`."""
    if len(body) > FREE_BYTES:
        bound("", body)
    try:
        fields = _fields(body)
    except UNREADABLE as error:
        return read_each(fields_mended(body, error))
    # Where one list stands in the whole body it can only be that of the messages, and they hold nothing but texts.
    if body.find(b"[", body.find(b"[") + 1) < 0 and _OFTEN.issuperset(fields):
        try:
            return _plain_facts(fields, _plain(body))
        except UNREADABLE:
            pass  # which field it is, and whether it can be taken all the same, is told below
    return read_each(fields)


def read_each(fields: dict[str, msgspec.Raw]) -> Facts:
    """The facts of any request, field by field. Raises `InvalidRequest`."""
    return body_facts({"fields": fields}, _TAKE, _FREE_FIELDS)


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


def take_stream_options(found: Found, name: str, value: msgspec.Raw) -> None:
    if value == _ASK_USAGE:
        found["wants_usage"] = True
        return
    options = typed(_stream_options, name, value, "an object whose include_usage is true or false")
    if options is not None and options.include_usage:
        found["wants_usage"] = True


def _take_choices(found: Found, name: str, value: msgspec.Raw) -> None:
    choices = number(found["fields"], name, value)
    if choices is not None:
        found["choices"] = int(choices)


def _take_response_format(found: Found, name: str, value: msgspec.Raw) -> None:
    shape = typed(_response_format, name, value, "an object whose type is text")
    if shape is not None and shape.type in ("json_object", "json_schema"):
        need(found, "json")
        take_text(found, name, value)


def _take_tools(found: Found, name: str, value: msgspec.Raw) -> None:
    tools = typed(_tools, name, value, "a list of objects, each with a type")
    if tools is None:
        return
    if tools and found["fields"].get("tool_choice") != _NO_TOOL:
        need(found, "tools")
        if found["fields"].get("parallel_tool_calls") == FALSE:
            found["one_tool_call"] = True
        if found["fields"].get("tool_choice", NULL) not in _FREE_CHOICES:
            found["must_call"] = True
    take_text(found, name, value)
    for tool in tools:
        if tool.type not in _PLAIN_TOOLS if tool.type is not None else tool.function == NULL:
            bill(found, "server-side tools")
        if tool.cache_control != NULL:
            found["caches"] = True


def _take_functions(found: Found, name: str, value: msgspec.Raw) -> None:
    if value not in _NOTHING and found["fields"].get("function_call") != _NO_TOOL:
        need(found, "tools")
    take_text(found, name, value)


def _take_best_of(found: Found, name: str, value: msgspec.Raw) -> None:
    # Answers that are made and thrown away, and billed all the same.
    if value not in (NULL, _Raw(b"1")):
        bill(found, name)


def _take_billed(found: Found, name: str, value: msgspec.Raw) -> None:
    # Web search with an empty object is asked for, with its defaults.
    if value not in _NOTHING or (value == _EMPTY_OBJECT and name == "web_search_options"):
        bill(found, name)


def take_service_tier(found: Found, name: str, value: msgspec.Raw) -> None:
    tier = typed(_text, name, value, "auto, default, flex or a name that the provider knows")
    if tier is not None and tier not in _PLAIN_TIERS:
        bill(found, name)


def _take_modalities(found: Found, name: str, value: msgspec.Raw) -> None:
    if set(typed(_texts, name, value, "a list of strings") or ()) - {"text"}:
        bill(found, "audio")


def _take_messages(found: Found, name: str, value: msgspec.Raw) -> None:
    if value == NULL:
        return
    measured = measure(name, value)
    found["messages"] = measured.messages
    found["text_bytes"] = found.get("text_bytes", 0) + measured.text
    if measured.images:
        found["images"], found["image_bytes"] = measured.images, measured.image_bytes
        need(found, "vision")
    if measured.caches:
        found["caches"] = True
    if measured.extras:
        found["extras"] = found.get("extras", frozenset[str]()) | measured.extras


# Of every surface whose bytes may pass to a host that knows them.
BILLED: dict[str, Take] = dict.fromkeys(_BILLED_FIELDS, _take_billed)

_TAKE: dict[str, Take] = {
    **dict.fromkeys(NUMBERS, take_number),
    **BILLED,
    "model": take_model,
    "stream": take_stream,
    "stream_options": take_stream_options,
    "max_tokens": take_limit,
    "max_completion_tokens": take_limit,
    "n": _take_choices,
    "messages": _take_messages,
    "tools": _take_tools,
    "functions": _take_functions,
    "response_format": _take_response_format,
    "prediction": take_text,
    "service_tier": take_service_tier,
    "modalities": _take_modalities,
    "best_of": _take_best_of,
    "cache_control": take_cache_control,
    **SDK_ARGUMENTS,
}
# What a plain body consists of: what `_Plain` reads, and what needs no reading.
_OFTEN = frozenset({field.name for field in msgspec.structs.fields(_Plain)} | (_FREE_FIELDS - _TAKE.keys()))
