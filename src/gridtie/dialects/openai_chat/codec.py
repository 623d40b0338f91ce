"""OpenAI client to OpenAI upstream: the request's bytes pass with another model name, the answer's as they are."""

from __future__ import annotations

from gridtie.dialects.facts import Facts
from gridtie.dialects.openai_chat import errors
from gridtie.dialects.openai_chat.request import rewrite
from gridtie.dialects.openai_chat.stream import Collected, PassThrough
from gridtie.dialects.openai_chat.whole import read_whole
from gridtie.dialects.types import Failure, StreamDecoder, UpstreamRequest, Whole

CHAT_PATH = "/chat/completions"


class OpenAIToOpenAI:
    """The `Codec` for targets that speak the client's own dialect."""

    translates = False

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
        ask_usage = include_usage if stream else None
        limit = output_limit if facts.max_output is None else None
        return UpstreamRequest(path=CHAT_PATH, body=rewrite(facts.fields, model, ask_usage, limit, limit_field))

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
        return PassThrough(client_wants_usage=client_wants_usage, prompt_estimate=prompt_estimate, choices=choices)

    def collect(
        self, *, prompt_estimate: int, created: int = 0, one_tool_call: bool = False, must_call: bool = False
    ) -> StreamDecoder:
        return Collected(prompt_estimate=prompt_estimate)

    def whole(self, body: bytes, *, prompt_estimate: int, created: int = 0) -> Whole:
        return read_whole(body, prompt_estimate)

    def failure(self, status: int, headers: dict[bytes, bytes], body: bytes) -> Failure:
        return errors.classify(status, headers, body)
