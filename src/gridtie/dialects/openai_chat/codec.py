"""OpenAI's chat completions, as clients and as targets speak them."""

from __future__ import annotations

from gridtie.dialects.facts import Facts
from gridtie.dialects.openai_chat import errors
from gridtie.dialects.openai_chat.answer_reader import Answer
from gridtie.dialects.openai_chat.answer_writer import ChunkWriter, WholeWriter
from gridtie.dialects.openai_chat.read import read
from gridtie.dialects.openai_chat.request import rewrite
from gridtie.dialects.openai_chat.stream import Collected, PassThrough
from gridtie.dialects.openai_chat.whole import read_whole
from gridtie.dialects.openai_chat.write import write
from gridtie.dialects.package import Package
from gridtie.dialects.types import AnswerOptions, Failure, RequestOptions, StreamDecoder, UpstreamRequest, Whole

CHAT_PATH = "/chat/completions"


class OpenAIToOpenAI:
    """The `Codec` for targets that speak the client's own dialect: bytes pass, with another model's name."""

    translates = False

    def __init__(self, path: str = CHAT_PATH, limit_field: str = "") -> None:
        """`limit_field`: where the limit of an answer goes, whatever a target wants it called in a chat."""
        self._path = path
        self._limit_field = limit_field

    def request(self, facts: Facts, model: str, options: RequestOptions) -> UpstreamRequest:
        ask_usage = options.include_usage if options.stream else None
        limit = options.output_limit if facts.max_output is None else None
        body = rewrite(facts.fields, model, ask_usage, limit, self._limit_field or options.limit_field)
        return UpstreamRequest(path=self._path, body=body)

    def stream(self, options: AnswerOptions) -> StreamDecoder:
        return PassThrough(options)

    def collect(self, options: AnswerOptions) -> StreamDecoder:
        return Collected(options)

    def whole(self, body: bytes, prompt_estimate: int) -> Whole:
        return read_whole(body, prompt_estimate)

    def failure(self, status: int, headers: dict[bytes, bytes], body: bytes) -> Failure:
        return errors.classify(status, headers, body)


OPENAI_CHAT = Package(
    name="openai",
    own=OpenAIToOpenAI(),
    path=CHAT_PATH,
    read=read,
    write=write,
    answer=Answer,
    streamed=ChunkWriter,
    whole=WholeWriter,
    failure=errors.classify,
)
