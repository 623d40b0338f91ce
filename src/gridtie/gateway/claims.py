"""What a request claims about itself, held against what its key allows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from gridtie.config.names import CLAIM, CLAIM_WORDS, canonical
from gridtie.config.problems import closest
from gridtie.gateway.keys import Key, resolve_environment
from gridtie.routing.plan import Refusal

MAX_TAGS = 16
# The tool's own traffic: in the ledger, and outside every saving.
PURPOSES = ("doctor", "verify", "demo", "bench", "quality")

_NO_TAGS: frozenset[str] = frozenset()


class Claims(msgspec.Struct, frozen=True):
    """Where a request belongs; every name in its canonical form."""

    environment: str
    agent: str | None = None
    tags: frozenset[str] = _NO_TAGS
    purpose: str = ""


def claims(headers: Mapping[bytes, bytes], key: Key) -> Claims | Refusal:
    """Read the x-gridtie-* headers; a refusal where one is malformed or claims what the key may not."""
    tags = headers.get(b"x-gridtie-tags")
    return claimed(
        key,
        _text(headers.get(b"x-gridtie-environment")),
        _text(headers.get(b"x-gridtie-agent")),
        tags.decode("latin-1").split(",") if tags else (),
        _text(headers.get(b"x-gridtie-purpose")),
    )


def claimed(
    key: Key, environment: str | None, agent: str | None, tags: Iterable[str], purpose: str | None
) -> Claims | Refusal:
    """The same for claims that came in another way: one reading, so that what is explained is what happens."""
    found = resolve_environment(key, environment)
    if isinstance(found, Refusal):
        return found
    name = canonical(agent) if agent else None
    if name is not None and not CLAIM.fullmatch(name):
        return _malformed("x-gridtie-agent", name)
    words = frozenset(word for tag in tags if (word := canonical(tag)))
    for word in words:
        if not CLAIM.fullmatch(word):
            return _malformed("x-gridtie-tags", word)
    if len(words) > MAX_TAGS:
        return _invalid(f"x-gridtie-tags holds {len(words)} tags; at most {MAX_TAGS}")
    own = canonical(purpose) if purpose else ""
    if own and own not in PURPOSES:
        known = ", ".join(PURPOSES)
        return _invalid(
            f"x-gridtie-purpose holds {own[:80]!r}; {closest(own, PURPOSES) or f'known: {known}'}; it marks the "
            "tool's own requests, leave it out of others"
        )
    return Claims(found, name, words, own)


def _text(value: bytes | None) -> str | None:
    return value.decode("latin-1") if value else None


def _malformed(header: str, found: str) -> Refusal:
    return _invalid(f"{header} holds {found[:80]!r}; wanted {CLAIM_WORDS}")


def _invalid(message: str) -> Refusal:
    return Refusal(status=400, code="invalid_header", message=message)
