"""An OpenAI chat request as data: what the translators to other dialects read.

What cannot be said in another dialect is refused, never dropped, with three kinds of exception: what only labels
a request (`user`, `metadata`, cache keys), hints that promise nothing (`reasoning_effort`, `verbosity`,
`prediction`, `service_tier`, an image's `detail`), and settings at the value that they have anyway (`n: 1`).
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from gridtie.dialects.facts import Facts
from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.types import Untranslatable

# A raw field cannot be optional in a type, as raw also takes null; this is what one reads that was not sent.
ABSENT = msgspec.Raw(b"null")


def present(value: msgspec.Raw) -> bool:
    """Whether a raw field was sent and is not null."""
    return bytes(memoryview(value)[:5]) != b"null"


class Url(msgspec.Struct):
    url: str
    # A hint about resolution; other dialects choose it themselves.
    detail: str | None = None


class TextPart(msgspec.Struct, tag_field="type", tag="text"):
    text: str


class RefusalPart(msgspec.Struct, tag_field="type", tag="refusal"):
    refusal: str


class ImagePart(msgspec.Struct, tag_field="type", tag="image_url"):
    image_url: Url


class AudioPart(msgspec.Struct, tag_field="type", tag="input_audio"):
    input_audio: msgspec.Raw = ABSENT


class FilePart(msgspec.Struct, tag_field="type", tag="file"):
    file: msgspec.Raw = ABSENT


Part = TextPart | RefusalPart | ImagePart | AudioPart | FilePart


class CalledFunction(msgspec.Struct):
    name: str
    # JSON as text, as the model wrote it: not necessarily valid.
    arguments: str = ""


class ToolCall(msgspec.Struct):
    function: CalledFunction | None = None
    id: str | None = None
    type: str = "function"


class Message(msgspec.Struct):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    function_call: Any = None
    audio: Any = None


class Function(msgspec.Struct):
    name: str
    description: str | None = None
    # A JSON schema; it passes as the bytes it came in.
    parameters: msgspec.Raw = ABSENT
    strict: bool | None = None


class Tool(msgspec.Struct):
    type: str = "function"
    function: Function | None = None


class NamedFunction(msgspec.Struct):
    name: str


class NamedTool(msgspec.Struct):
    type: str
    function: NamedFunction | None = None


class JsonSchema(msgspec.Struct):
    schema: msgspec.Raw = ABSENT
    name: str = ""
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(msgspec.Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class ChatRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    messages: list[Message]
    model: str | None = None
    stream: bool | None = None
    stream_options: Any = None
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
    # Refused unless they ask for nothing.
    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: dict[str, float] | None = None
    modalities: list[str] | None = None
    audio: Any = None
    functions: Any = None
    function_call: Any = None
    web_search_options: Any = None
    moderation: Any = None
    # Labels and hints.
    user: Any = None
    metadata: Any = None
    store: Any = None
    service_tier: Any = None
    safety_identifier: Any = None
    prompt_cache_key: Any = None
    prompt_cache_retention: Any = None
    prompt_cache_options: Any = None
    prediction: Any = None
    verbosity: Any = None
    reasoning_effort: str | None = None

    @property
    def limit(self) -> int | None:
        """Most tokens to generate; `max_completion_tokens` is the newer name and wins."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else self.stop or []


_encode = msgspec.json.Encoder().encode
_request = msgspec.json.Decoder(ChatRequest)
_UNKNOWN_FIELD = "Object contains unknown field `"


def read(facts: Facts) -> ChatRequest:
    """A client's body, with everything refused that no other dialect can say. Raises `Untranslatable`."""
    try:
        request = _request.decode(_encode(facts.fields))
    except msgspec.ValidationError as error:
        raise _refusal(str(error)) from None
    except UNREADABLE as error:
        raise Untranslatable(f"the request body is not JSON: {error}") from None
    _refuse_the_untranslatable(request)
    return request


def _refusal(problem: str) -> Untranslatable:
    """A field that we do not know may mean something at a target that does; anything else is malformed."""
    if problem.startswith(_UNKNOWN_FIELD):
        field = problem.removeprefix(_UNKNOWN_FIELD).split("`")[0]
        return Untranslatable(f"this model's server knows no request field {field!r}; leave it out", needs=field)
    if problem.startswith("Invalid value ") and ".content[" in problem:
        return Untranslatable(f"this model's server takes no such message content: {problem}", needs="content")
    return Untranslatable(f"the request body is not a chat completion request: {problem}")


def _refuse_the_untranslatable(request: ChatRequest) -> None:
    refused = {
        "n": request.n not in (None, 1),
        "logprobs": bool(request.logprobs or request.top_logprobs),
        "logit_bias": bool(request.logit_bias),
        "modalities": request.modalities not in (None, [], ["text"]),
        "audio": request.audio is not None,
        "functions": bool(request.functions or request.function_call),
        "web_search_options": request.web_search_options is not None,
        "moderation": request.moderation is not None,
    }
    for field, is_refused in refused.items():
        if is_refused:
            raise Untranslatable(f"this model's server cannot do what {field!r} asks for; leave it out", needs=field)
    if not request.messages:
        raise Untranslatable("'messages' is empty; a chat needs at least one message")
    for tool in request.tools or ():
        if tool.type != "function" or tool.function is None:
            raise Untranslatable(
                f"this model's server has no tools of type {tool.type!r}, only functions", needs="tools"
            )
    speakers: dict[str, set[str]] = {}
    for message in request.messages:
        _refuse_message(message)
        if message.name and message.role != "tool":
            speakers.setdefault(message.role, set()).add(message.name)
    # A single name tells a model nothing; two in one role tell speakers apart.
    if any(len(names) > 1 for names in speakers.values()):
        raise Untranslatable("this model's server cannot tell several named speakers of one role apart", needs="name")


def _refuse_message(message: Message) -> None:
    if message.role == "function" or message.function_call is not None:
        raise Untranslatable("function calls of the old form are not translated; use tools", needs="functions")
    if message.audio is not None:
        raise Untranslatable("this model's server takes no audio", needs="audio")
    for call in message.tool_calls or ():
        if call.type != "function" or call.function is None:
            raise Untranslatable(f"this model's server has no tool calls of type {call.type!r}", needs="tools")
    if isinstance(message.content, list):
        for part in message.content:
            if isinstance(part, AudioPart):
                raise Untranslatable("this model's server takes no audio", needs="audio")
            if isinstance(part, FilePart):
                raise Untranslatable("this model's server takes no files", needs="files")


def text_of(part: Part) -> str | None:
    """The text of a part; None for an image."""
    if isinstance(part, TextPart):
        return part.text
    return part.refusal if isinstance(part, RefusalPart) else None


def arguments_of(call: CalledFunction) -> msgspec.Raw:
    """A call's arguments as the JSON object that other dialects want. Raises `Untranslatable`."""
    text = call.arguments.strip() or "{}"
    try:
        is_object = isinstance(msgspec.json.decode(text), dict)
    except UNREADABLE:
        is_object = False
    if not is_object:
        what = f"the arguments of the earlier call of {call.name!r} are no JSON object"
        raise Untranslatable(f"{what}; this model's server takes nothing else", needs="tools")
    return msgspec.Raw(text.encode())


def data_url(url: str) -> tuple[str, str] | None:
    """(media type, base64 text) of a data URL; None for any other URL. Raises `Untranslatable`."""
    if url[:5].lower() != "data:":
        return None
    head, comma, data = url[5:].partition(",")
    media_type, *parameters = head.split(";")
    if not comma or "base64" not in (parameter.strip().lower() for parameter in parameters):
        raise Untranslatable("an image URL that starts with 'data:' must read data:<media type>;base64,<data>")
    return media_type.strip().lower(), data
