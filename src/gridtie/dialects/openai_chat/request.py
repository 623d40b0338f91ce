"""An OpenAI chat request for a target of the same dialect: the client's bytes, with the router's words put in."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from gridtie.dialects.failures import UNREADABLE

_Raw = msgspec.Raw
_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(dict[str, _Raw]).decode
_ASK_USAGE = _Raw(b'{"include_usage":true}')
_NULL, _TRUE = _Raw(b"null"), _Raw(b"true")


def rewrite(
    sent: dict[str, msgspec.Raw], model: str, ask_usage: bool | None, limit: int | None, limit_field: str
) -> bytes:
    """The body. Values keep their bytes, so a provider's prompt cache sees the prefix that the client sent.

    `ask_usage`: None where there is no stream; False where the endpoint is known to reject the field.
    """
    fields = sent.copy()
    fields["model"] = _name(model)
    if ask_usage:
        fields["stream_options"] = _asking_usage(fields.get("stream_options"))
    elif ask_usage is not None:
        # Whoever put it in.
        fields.pop("stream_options", None)
    if limit is not None:
        fields[limit_field] = _Raw(b"%d" % limit)
    return _encode(fields)


@lru_cache(maxsize=256)
def _name(model: str) -> msgspec.Raw:
    """A target's model as JSON; there are few, and every request names one."""
    return _Raw(_encode(model))


def _asking_usage(options: msgspec.Raw | None) -> msgspec.Raw:
    """The client's stream options with `include_usage` on; its own bytes where it already asks."""
    if options is None or options in (_NULL, _ASK_USAGE):
        return _ASK_USAGE
    try:
        fields = _fields(options)
    except UNREADABLE:
        # The facts were read from it, so it is an object; should it not be, upstream shall judge.
        return options
    if fields.get("include_usage") == _TRUE:
        return options
    fields["include_usage"] = _TRUE
    return _Raw(_encode(fields))
