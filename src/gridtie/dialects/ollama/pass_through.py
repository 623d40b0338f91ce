"""Ollama client to Ollama target: the request's bytes pass but for what the station decides, the answer's as they are.

Nothing is cut (`truncate`, `shift`), and context, placement and how long a model stays loaded are the station's: a
client that asks for another context would make Ollama load the model anew for everybody.
"""

from __future__ import annotations

import msgspec

from gridtie.dialects.answer import Silent
from gridtie.dialects.facts import Facts
from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.ollama import errors
from gridtie.dialects.ollama.answer_reader import Answer
from gridtie.dialects.ollama.answer_writer import WholeWriter
from gridtie.dialects.translation import read_whole
from gridtie.dialects.types import (
    AnswerOptions,
    Chunk,
    Failure,
    RequestOptions,
    StreamDecoder,
    UpstreamRequest,
    Whole,
)

CHAT_PATH = "/api/chat"

_Raw = msgspec.Raw
_FALSE, _NO_OPTIONS = _Raw(b"false"), _Raw(b"{}")
_STATIONS_OPTIONS = (
    *("num_ctx", "num_keep", "num_batch", "num_gpu", "main_gpu", "use_mmap", "use_mlock", "num_thread", "numa"),
)
_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(dict[str, _Raw]).decode


def settled(facts: Facts, model: str, options: RequestOptions) -> bytes:
    """A client's body with the router's words put in."""
    fields = facts.fields.copy()
    fields.pop("keep_alive", None)
    fields |= {"model": _Raw(_encode(model)), "stream": _Raw(_encode(facts.stream)), "truncate": _FALSE}
    fields["shift"] = _FALSE
    try:
        chosen = _fields(fields.get("options", _NO_OPTIONS))
    except UNREADABLE:
        # The facts were read from it, so it is an object or null.
        chosen = {}
    for name in _STATIONS_OPTIONS:
        chosen.pop(name, None)
    if facts.max_output is None and options.output_limit is not None:
        chosen["num_predict"] = _Raw(b"%d" % options.output_limit)
    fields["options"] = _Raw(_encode(chosen))
    return _encode(fields)


class PassThrough(Answer):
    """State of one stream; a `StreamDecoder`."""

    def __init__(self, options: AnswerOptions) -> None:
        super().__init__(Silent, options)

    def _take(self, unit: bytes, out: list[bytes], chunk: Chunk) -> None:
        super()._take(unit, [], chunk)
        if chunk.failure is None:
            out.append(unit + b"\n")


class OllamaToOllama:
    """The `Codec` for targets that speak the client's own dialect."""

    translates = False

    def request(self, facts: Facts, model: str, options: RequestOptions) -> UpstreamRequest:
        return UpstreamRequest(path=CHAT_PATH, body=settled(facts, model, options))

    def stream(self, options: AnswerOptions) -> StreamDecoder:
        return PassThrough(options)

    def collect(self, options: AnswerOptions) -> StreamDecoder:
        return Answer(WholeWriter, options)

    def whole(self, body: bytes, prompt_estimate: int) -> Whole:
        return read_whole(Answer, WholeWriter, body, prompt_estimate)

    def failure(self, status: int, headers: dict[bytes, bytes], body: bytes) -> Failure:
        return errors.classify(status, headers, body)
