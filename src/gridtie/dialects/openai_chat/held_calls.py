"""Tool calls of a model that is held to a schema made of the request's tools, whatever dialect its engine speaks.

For models that call tools only so (`host/tool_calls.py`, decision 0039). The tools go to the model in words, the schema
as `response_format`, and the JSON that comes back becomes the call, or the text, that the client waits for. Nothing of
an answer passes before it is whole: only then it is known which of both it is.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gridtie.dialects.facts import Facts
from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.openai_chat.answer import DONE
from gridtie.dialects.openai_chat.reform import chunks_of
from gridtie.dialects.translation import decode_whole
from gridtie.dialects.types import (
    AnswerOptions,
    Chunk,
    Codec,
    Failed,
    Failure,
    RequestOptions,
    StreamDecoder,
    UpstreamRequest,
    Whole,
)
from gridtie.host.tool_calls import instructions, read, schema_of

_Raw = msgspec.Raw
_NULL = _Raw(b"null")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.decode
# What says how tools are called; the schema says it here.
_ABOUT_TOOLS = ("tools", "tool_choice", "parallel_tool_calls", "response_format")


class _Function(msgspec.Struct):
    name: str
    parameters: dict[str, Any] | None = None
    description: str | None = None


class _Tool(msgspec.Struct):
    function: _Function | None = None


class _Named(msgspec.Struct):
    function: _Function


class HeldToSchema:
    """A `Codec` around the one of the target's dialect, for requests with tools."""

    translates = True

    def __init__(self, inner: Codec) -> None:
        self._inner = inner

    def request(self, facts: Facts, model: str, options: RequestOptions) -> UpstreamRequest:
        return self._inner.request(_held(facts), model, msgspec.structs.replace(options, stream=True))

    def stream(self, options: AnswerOptions) -> StreamDecoder:
        return _Held(self._inner.collect(_plain(options)), options, streams=True)

    def collect(self, options: AnswerOptions) -> StreamDecoder:
        return _Held(self._inner.collect(_plain(options)), options, streams=False)

    def whole(self, body: bytes, prompt_estimate: int) -> Whole:
        return decode_whole(self.collect(AnswerOptions(prompt_estimate)), body)

    def failure(self, status: int, headers: dict[bytes, bytes], body: bytes) -> Failure:
        return self._inner.failure(status, headers, body)


def _plain(options: AnswerOptions) -> AnswerOptions:
    """To the engine it is an answer in text."""
    return msgspec.structs.replace(options, one_tool_call=False, must_call=False, wants_usage=True)


def _held(facts: Facts) -> Facts:
    """The request without its tools: they are in its first message, and the schema of their calls beside it.

    As it was sent where its tools cannot be read (the engine shall judge that), or are functions of the old kind.
    """
    try:
        functions, demanded = _functions(facts)
        messages = _decode(facts.fields["messages"], type=list[_Raw])
        first = _decode(messages[0], type=dict[str, _Raw]) if messages else {}
    except (KeyError, *UNREADABLE):
        return facts
    words = instructions(functions, demanded)
    fields = {name: value for name, value in facts.fields.items() if name not in _ABOUT_TOOLS}
    form = {"name": "call", "strict": True, "schema": schema_of(functions, demanded)}
    fields["response_format"] = _Raw(_encode({"type": "json_schema", "json_schema": form}))
    fields["messages"] = _Raw(_encode(_with_words(messages, first, words)))
    fields["stream"] = _Raw(b"true")
    return msgspec.structs.replace(facts, fields=fields, stream=True, one_tool_call=False, must_call=False)


def _functions(facts: Facts) -> tuple[list[dict[str, Any]], bool]:
    """The functions that may be called, and whether one has to be."""
    tools = _decode(facts.fields["tools"], type=list[_Tool])
    functions = [tool.function for tool in tools if tool.function is not None]
    if bytes(facts.fields.get("tool_choice", _NULL))[:1] == b"{":
        named = _decode(facts.fields["tool_choice"], type=_Named).function.name
        functions = [function for function in functions if function.name == named] or functions
    listed = [{name: value for name, value in msgspec.structs.asdict(each).items() if value} for each in functions]
    return listed, facts.must_call


def _with_words(messages: list[msgspec.Raw], first: dict[str, msgspec.Raw], words: str) -> list[Any]:
    """The words about tools behind what the client says to the model as its system, or before everything else."""
    if bytes(first.get("role", _NULL)) not in (b'"system"', b'"developer"'):
        return [{"role": "system", "content": words}, *messages]
    content = _decode(first.get("content", b'""'))
    both = [*content, {"type": "text", "text": words}] if isinstance(content, list) else f"{content or ''}\n\n{words}"
    return [{**first, "content": both}, *messages[1:]]


class _Held:
    """One answer; a `StreamDecoder` around one that collects a whole completion of text."""

    def __init__(self, inner: StreamDecoder, options: AnswerOptions, *, streams: bool) -> None:
        self._inner = inner
        self._options = options
        self._streams = streams

    def feed(self, data: bytes) -> Chunk:
        return self._turned(self._inner.feed(data))

    def eof(self) -> Chunk:
        return self._turned(self._inner.eof())

    def whole_at_end(self) -> bool:
        return self._inner.whole_at_end()

    def says_something(self, data: bytes) -> bool:
        return False

    def held(self) -> int:
        return self._inner.held()

    def _turned(self, chunk: Chunk) -> Chunk:
        chunk.unread = False
        if not chunk.done:
            chunk.withheld, chunk.content = chunk.withheld or chunk.content, False
            return chunk
        document = _decode(chunk.out)
        called = [_turn(choice, str(document.get("id"))) for choice in document["choices"]]
        if self._options.must_call and not all(called):
            message = "the answer ended before its tool call was whole, and tool_choice demands one"
            chunk.out, chunk.done, chunk.content = b"", False, False
            chunk.failure = Failure(kind=Failed.CAPABILITY, message=message)
            return chunk
        chunk.content = True
        chunk.out = self._written(document)
        return chunk

    def _written(self, document: dict[str, Any]) -> bytes:
        if not self._streams:
            return _encode(document)
        if not self._options.wants_usage:
            document.pop("usage", None)
        return b"".join(chunks_of(_encode(document))) + DONE


def _turn(choice: dict[str, Any], answer: str) -> bool:
    """Make the call, or the words, of a choice's JSON; whether it is a call. What was cut short stays text."""
    message = choice["message"]
    said = read(message.get("content") or "")
    if said is None:
        return False
    name, content = said
    if not name:
        message["content"] = content
        return False
    function = {"name": name, "arguments": _encode(content).decode()}
    message["content"] = None
    id = f"call_{answer.removeprefix('chatcmpl-')}_{choice['index']}"
    message["tool_calls"] = [{"id": id, "type": "function", "function": function}]
    choice["finish_reason"] = "tool_calls"
    return True
