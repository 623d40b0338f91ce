"""Tool calls of a model that is held to a schema made of the request's tools, between any two dialects.

For models that call tools only so (`host/tool_calls.py`, decision 0039). The tools go to the model in words, the schema
as the answer's format, and the JSON that comes back becomes the call, or the text, that the client waits for. Nothing
of an answer passes before it is whole: only then it is known which of both it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from gridtie.dialects.answer import AnswerTooLarge, Finish, MakeWriter, Text, ToolCall, Writer
from gridtie.dialects.conversation import EMPTY, NULL, Choice, Conversation, Format, Message, Part, Tool, joined
from gridtie.dialects.conversation import Text as TextPart
from gridtie.dialects.facts import Facts
from gridtie.dialects.package import Package, Translated, conversation_of
from gridtie.dialects.types import (
    MAX_ANSWER_BYTES,
    AnswerOptions,
    Chunk,
    Failed,
    Failure,
    StreamDecoder,
    Untranslatable,
    Usage,
)
from gridtie.host.tool_calls import TooMuchDemanded, instructions, read, schema_of

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.decode


class HeldToSchema(Translated):
    """A `Codec` for requests with tools."""

    def _conversation(self, facts: Facts) -> Conversation:
        if facts.choices > 1:
            raise Untranslatable("this model gives one answer a request where there are tools; leave n out", needs="n")
        return _held(conversation_of(facts, self._client.read))

    def stream(self, options: AnswerOptions) -> StreamDecoder:
        return _Answer(self._target, self._client.streamed, options)

    def collect(self, options: AnswerOptions) -> StreamDecoder:
        return _Answer(self._target, self._client.whole, options)


def _held(conversation: Conversation) -> Conversation:
    """The request without its tools: they are in what the system says, and the schema of their calls beside it."""
    settings = conversation.settings
    functions, demanded = _functions(settings.tools, settings.choice)
    words = msgspec.Raw(_encode(instructions(functions, demanded)))
    try:
        schema = msgspec.Raw(_encode(schema_of(functions, demanded)))
    except TooMuchDemanded as error:
        raise Untranslatable(f"tools: {error}; lower it, or ask another model", needs="tools") from None
    form = Format(path="tools", schema=schema, name=msgspec.Raw(b'"call"'), strict=True)
    # What is no function stays, for the target's writer to judge.
    others = [tool for tool in settings.tools if not isinstance(tool, Tool)]
    held = replace(settings, tools=others, choice=None, parallel=None, format=form)
    return replace(conversation, settings=held, messages=_with_words(conversation.messages, words))


def _functions(tools: list[Any], choice: Choice | None) -> tuple[list[dict[str, Any]], bool]:
    """The functions that may be called, and whether one has to be."""
    kind = choice.kind if choice is not None else "auto"
    functions = [tool for tool in tools if isinstance(tool, Tool) and kind != "none"]
    if choice is not None and kind == "named":
        functions = [tool for tool in functions if tool.name == choice.name] or functions
    return [_described(tool) for tool in functions], kind in ("required", "named")


def _described(tool: Tool) -> dict[str, Any]:
    told = {"description": tool.description, "parameters": tool.parameters}
    return {"name": tool.name, **{name: _decode(span) for name, span in told.items() if bytes(span) != bytes(NULL)}}


def _with_words(messages: list[Message], words: msgspec.Raw) -> list[Message]:
    """The words about tools behind what the client says to the model as its system, or before everything else."""
    if not messages or messages[0].role not in ("system", "developer"):
        return [Message(path="tools", role="system", parts=[TextPart(path="tools", text=words)]), *messages]
    *before, last = messages[0].parts or [TextPart(text=EMPTY)]
    parts: list[Part]
    if isinstance(last, TextPart):
        parts = [*before, replace(last, text=joined([last.text, words], rb"\n\n"))]
    else:
        parts = [*before, last, TextPart(path="tools", text=words)]
    return [replace(messages[0], parts=parts), *messages[1:]]


class _Answer:
    """One answer; a `StreamDecoder` around the target's own."""

    def __init__(self, target: Package, make: MakeWriter, options: AnswerOptions) -> None:
        self._must_call = options.must_call
        self._writer: _CallWriter | None = None

        def held(id: str, created: int, model: str, _: AnswerOptions) -> Writer:
            self._writer = _CallWriter(make(id, created, model, options), id)
            return self._writer

        # To the engine it is an answer in text.
        self._inner = target.answer(held, replace(options, one_tool_call=False, must_call=False))

    def feed(self, data: bytes) -> Chunk:
        return self._judged(self._inner.feed(data))

    def eof(self) -> Chunk:
        return self._judged(self._inner.eof())

    def whole_at_end(self) -> bool:
        return self._inner.whole_at_end()

    def says_something(self, data: bytes) -> bool:
        return False

    def held(self) -> int:
        return self._inner.held()

    def usage(self) -> Usage:
        return self._inner.usage()

    def _judged(self, chunk: Chunk) -> Chunk:
        chunk.unread = False
        if not chunk.done:
            chunk.withheld, chunk.content = chunk.withheld or chunk.content, False
        elif self._must_call and not (self._writer is not None and self._writer.called):
            message = "the answer ended before its tool call was whole, and tool_choice demands one"
            chunk.out, chunk.done, chunk.content = b"", False, False
            chunk.failure = Failure(kind=Failed.CAPABILITY, message=message)
        return chunk


class _CallWriter:
    """A `Writer` before the client's: keeps the text until its end tells whether it is a call."""

    def __init__(self, inner: Writer, id: str) -> None:
        self._inner = inner
        self._id = id.removeprefix("chatcmpl-")
        # JSON text without its quotes.
        self._pieces: list[bytes] = []
        self._length = 0
        # What else the model's server says, in order.
        self._others: list[Callable[[], bytes]] = []
        self.called = False

    def start(self) -> bytes:
        return b""

    def content(self, text: Text) -> bytes:
        self._pieces.append(bytes(text)[1:-1])
        return self._keep(len(self._pieces[-1]))

    def reasoning(self, text: Text) -> bytes:
        return self._later(lambda: self._inner.reasoning(text), len(bytes(text)))

    def signature(self, text: Text) -> bytes:
        return self._later(lambda: self._inner.signature(text), len(bytes(text)))

    def redacted(self, data: Text) -> bytes:
        return self._later(lambda: self._inner.redacted(data), len(bytes(data)))

    def refusal(self, text: Text) -> bytes:
        return self._later(lambda: self._inner.refusal(text), len(bytes(text)))

    def call(self, index: int, call: ToolCall) -> bytes:
        self.called = True
        return self._later(lambda: self._inner.call(index, call), len(call.arguments))

    def arguments(self, index: int, piece: Text) -> bytes:
        return self._later(lambda: self._inner.arguments(index, piece), len(bytes(piece)))

    def end(self, reason: Finish, usage: Usage, *, wants_usage: bool) -> bytes:
        out = [self._inner.start(), *(say() for say in self._others)]
        text = b'"' + b"".join(self._pieces) + b'"'
        said = read(_decode(text, type=str))
        if said is not None and said[0]:
            self.called = True
            reason = "tool_calls"
            call = ToolCall(f"call_{self._id}_0", said[0], _encode(said[1]).decode())
            out.append(self._inner.call(0, call))
        elif self._pieces:
            # What was cut short stays the text that it is.
            out.append(self._inner.content(text if said is None else _encode(said[1])))
        out.append(self._inner.end(reason, usage, wants_usage=wants_usage))
        return b"".join(out)

    def held(self) -> int:
        return self._length + self._inner.held()

    def _later(self, say: Callable[[], bytes], length: int) -> bytes:
        self._others.append(say)
        return self._keep(length)

    def _keep(self, length: int) -> bytes:
        self._length += length
        if self._length > MAX_ANSWER_BYTES:
            raise AnswerTooLarge(f"the upstream's answer exceeds {MAX_ANSWER_BYTES} bytes")
        return b""
