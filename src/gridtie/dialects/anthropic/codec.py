"""OpenAI client to Anthropic's Messages API."""

from __future__ import annotations

from gridtie.dialects.anthropic import errors, request
from gridtie.dialects.anthropic.answer import Answer
from gridtie.dialects.facts import Facts
from gridtie.dialects.openai_chat.answer import ChunkWriter, WholeWriter
from gridtie.dialects.translation import decode_whole
from gridtie.dialects.types import AnswerOptions, Failure, RequestOptions, StreamDecoder, UpstreamRequest, Whole

MESSAGES_PATH = "/v1/messages"


class OpenAIToAnthropic:
    """The `Codec` for Anthropic. Its streams always carry usage, so `include_usage` asks for nothing."""

    translates = True

    def request(self, facts: Facts, model: str, options: RequestOptions) -> UpstreamRequest:
        return UpstreamRequest(path=MESSAGES_PATH, body=request.translate(facts, model, options.output_limit))

    def stream(self, options: AnswerOptions) -> StreamDecoder:
        return Answer(ChunkWriter, options)

    def collect(self, options: AnswerOptions) -> StreamDecoder:
        return Answer(WholeWriter, options)

    def whole(self, body: bytes, prompt_estimate: int) -> Whole:
        return decode_whole(self.collect(AnswerOptions(prompt_estimate)), body)

    def failure(self, status: int, headers: dict[bytes, bytes], body: bytes) -> Failure:
        return errors.classify(status, headers, body)
