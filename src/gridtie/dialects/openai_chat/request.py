"""An OpenAI chat request for a target of the same dialect: the client's bytes, with the router's words put in."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from gridtie.dialects.facts import Facts
from gridtie.dialects.failures import UNREADABLE

_Raw = msgspec.Raw
_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(dict[str, _Raw]).decode
_ASK_USAGE = _Raw(b'{"include_usage":true}')
_NULL, _TRUE = _Raw(b"null"), _Raw(b"true")


def rewrite(
    facts: Facts, model: str, *, stream: bool, include_usage: bool, output_limit: int | None, limit_field: str
) -> bytes:
    """The body. Values keep their bytes, so a provider's prompt cache sees the prefix that the client sent."""
    fields = facts.fields.copy()
    fields["model"] = _name(model)
    if stream:
        if include_usage:
            fields["stream_options"] = _asking_usage(fields.get("stream_options"))
        else:
            # The endpoint is known to reject the field, whoever put it in.
            fields.pop("stream_options", None)
    if output_limit is not None and facts.max_output is None:
        fields[limit_field] = _Raw(b"%d" % output_limit)
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
