"""An OpenAI chat request as data: what the translators to other dialects read.

Every object in it is a closed set of fields, at every depth. What another dialect cannot say is refused by its path,
and never dropped, with the exceptions that the table in docs/routing.md lists: labels, hints that promise nothing,
and settings at the value that they have anyway. Text, images, schemas and arguments stay the spans that they are in
the client's body.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gridtie.dialects.facts import Facts
from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.found import got, kind, place, unknown_field
from gridtie.dialects.openai_chat.parts import Part, TextPart, read_parts
from gridtie.dialects.types import Untranslatable

_Raw = msgspec.Raw
NULL, TRUE, FALSE = _Raw(b"null"), _Raw(b"true"), _Raw(b"false")
_NO_ARGUMENTS = _Raw(b"{}")
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")


class _Closed(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An object of which every field is known."""


class CalledFunction(_Closed):
    name: str
    # JSON as text, as the model wrote it: not necessarily valid.
    arguments: msgspec.Raw = NULL
    # What the SDK makes of it, sent back.
    parsed_arguments: msgspec.Raw = NULL


class ToolCall(_Closed):
    function: CalledFunction | None = None
    id: str | None = None
    type: str = "function"
    custom: msgspec.Raw = NULL
    # From a stream, and Gemini's signature of a thought: sent back, and nothing to anyone else.
    index: msgspec.Raw = NULL
    extra_content: msgspec.Raw = NULL


class _Message(_Closed):
    role: str
    content: msgspec.Raw = NULL
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    refusal: msgspec.Raw = NULL
    reasoning_content: msgspec.Raw = NULL
    reasoning: msgspec.Raw = NULL
    cache_control: msgspec.Raw = NULL
    function_call: msgspec.Raw = NULL
    audio: msgspec.Raw = NULL
    # An answer that the model shall go on with (Mistral, DeepSeek; Moonshot).
    prefix: msgspec.Raw = NULL
    partial: msgspec.Raw = NULL
    # Of an earlier answer, sent back by SDKs and proxies: says nothing to a model.
    id: msgspec.Raw = NULL
    index: msgspec.Raw = NULL
    annotations: msgspec.Raw = NULL
    parsed: msgspec.Raw = NULL
    reasoning_details: msgspec.Raw = NULL
    thinking_blocks: msgspec.Raw = NULL
    provider_specific_fields: msgspec.Raw = NULL


class Turn(msgspec.Struct, kw_only=True):
    """One message, its content as parts whatever form it came in. `path` names it in errors."""

    path: str
    role: str
    parts: list[Part]
    calls: list[ToolCall]
    call_id: str
    name: str | None
    # A JSON string, or null.
    reasoning: msgspec.Raw
    cache_control: msgspec.Raw


class Function(_Closed):
    name: str
    description: msgspec.Raw = NULL
    # A JSON schema; it passes as the bytes it came in.
    parameters: msgspec.Raw = NULL
    strict: bool | None = None
    cache_control: msgspec.Raw = NULL


class Tool(_Closed):
    function: Function
    type: str = "function"
    cache_control: msgspec.Raw = NULL


class _OtherTool(msgspec.Struct):
    type: str = "function"


class NamedFunction(_Closed):
    name: str


class NamedTool(_Closed):
    type: str
    function: NamedFunction | None = None
    custom: msgspec.Raw = NULL
    allowed_tools: msgspec.Raw = NULL


class JsonSchema(_Closed):
    schema: msgspec.Raw = NULL
    # Labels: what holds an answer to the schema does not read them.
    name: msgspec.Raw = NULL
    description: msgspec.Raw = NULL
    strict: bool | None = None


class ResponseFormat(_Closed):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None
    # llama.cpp's, with either type.
    schema: msgspec.Raw = NULL


class StreamOptions(_Closed):
    include_usage: bool | None = None
    # Padding of a stream against eavesdroppers.
    include_obfuscation: bool | None = None


class ChatRequest(_Closed):
    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    # Not OpenAI's own, but sent by clients of llama.cpp, vLLM and Ollama, with the same meaning everywhere.
    top_k: int | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    think: bool | str | None = None
    chat_template_kwargs: dict[str, _Raw] | None = None
    reasoning_effort: str | None = None
    # Refused unless they ask for nothing.
    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: dict[str, float] | None = None
    modalities: list[str] | None = None
    audio: msgspec.Raw = NULL
    functions: msgspec.Raw = NULL
    function_call: msgspec.Raw = NULL
    web_search_options: msgspec.Raw = NULL
    moderation: msgspec.Raw = NULL
    # Labels and hints, and what the station decides (memory, caches).
    user: msgspec.Raw = NULL
    metadata: msgspec.Raw = NULL
    store: msgspec.Raw = NULL
    service_tier: msgspec.Raw = NULL
    safety_identifier: msgspec.Raw = NULL
    prompt_cache_key: msgspec.Raw = NULL
    prompt_cache_retention: msgspec.Raw = NULL
    prompt_cache_options: msgspec.Raw = NULL
    prediction: msgspec.Raw = NULL
    verbosity: msgspec.Raw = NULL
    keep_alive: msgspec.Raw = NULL
    cache_prompt: msgspec.Raw = NULL

    @property
    def limit(self) -> int | None:
        """Most tokens to generate; `max_completion_tokens` is the newer name and wins."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def thinks_not(self) -> bool:
        """Whether thinking is switched off, in any of the ways that clients have."""
        asked = self.chat_template_kwargs or {}
        return (
            self.reasoning_effort == "none"
            or self.think is False
            or FALSE in (asked.get("enable_thinking", NULL), asked.get("thinking", NULL))
        )


class Conversation(msgspec.Struct):
    """A request for a translator: its settings, and its messages in order."""

    settings: ChatRequest
    turns: list[Turn]


_encode = msgspec.json.Encoder().encode
_settings = msgspec.json.Decoder(ChatRequest).decode
_messages = msgspec.json.Decoder(list[_Message]).decode
_other_tools = msgspec.json.Decoder(list[_OtherTool]).decode
_text = msgspec.json.Decoder(str).decode
_object = msgspec.json.Decoder(dict[str, _Raw]).decode


def read(facts: Facts) -> Conversation:
    """A client's request, with everything refused that no other dialect can say. Raises `Untranslatable`."""
    fields = facts.fields
    _refuse_other_tools(fields.get("tools", NULL))
    rest = {name: value for name, value in fields.items() if name != "messages" and value != NULL}
    try:
        settings = _settings(_encode(rest))
    except UNREADABLE as error:
        raise _refusal(error, "") from None
    _refuse_the_untranslatable(settings)
    return Conversation(settings, _turns(fields.get("messages", NULL)))


def schema_of(response_format: ResponseFormat | None) -> msgspec.Raw | None:
    """The schema that an answer is held to; None where any JSON object will do, or any text."""
    if response_format is None:
        return None
    inner = NULL if response_format.json_schema is None else response_format.json_schema.schema
    schema = inner if inner != NULL else response_format.schema
    if response_format.type == "text" and schema != NULL:
        raise Untranslatable("response_format.schema: found a schema beside the type text; leave out one of them")
    if response_format.type == "json_schema" and schema == NULL:
        raise Untranslatable("response_format is json_schema without json_schema.schema; add the schema")
    return None if schema == NULL else schema


def arguments_of(call: CalledFunction) -> msgspec.Raw:
    """A call's arguments as the JSON object that other dialects want. Raises `Untranslatable`."""
    span = call.arguments
    try:
        # A string, as OpenAI has it, or the object itself, as some clients send it back.
        text = _text(span).strip().encode() if kind(span) == "a string" else bytes(span)
        if text in (b"", b"null"):
            return _NO_ARGUMENTS
        _object(text)
    except UNREADABLE:
        what = f"the arguments of the earlier call of {call.name[:64]!r} are no JSON object"
        raise Untranslatable(f"{what}; this model's server takes nothing else", needs="tools") from None
    return _Raw(text)


def _turns(value: msgspec.Raw) -> list[Turn]:
    try:
        messages = _messages(value)
    except UNREADABLE as error:
        raise _refusal(error, "messages") from None
    if not messages:
        raise Untranslatable("'messages' is empty; a chat needs at least one message")
    turns = [_turn(message, f"messages[{index}]") for index, message in enumerate(messages)]
    speakers: dict[str, set[str]] = {}
    for turn in turns:
        if turn.name and turn.role != "tool":
            speakers.setdefault(turn.role, set()).add(turn.name)
    # A single name tells a model nothing; two in one role tell speakers apart.
    if any(len(names) > 1 for names in speakers.values()):
        raise Untranslatable("this model's server cannot tell several named speakers of one role apart", needs="name")
    return turns


def _turn(message: _Message, path: str) -> Turn:
    _refuse_message(message, path)
    try:
        parts = read_parts(message.content, f"{path}.content")
    except UNREADABLE as error:
        raise _refusal(error, f"{path}.content") from None
    if not parts and message.refusal != NULL:
        parts = [TextPart(text=message.refusal)]
    return Turn(
        path=path,
        role=message.role,
        parts=parts,
        calls=message.tool_calls or [],
        call_id=message.tool_call_id or "",
        name=message.name,
        reasoning=message.reasoning_content if message.reasoning_content != NULL else message.reasoning,
        cache_control=message.cache_control,
    )


def _refusal(error: Exception, path: str) -> Untranslatable:
    """A field that we do not know may mean something at a target that does; anything else is malformed."""
    where = place(error, path)
    if (field := unknown_field(error)) is not None:
        full = f"{where}.{field}" if where else field
        return Untranslatable(f"this model's server knows no request field {full!r}; leave it out", needs=field)
    if ".content" in where and where.endswith(".type"):
        return Untranslatable(f"this model's server takes no such message content as {where} names", needs="content")
    return Untranslatable(f"the request body is not a chat completion request: {where}: found {got(error)}")


def _refuse_other_tools(value: msgspec.Raw) -> None:
    """Told before their fields are read, which we need not know."""
    if value == NULL:
        return
    try:
        tools = _other_tools(value)
    except UNREADABLE as error:
        raise _refusal(error, "tools") from None
    for index, tool in enumerate(tools):
        if tool.type != "function":
            what = f"this model's server has only tools of the type 'function', and tools[{index}] has another"
            raise Untranslatable(what, needs="tools")


def _refuse_the_untranslatable(request: ChatRequest) -> None:
    refused = {
        "n": request.n not in (None, 1),
        "logprobs": bool(request.logprobs or request.top_logprobs),
        "logit_bias": bool(request.logit_bias),
        "modalities": request.modalities not in (None, [], ["text"]),
        "audio": request.audio != NULL,
        "functions": any(asked not in (NULL, _Raw(b"[]"), _Raw(b'"none"'), _Raw(b'"auto"'))
                         for asked in (request.functions, request.function_call)),
        "web_search_options": request.web_search_options != NULL,
        "moderation": request.moderation != NULL,
    }  # fmt: skip
    for field, is_refused in refused.items():
        if is_refused:
            raise Untranslatable(f"this model's server cannot do what {field!r} asks for; leave it out", needs=field)
    for name, value in (request.chat_template_kwargs or {}).items():
        if name not in ("enable_thinking", "thinking") or value not in (TRUE, FALSE, NULL):
            what = f"this model's server has no chat template that takes 'chat_template_kwargs.{name[:64]}'"
            raise Untranslatable(f"{what}; leave it out", needs="chat_template_kwargs")


def _refuse_message(message: _Message, path: str) -> None:
    if message.role not in _ROLES:
        raise Untranslatable(f"{path}.role: found an unknown role, wanted one of {', '.join(_ROLES)}")
    if message.role == "function" or message.function_call != NULL:
        raise Untranslatable("function calls of the old form are not translated; use tools", needs="functions")
    if message.audio != NULL:
        raise Untranslatable(f"this model's server takes no audio ({path})", needs="audio")
    for name, value in (("prefix", message.prefix), ("partial", message.partial)):
        if value not in (NULL, FALSE):
            what = f"this model's server goes on with no answer that is begun for it ({path}.{name})"
            raise Untranslatable(what, needs=name)
    for index, call in enumerate(message.tool_calls or ()):
        if call.type != "function" or call.function is None:
            what = f"this model's server has only calls of functions, and {path}.tool_calls[{index}] is none"
            raise Untranslatable(what, needs="tools")
