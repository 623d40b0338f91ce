"""OpenAI client to Ollama's native API, which alone refuses a chat that does not fit instead of cutting it."""

from __future__ import annotations

from gridtie.dialects.facts import Facts
from gridtie.dialects.ollama import errors, request
from gridtie.dialects.ollama.answer import Answer, AnswerWithCall
from gridtie.dialects.openai_chat.answer import ChunkWriter, WholeWriter
from gridtie.dialects.translation import decode_whole
from gridtie.dialects.types import AnswerOptions, Failure, RequestOptions, StreamDecoder, UpstreamRequest, Whole

CHAT_PATH = "/api/chat"


class OpenAIToOllama:
    """The `Codec` for Ollama. Its streams always end with usage, so `include_usage` asks for nothing."""

    translates = True

    def request(self, facts: Facts, model: str, options: RequestOptions) -> UpstreamRequest:
        return UpstreamRequest(path=CHAT_PATH, body=request.translate(facts, model, options.output_limit))

    def stream(self, options: AnswerOptions) -> StreamDecoder:
        return (AnswerWithCall if options.must_call else Answer)(ChunkWriter, options)

    def collect(self, options: AnswerOptions) -> StreamDecoder:
        return (AnswerWithCall if options.must_call else Answer)(WholeWriter, options)

    def whole(self, body: bytes, prompt_estimate: int) -> Whole:
        return decode_whole(self.collect(AnswerOptions(prompt_estimate)), body)

    def failure(self, status: int, headers: dict[bytes, bytes], body: bytes) -> Failure:
        return errors.classify(status, headers, body)
