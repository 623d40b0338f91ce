"""Ollama's native chat, which alone refuses a prompt that does not fit instead of cutting it. Usage always ends it."""

from __future__ import annotations

from gridtie.dialects.answer import MakeWriter
from gridtie.dialects.ollama import errors
from gridtie.dialects.ollama.answer_reader import Answer, AnswerWithCall
from gridtie.dialects.ollama.answer_writer import LineWriter, WholeWriter
from gridtie.dialects.ollama.pass_through import CHAT_PATH, OllamaToOllama
from gridtie.dialects.ollama.read import read
from gridtie.dialects.ollama.write import write
from gridtie.dialects.package import Package
from gridtie.dialects.types import AnswerOptions, StreamDecoder


def _answer(write: MakeWriter, options: AnswerOptions) -> StreamDecoder:
    return (AnswerWithCall if options.must_call else Answer)(write, options)


OLLAMA = Package(
    name="ollama",
    own=OllamaToOllama(),
    path=CHAT_PATH,
    read=read,
    write=write,
    answer=_answer,
    streamed=LineWriter,
    whole=WholeWriter,
    failure=errors.classify,
)
