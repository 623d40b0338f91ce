"""OpenAI's completions for each kind of target: the bytes pass, or Ollama's `/api/generate` is asked.

Ollama would take them at a path of OpenAI's dialect too, and cut a prompt that does not fit without a word.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gridtie.dialects.conversation import EMPTY, NULL, needs_of
from gridtie.dialects.dropped import may_drop
from gridtie.dialects.facts import Facts
from gridtie.dialects.found import kind
from gridtie.dialects.object import Object
from gridtie.dialects.ollama import errors
from gridtie.dialects.ollama.answer_reader import Answer
from gridtie.dialects.openai_chat.codec import OpenAIToOpenAI
from gridtie.dialects.openai_completions.answer_writer import ChunkWriter, WholeWriter
from gridtie.dialects.translation import decode_whole
from gridtie.dialects.types import (
    AnswerOptions,
    Codec,
    Dialect,
    Failure,
    RequestOptions,
    StreamDecoder,
    Untranslatable,
    UpstreamRequest,
    Whole,
)

GENERATE_PATH = "/api/generate"

_Raw = msgspec.Raw
_encode = msgspec.json.Encoder().encode
_NUMBERS = ("temperature", "top_p", "min_p", "frequency_penalty", "presence_penalty", "repeat_penalty")


class ToGenerate:
    """The `Codec` for Ollama. A prompt with a suffix fills the gap between them, by the model's own template."""

    translates = True

    def request(self, facts: Facts, model: str, options: RequestOptions) -> UpstreamRequest:
        body = Object(facts.fields.copy(), "")
        for name in ("model", "stream"):
            body.take(name)
        if (streaming := body.inner("stream_options")) is not None:
            streaming.flag("include_usage")
        native: dict[str, Any] = {
            "model": model,
            "prompt": _prompt(body.take("prompt")),
            "stream": True,
            "truncate": False,
            "shift": False,
        }
        suffix = body.json_string("suffix")
        if suffix not in (NULL, EMPTY):
            native["suffix"] = suffix
        else:
            # What goes on is the text as it stands, and no turn of a chat.
            native["raw"] = True
        if chosen := _options(body, options.output_limit):
            native["options"] = chosen
        _refuse_the_rest(body)
        return UpstreamRequest(path=GENERATE_PATH, body=_encode(native))

    def stream(self, options: AnswerOptions) -> StreamDecoder:
        return Answer(ChunkWriter, options)

    def collect(self, options: AnswerOptions) -> StreamDecoder:
        return Answer(WholeWriter, options)

    def whole(self, body: bytes, prompt_estimate: int) -> Whole:
        return decode_whole(self.collect(AnswerOptions(prompt_estimate)), body)

    def failure(self, status: int, headers: dict[bytes, bytes], body: bytes) -> Failure:
        return errors.classify(status, headers, body)


class NoCompletions(ToGenerate):
    """The `Codec` for Anthropic, which has chats alone."""

    def request(self, facts: Facts, model: str, options: RequestOptions) -> UpstreamRequest:
        raise Untranslatable(
            "this model's server has chats alone; send messages to /v1/chat/completions", "completions"
        )


def _prompt(span: msgspec.Raw) -> msgspec.Raw:
    if span == NULL:
        return EMPTY
    if kind(span) != "a string":
        what = "this model's server takes one prompt, as a text; send each by itself"
        raise Untranslatable(what, needs="prompt")
    return span


def _options(body: Object, output_limit: int | None) -> dict[str, Any]:
    options: dict[str, Any] = {name: value for name in _NUMBERS if (value := body.number(name)) is not None}
    options |= {name: value for name in ("top_k", "seed") if (value := body.whole(name)) is not None}
    limit = body.whole("max_tokens")
    limit = limit if limit is not None else output_limit
    if limit is not None:
        options["num_predict"] = limit
    stop = body.peek("stop")
    if stop != NULL:
        one = kind(stop) == "a string"
        options["stop"] = [body.string("stop")] if one else body.strings("stop")
    return options


def _refuse_the_rest(body: Object) -> None:
    for name, span in body.rest().items():
        if not may_drop("openai-completions", name, span):
            what = f"this model's server knows no request field {name[:160]!r}, or not with this value; leave it out"
            raise Untranslatable(what, needs=needs_of(name))


CODECS: dict[tuple[Dialect, Dialect], Codec] = {
    ("openai-completions", "openai"): OpenAIToOpenAI("/completions", limit_field="max_tokens"),
    ("openai-completions", "ollama"): ToGenerate(),
    ("openai-completions", "anthropic"): NoCompletions(),
}
