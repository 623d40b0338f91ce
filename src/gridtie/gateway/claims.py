"""What a request claims about itself in its headers, held against what its key allows."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from gridtie.gateway.keys import Key, resolve_environment
from gridtie.routing.plan import Refusal

# Names end in reports and in rules: words, not sentences.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,63}")
MAX_TAGS = 16

_NO_TAGS: frozenset[str] = frozenset()


class Claims(msgspec.Struct, frozen=True):
    """Where a request belongs."""

    environment: str
    agent: str | None = None
    tags: frozenset[str] = _NO_TAGS


def claims(headers: Mapping[bytes, bytes], key: Key) -> Claims | Refusal:
    """Read the x-gridtie-* headers; a refusal where one is malformed or claims what the key may not."""
    agent = headers.get(b"x-gridtie-agent")
    tags = headers.get(b"x-gridtie-tags")
    asked = headers.get(b"x-gridtie-environment")
    environment = resolve_environment(key, asked.decode("latin-1").strip() if asked is not None else None)
    if isinstance(environment, Refusal):
        return environment
    if agent is None and tags is None:
        return Claims(environment)
    name = agent.decode("latin-1").strip() if agent else None
    if name is not None and not _NAME.fullmatch(name):
        return _malformed("x-gridtie-agent", name)
    words = (
        _NO_TAGS
        if not tags
        else frozenset(word for part in tags.decode("latin-1").split(",") if (word := part.strip().lower()))
    )
    for word in words:
        if not _NAME.fullmatch(word):
            return _malformed("x-gridtie-tags", word)
    if len(words) > MAX_TAGS:
        return Refusal(
            status=400, code="invalid_header", message=f"x-gridtie-tags holds {len(words)} tags; at most {MAX_TAGS}"
        )
    return Claims(environment, name, words)


def _malformed(header: str, found: str) -> Refusal:
    return Refusal(
        status=400,
        code="invalid_header",
        message=f"{header} holds {found[:80]!r}; wanted up to 64 letters, digits and . _ : / @ + -",
    )
