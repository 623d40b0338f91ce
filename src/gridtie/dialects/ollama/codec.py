"""OpenAI client to Ollama's native API, which alone refuses a chat that does not fit instead of cutting it."""

from __future__ import annotations

from gridtie.dialects.facts import Facts
from gridtie.dialects.ollama import errors, request
from gridtie.dialects.ollama.answer import Answer, AnswerWithCall
from gridtie.dialects.openai_chat.answer import ChunkWriter, WholeWriter
from gridtie.dialects.translation import decode_whole
from gridtie.dialects.types import Failure, StreamDecoder, UpstreamRequest, Whole

CHAT_PATH = "/api/chat"


class OpenAIToOllama:
    """The `Codec` for Ollama. Its streams always end with usage, so `include_usage` asks for nothing."""

    translates = True

    def request(
        self,
        facts: Facts,
        model: str,
        *,
        stream: bool,
        include_usage: bool,
        output_limit: int | None = None,
        limit_field: str = "max_tokens",
    ) -> UpstreamRequest:
        return UpstreamRequest(path=CHAT_PATH, body=request.translate(facts, model, output_limit))

    def stream(
        self,
        *,
        client_wants_usage: bool,
        prompt_estimate: int,
        created: int = 0,
        choices: int = 1,
        one_tool_call: bool = False,
        must_call: bool = False,
    ) -> StreamDecoder:
        return (AnswerWithCall if must_call else Answer)(
            ChunkWriter,
            client_wants_usage=client_wants_usage,
            prompt_estimate=prompt_estimate,
            one_tool_call=one_tool_call,
        )

    def collect(
        self, *, prompt_estimate: int, created: int = 0, one_tool_call: bool = False, must_call: bool = False
    ) -> StreamDecoder:
        return (AnswerWithCall if must_call else Answer)(
            WholeWriter,
            client_wants_usage=True,
            prompt_estimate=prompt_estimate,
            one_tool_call=one_tool_call,
        )

    def whole(self, body: bytes, *, prompt_estimate: int, created: int = 0) -> Whole:
        return decode_whole(self.collect(prompt_estimate=prompt_estimate), body)

    def failure(self, status: int, headers: dict[bytes, bytes], body: bytes) -> Failure:
        return errors.classify(status, headers, body)
