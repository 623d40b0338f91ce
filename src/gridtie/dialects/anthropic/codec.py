"""Anthropic's Messages API, as clients and as targets speak it. Its streams always carry usage."""

from __future__ import annotations

from gridtie.dialects.anthropic import errors
from gridtie.dialects.anthropic.answer_reader import Answer
from gridtie.dialects.anthropic.answer_writer import EventWriter, WholeWriter
from gridtie.dialects.anthropic.pass_through import MESSAGES_PATH, AnthropicToAnthropic
from gridtie.dialects.anthropic.read import read
from gridtie.dialects.anthropic.write import write
from gridtie.dialects.package import Package

ANTHROPIC = Package(
    name="anthropic",
    own=AnthropicToAnthropic(),
    path=MESSAGES_PATH,
    read=read,
    write=write,
    answer=Answer,
    streamed=EventWriter,
    whole=WholeWriter,
    failure=errors.classify,
)
