"""Ollama's `/api/generate` for each kind of target.

With an Ollama the bytes pass. For any other a prompt is one turn of a chat (`ollama-generate`); a text that goes on as
it stands, and a gap that is filled, is a completion of OpenAI's (`ollama-fill`).
"""

from __future__ import annotations

from typing import Any

import msgspec

from gridtie.dialects.answer import Finish, Text
from gridtie.dialects.conversation import EMPTY, NULL, Conversation, leave_out
from gridtie.dialects.facts import Facts
from gridtie.dialects.ollama.answer_reader import Answer
from gridtie.dialects.ollama.answer_writer import LineWriter, WholeWriter
from gridtie.dialects.ollama.pass_through import OllamaToOllama, settled
from gridtie.dialects.ollama.read import read
from gridtie.dialects.openai_chat import errors as openai_errors
from gridtie.dialects.openai_chat.answer_reader import Answer as OpenAIAnswer
from gridtie.dialects.openai_chat.write import NUMBERS
from gridtie.dialects.translation import decode_whole, read_whole
from gridtie.dialects.types import (
    AnswerOptions,
    Failure,
    RequestOptions,
    StreamDecoder,
    Untranslatable,
    UpstreamRequest,
    Usage,
    Whole,
)

GENERATE_PATH = "/api/generate"
COMPLETIONS_PATH = "/completions"

_Raw = msgspec.Raw
_encode = msgspec.json.Encoder().encode
_TAIL = b',"done":false}\n'


class GenerateToOllama(OllamaToOllama):
    """The `Codec` for targets that speak it."""

    def request(self, facts: Facts, model: str, options: RequestOptions) -> UpstreamRequest:
        return UpstreamRequest(path=GENERATE_PATH, body=settled(facts, model, options))

    def whole(self, body: bytes, prompt_estimate: int) -> Whole:
        return read_whole(Answer, ResponseWriter, body, prompt_estimate)


def read_turn(facts: Facts) -> Conversation:
    """A prompt as the conversation of one turn. Raises `Untranslatable`."""
    fields = facts.fields.copy()
    for name in ("context", "template"):
        if fields.pop(name, NULL) not in (NULL, EMPTY, _Raw(b"[]")):
            raise Untranslatable(f"this model's server has no {name!r}; leave it out", needs=name)
    said: dict[str, Any] = {"role": "user", "content": fields.pop("prompt", EMPTY)}
    if (images := fields.pop("images", NULL)) != NULL:
        said["images"] = images
    messages = [said]
    if (system := fields.pop("system", NULL)) not in (NULL, EMPTY):
        messages.insert(0, {"role": "system", "content": system})
    for name in ("suffix", "raw"):
        fields.pop(name, None)
    fields["messages"] = _Raw(_encode(messages))
    return read(Facts(fields=fields, dialect="ollama"))


class ResponseLineWriter(LineWriter):
    """The lines of a streamed answer, which has a text and no message."""

    def __init__(self, id: str, created: int, model: str, options: AnswerOptions) -> None:
        super().__init__(id, created, model, options)
        common = _encode(self._head)[:-1]
        self._content, self._thinking = common + b',"response":', common + b',"response":"","thinking":'

    def content(self, text: Text) -> bytes:
        return b"".join((self._content, text, _TAIL))

    refusal = content

    def reasoning(self, text: Text) -> bytes:
        return b"".join((self._thinking, text, _TAIL))

    def end(self, reason: Finish, usage: Usage, *, wants_usage: bool) -> bytes:
        return _as_response(super().end(reason, usage, wants_usage=wants_usage)) + b"\n"


class ResponseWriter(WholeWriter):
    """The same of a whole answer."""

    def end(self, reason: Finish, usage: Usage, *, wants_usage: bool) -> bytes:
        return _as_response(super().end(reason, usage, wants_usage=wants_usage))


def _as_response(answer: bytes) -> bytes:
    """The last object of a chat's answer, its message's texts in the places that they have here."""
    fields = msgspec.json.decode(answer.splitlines()[-1], type=dict[str, _Raw])
    message = msgspec.json.decode(fields.pop("message"), type=dict[str, _Raw])
    fields["response"] = message["content"]
    if "thinking" in message:
        fields["thinking"] = message["thinking"]
    return _encode(fields)


class FillToCompletions:
    """The `Codec` for targets of OpenAI's dialect, whose completions go on with a text or fill a gap."""

    translates = True

    def request(self, facts: Facts, model: str, options: RequestOptions) -> UpstreamRequest:
        fields = facts.fields.copy()
        prompt, suffix = fields.pop("prompt", EMPTY), fields.pop("suffix", EMPTY)
        for name in ("system", "template", "context", "images"):
            if fields.pop(name, NULL) not in (NULL, EMPTY, _Raw(b"[]")):
                raise Untranslatable(f"a completion of this model's server has no {name!r}; leave it out", needs=name)
        fields.pop("raw", None)
        # What else there is, is that of a chat; the prompt stands for its messages, which are not used.
        fields["messages"] = _Raw(_encode([{"role": "user", "content": prompt}]))
        conversation = read(Facts(fields=fields, dialect="ollama"))
        leave_out(conversation, "openai")
        settings = conversation.settings
        if settings.format is not None:
            raise Untranslatable("a completion of this model's server has no format; leave it out", needs="format")
        limit = settings.limit if settings.limit is not None else options.output_limit
        native: dict[str, Any] = {"model": model, "prompt": prompt, "stream": True}
        native |= {} if suffix in (NULL, EMPTY) else {"suffix": suffix}
        native |= {"stream_options": {"include_usage": True}} if options.include_usage else {}
        native |= {"stop": settings.stops} if settings.stops else {}
        native |= {} if limit is None else {"max_tokens": limit}
        native |= {name: value for name in NUMBERS if (value := getattr(settings, name)) is not None}
        return UpstreamRequest(path=COMPLETIONS_PATH, body=_encode(native))

    def stream(self, options: AnswerOptions) -> StreamDecoder:
        return OpenAIAnswer(ResponseLineWriter, options)

    def collect(self, options: AnswerOptions) -> StreamDecoder:
        return OpenAIAnswer(ResponseWriter, options)

    def whole(self, body: bytes, prompt_estimate: int) -> Whole:
        return decode_whole(self.collect(AnswerOptions(prompt_estimate)), body)

    def failure(self, status: int, headers: dict[bytes, bytes], body: bytes) -> Failure:
        return msgspec.structs.replace(openai_errors.classify(status, headers, body), body=None)


class NoFill(FillToCompletions):
    """The `Codec` for Anthropic, which has chats alone."""

    def request(self, facts: Facts, model: str, options: RequestOptions) -> UpstreamRequest:
        what = "this model's server has chats alone, and neither fills a gap nor goes on with a text"
        raise Untranslatable(what, needs="completions")
