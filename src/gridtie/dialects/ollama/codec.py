"""OpenAI client to Ollama's native API, which alone refuses a chat that does not fit instead of cutting it."""

from __future__ import annotations

from gridtie.dialects import ollama_answer, ollama_errors, ollama_request
from gridtie.dialects.types import Call, Failure, StreamDecoder, Whole

CHAT_PATH = "/api/chat"


class OpenAIToOllama:
    """The `Codec` for Ollama. Its streams always end with usage, so `include_usage` asks for nothing."""

    def call(self, body: bytes, model: str, *, stream: bool, include_usage: bool) -> Call:
        return Call(path=CHAT_PATH, body=ollama_request.translate(body, model, stream=stream))

    def stream(self, *, client_wants_usage: bool, prompt_estimate: int, created: int = 0) -> StreamDecoder:
        return ollama_answer.Stream(client_wants_usage=client_wants_usage, prompt_estimate=prompt_estimate)

    def whole(self, body: bytes, *, prompt_estimate: int, created: int = 0) -> Whole:
        return ollama_answer.whole(body, prompt_estimate)

    def failure(self, status: int, headers: dict[bytes, bytes], body: bytes) -> Failure:
        return ollama_errors.classify(status, headers, body)
