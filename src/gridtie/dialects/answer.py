"""An answer in the middle: its events, as a reader of one dialect tells them and a writer of another takes them.

Each event is a call and gives the bytes that go to the client now: nothing is built for an event, as there is one for
every token. Texts are JSON strings, quotes and all, and pass from one JSON into another unread. Usage and finish come
together, at the end; a failure is no event of a writer's, since it is the surface that words it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import msgspec

from gridtie.dialects.types import AnswerOptions, Usage

Text = msgspec.Raw | bytes

# How an answer ended.
Finish = Literal["stop", "length", "tool_calls", "content_filter"]


# Where clients are told of one call after another, and act on each at its end.
MIXED_CALLS = "the model's server went on with a tool call after it had begun what follows it"


class Unwritable(ValueError):
    """An answer that the client's dialect cannot say, or not within bounds."""


class AnswerTooLarge(Unwritable):
    """A collected answer grew past `MAX_ANSWER_BYTES`."""


class ToolCall(msgspec.Struct, frozen=True):
    """A tool call of an answer; `arguments` is JSON as text."""

    id: str
    name: str
    arguments: str


class Writer(Protocol):
    """Where a reader puts an answer, in the order in which it is said. Raises `Unwritable`."""

    def start(self) -> bytes:
        """Before the first content."""
        ...

    def content(self, text: Text) -> bytes: ...

    def reasoning(self, text: Text) -> bytes: ...

    def signature(self, text: Text) -> bytes:
        """What proves the reasoning before it to its own provider."""
        ...

    def redacted(self, data: Text) -> bytes:
        """Reasoning that its own provider alone can read: all that there is of it."""
        ...

    def refusal(self, text: Text) -> bytes: ...

    def call(self, index: int, call: ToolCall) -> bytes:
        """The first piece of a tool call: everything, or its name with the arguments to follow."""
        ...

    def arguments(self, index: int, piece: Text) -> bytes:
        """A further piece of a tool call's arguments."""
        ...

    def end(self, reason: Finish, usage: Usage, *, wants_usage: bool) -> bytes:
        """The finish, and all that follows it."""
        ...

    def held(self) -> int:
        """Bytes of the answer that are kept."""
        ...


# Makes the writer of an answer, once its id, time (Unix) and model are known.
MakeWriter = Callable[[str, int, str, AnswerOptions], Writer]


class Silent:
    """Writes nothing: for a reader that classifies an answer whose own bytes pass."""

    def __init__(self, id: str, created: int, model: str, options: AnswerOptions) -> None: ...

    def start(self) -> bytes:
        return b""

    def content(self, text: Text) -> bytes:
        return b""

    reasoning = signature = redacted = refusal = content

    def call(self, index: int, call: ToolCall) -> bytes:
        return b""

    def arguments(self, index: int, piece: Text) -> bytes:
        return b""

    def end(self, reason: Finish, usage: Usage, *, wants_usage: bool) -> bytes:
        return b""

    def held(self) -> int:
        return 0
