"""What a request claims about itself in its headers, held against what its key allows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

from gridtie.config.names import canonical
from gridtie.config.problems import closest
from gridtie.gateway.keys import Key, resolve_environment
from gridtie.routing.plan import Refusal

# Names end in reports and in rules: words, not sentences.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,63}")
MAX_TAGS = 16

# What the tool itself asks for: metered, and outside every saving.
OWN_TRAFFIC = ("doctor", "verify", "demo", "bench", "quality")

ENVIRONMENT, AGENT = b"x-gridtie-environment", b"x-gridtie-agent"
TAGS, PURPOSE = b"x-gridtie-tags", b"x-gridtie-purpose"
_KNOWN = frozenset((ENVIRONMENT, AGENT, TAGS, PURPOSE))
# Names of our own answers: a client that sends back what it got asks for nothing.
_ANSWERS = frozenset(
    b"x-gridtie-" + name
    for name in (
        b"request-id",
        b"rule",
        b"target",
        b"locality",
        b"attempts",
        b"cost-usd",
        b"baseline-usd",
        b"output-limit",
    )
)

_NO_TAGS: frozenset[str] = frozenset()


class Claims(msgspec.Struct, frozen=True):
    """Where a request belongs; every name in the form in which names are compared."""

    environment: str
    agent: str | None = None
    tags: frozenset[str] = _NO_TAGS
    # One of `OWN_TRAFFIC`; "" for everybody else's.
    purpose: str = ""


def claims(headers: Mapping[bytes, bytes], key: Key) -> Claims | Refusal:
    """Read the x-gridtie-* headers; a refusal where one is malformed or claims what the key may not."""
    asked = _word(headers, ENVIRONMENT)
    if isinstance(asked, Refusal):
        return asked
    environment = resolve_environment(key, asked)
    if isinstance(environment, Refusal):
        return environment
    agent = _word(headers, AGENT)
    if isinstance(agent, Refusal):
        return agent
    tags = _tags(headers)
    if isinstance(tags, Refusal):
        return tags
    purpose = _word(headers, PURPOSE)
    if isinstance(purpose, Refusal):
        return purpose
    if purpose is not None and purpose not in OWN_TRAFFIC:
        wanted = ", ".join(OWN_TRAFFIC)
        return _invalid(f"x-gridtie-purpose holds {purpose!r}; wanted one of {wanted}, or no such header")
    return Claims(environment, agent, tags, purpose or "")


def unknown_header(headers: Iterable[bytes]) -> str:
    """What is wrong with the names of headers that mean us; "" if nothing is.

    A header that says where a prompt may go must not be passed over because of a slip of the pen.
    """
    for name in headers:
        if b"gridtie" in name and name not in _KNOWN:
            meant = name.replace(b"_", b"-")
            if meant not in _ANSWERS:
                return _unknown(meant, name)
    return ""


def _unknown(meant: bytes, name: bytes) -> str:
    known = sorted(each.decode() for each in _KNOWN)
    near = closest(meant[:80].decode("latin-1"), known)
    return f"there is no header {name[:80].decode('latin-1')!r}; {f'{near} ' if near else ''}known: {', '.join(known)}"


def _tags(headers: Mapping[bytes, bytes]) -> frozenset[str] | Refusal:
    tags = headers.get(TAGS)
    if not tags:
        return _NO_TAGS
    written = [word for part in tags.decode("latin-1").split(",") if (word := part.strip())]
    for word in written:
        if not _NAME.fullmatch(word):
            return _malformed(TAGS, word)
    words = frozenset(canonical(word) for word in written)
    if len(words) > MAX_TAGS:
        return _invalid(f"x-gridtie-tags holds {len(words)} tags; at most {MAX_TAGS}")
    return words


def _word(headers: Mapping[bytes, bytes], header: bytes) -> str | Refusal | None:
    """The name that a header holds; None where it is missing or empty."""
    found = headers.get(header)
    if not found:
        return None
    word = found.decode("latin-1").strip()
    if word and not _NAME.fullmatch(word):
        return _malformed(header, word)
    return canonical(word) or None


def _malformed(header: bytes, found: str) -> Refusal:
    wanted = "wanted up to 64 letters, digits and . _ : / @ + -"
    return _invalid(f"{header.decode()} holds {found[:80]!r}; {wanted}")


def _invalid(message: str) -> Refusal:
    return Refusal(status=400, code="invalid_header", message=message)
