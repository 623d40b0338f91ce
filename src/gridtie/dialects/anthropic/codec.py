"""OpenAI client to Anthropic's Messages API."""

from __future__ import annotations

from gridtie.dialects import anthropic_answer, anthropic_errors, anthropic_request
from gridtie.dialects.types import Call, Failure, StreamDecoder, Whole

MESSAGES_PATH = "/v1/messages"


class OpenAIToAnthropic:
    """The `Codec` for Anthropic. Its streams always carry usage, so `include_usage` asks for nothing."""

    def call(self, body: bytes, model: str, *, stream: bool, include_usage: bool) -> Call:
        return Call(path=MESSAGES_PATH, body=anthropic_request.translate(body, model, stream=stream))

    def stream(self, *, client_wants_usage: bool, prompt_estimate: int, created: int = 0) -> StreamDecoder:
        return anthropic_answer.Stream(
            client_wants_usage=client_wants_usage, prompt_estimate=prompt_estimate, created=created
        )

    def whole(self, body: bytes, *, prompt_estimate: int, created: int = 0) -> Whole:
        return anthropic_answer.whole(body, created=created)

    def failure(self, status: int, headers: dict[bytes, bytes], body: bytes) -> Failure:
        return anthropic_errors.classify(status, headers, body)
