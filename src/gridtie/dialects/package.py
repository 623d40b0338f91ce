"""A dialect as a whole: what it takes to read and write it; and the codec between any two.

A new dialect is a package that has these, entered in `codecs.py`; nothing else knows which there are.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec.structs import force_setattr, replace

from gridtie.dialects.answer import MakeWriter
from gridtie.dialects.conversation import Conversation
from gridtie.dialects.facts import Facts
from gridtie.dialects.translation import decode_whole
from gridtie.dialects.types import (
    AnswerOptions,
    Codec,
    Dialect,
    Failure,
    RequestOptions,
    StreamDecoder,
    UpstreamRequest,
    Whole,
)


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """One dialect, as clients and as targets speak it."""

    name: Dialect
    # Where client and target both speak it.
    own: Codec
    # Of a target: where chats are asked, below its base URL.
    path: str
    # A client's request -> the conversation -> a target's request. Both raise `Untranslatable`.
    read: Callable[[Facts], Conversation]
    write: Callable[[Conversation, str, RequestOptions], bytes]
    # A target's answer -> events -> a client's answer, streamed or whole.
    answer: Callable[[MakeWriter, AnswerOptions], StreamDecoder]
    streamed: MakeWriter
    whole: MakeWriter
    # A target's non-2xx answer.
    failure: Callable[[int, dict[bytes, bytes], bytes], Failure]


def spoken_by_clients(
    name: Dialect, like: Package, read: Callable[[Facts], Conversation], streamed: MakeWriter, whole: MakeWriter
) -> Package:
    """A dialect that no target speaks; what a target has of it is `like`'s, and never used."""
    return replace(like, name=name, read=read, streamed=streamed, whole=whole)


def conversation_of(facts: Facts, read: Callable[[Facts], Conversation]) -> Conversation:
    """What a request says, read once, whatever number of targets is asked. Raises `Untranslatable`."""
    if facts.conversation is None:
        force_setattr(facts, "conversation", read(facts))
    conversation = facts.conversation
    assert isinstance(conversation, Conversation)  # noqa: S101 (set above, and nowhere else)
    return conversation


class Translated:
    """The `Codec` between two different dialects. The target is always asked to stream."""

    translates = True

    def __init__(self, client: Package, target: Package) -> None:
        self._client = client
        self._target = target

    def request(self, facts: Facts, model: str, options: RequestOptions) -> UpstreamRequest:
        body = self._target.write(self._conversation(facts), model, replace(options, stream=True))
        return UpstreamRequest(path=self._target.path, body=body)

    def _conversation(self, facts: Facts) -> Conversation:
        return conversation_of(facts, self._client.read)

    def stream(self, options: AnswerOptions) -> StreamDecoder:
        return self._target.answer(self._client.streamed, options)

    def collect(self, options: AnswerOptions) -> StreamDecoder:
        return self._target.answer(self._client.whole, options)

    def whole(self, body: bytes, prompt_estimate: int) -> Whole:
        return decode_whole(self.collect(AnswerOptions(prompt_estimate)), body)

    def failure(self, status: int, headers: dict[bytes, bytes], body: bytes) -> Failure:
        failure = self._target.failure(status, headers, body)
        # Upstream's own body is in a dialect that the client does not read.
        return failure if failure.body is None else replace(failure, body=None)
