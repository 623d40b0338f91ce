"""OpenAI client to OpenAI upstream: the request's bytes pass with another model name, the answer's as they are."""

from __future__ import annotations

import msgspec

from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.openai_chat.errors import ErrorObject, classify, from_error, read
from gridtie.dialects.openai_chat.stream import PassThrough
from gridtie.dialects.openai_chat.usage import BYTES_PER_TOKEN, WireUsage, estimate, from_wire
from gridtie.dialects.types import Call, Failed, Failure, StreamDecoder, Untranslatable, Whole

CHAT_PATH = "/chat/completions"

_Raw = msgspec.Raw
# Raw values keep their bytes: messages are copied, never parsed, and a provider's prompt cache sees the prefix
# that the client sent. A key given twice collapses into one, so upstream cannot read another model than we do.
_top_level = msgspec.json.Decoder(dict[str, _Raw])
_encode = msgspec.json.Encoder().encode
_ASK_USAGE = _Raw(b'{"include_usage":true}')


class _WholeAnswer(msgspec.Struct):
    choices: list[_Raw] | None = None
    usage: WireUsage | None = None
    error: ErrorObject | str | None = None


_whole = msgspec.json.Decoder(_WholeAnswer)


class OpenAI:
    """The `Codec` for targets that speak the client's own dialect."""

    def call(self, body: bytes, model: str, *, stream: bool, include_usage: bool) -> Call:
        try:
            fields = _top_level.decode(body)
        except UNREADABLE as error:
            raise Untranslatable(f"the request body is not a JSON object: {error}") from None
        fields["model"] = _Raw(_encode(model))
        if stream and include_usage:
            fields["stream_options"] = _asking_usage(fields.get("stream_options"))
        elif stream:
            # The endpoint is known to reject the field, whoever put it in.
            fields.pop("stream_options", None)
        return Call(path=CHAT_PATH, body=_encode(fields))

    def stream(self, *, client_wants_usage: bool, prompt_estimate: int, created: int = 0) -> StreamDecoder:
        return PassThrough(client_wants_usage=client_wants_usage, prompt_estimate=prompt_estimate)

    def whole(self, body: bytes, *, prompt_estimate: int, created: int = 0) -> Whole:
        try:
            answer = _whole.decode(body)
        except UNREADABLE as error:
            return Whole(
                b"",
                failure=Failure(kind=Failed.BROKEN, message=f"the upstream's answer is no chat completion: {error}"),
            )
        if answer.error:
            return Whole(b"", failure=from_error(read(body)))
        if not answer.choices:
            return Whole(b"", failure=Failure(kind=Failed.BROKEN, message="the upstream's answer holds no choices"))
        if answer.usage is not None:
            return Whole(body, from_wire(answer.usage))
        answered = sum(len(memoryview(choice)) for choice in answer.choices)
        return Whole(body, estimate(prompt_estimate, answered // BYTES_PER_TOKEN))

    def failure(self, status: int, headers: dict[bytes, bytes], body: bytes) -> Failure:
        return classify(status, headers, body)


def _asking_usage(options: msgspec.Raw | None) -> msgspec.Raw:
    """The client's stream options with `include_usage` on; its own bytes where it already asks."""
    if options is None:
        return _ASK_USAGE
    try:
        fields = _top_level.decode(options)
    except UNREADABLE:
        # null, or nonsense that upstream shall judge.
        return _ASK_USAGE if bytes(options) == b"null" else options
    if bytes(fields.get("include_usage", b"")) == b"true":
        return options
    fields["include_usage"] = _Raw(b"true")
    return _Raw(_encode(fields))
