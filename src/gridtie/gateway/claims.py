"""What a request claims about itself, held against what its key allows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import unquote

import msgspec

from gridtie.config.names import CLAIM, CLAIM_WORDS, canonical
from gridtie.config.problems import closest
from gridtie.gateway.keys import Key, resolve_environment
from gridtie.routing.plan import Refusal

MAX_TAGS = 16
# The tool's own traffic: in the ledger, and outside every saving.
PURPOSES = ("doctor", "verify", "demo", "bench", "quality")

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

_JOINTS = str.maketrans("", "", "-_")

_NO_TAGS: frozenset[str] = frozenset()


class Claims(msgspec.Struct, frozen=True):
    """Where a request belongs; every name in its canonical form."""

    environment: str
    agent: str | None = None
    tags: frozenset[str] = _NO_TAGS
    purpose: str = ""


def claims(headers: Mapping[bytes, bytes], key: Key) -> Claims | Refusal:
    """Read the x-gridtie-* headers; a refusal where one is malformed or claims what the key may not."""
    tags = headers.get(TAGS)
    return claimed(
        key,
        _text(headers.get(ENVIRONMENT)),
        _text(headers.get(AGENT)),
        [word for word in tags.decode("latin-1").split(",") if word.strip()] if tags else (),
        _text(headers.get(PURPOSE)),
    )


def claimed(
    key: Key, environment: str | None, agent: str | None, tags: Iterable[str], purpose: str | None
) -> Claims | Refusal:
    """The same for claims that came in another way: one reading, so that what is explained is what happens."""
    where = environment.strip() if environment else ""
    if where and not CLAIM.fullmatch(where):
        return _malformed("x-gridtie-environment", where)
    found = resolve_environment(key, where)
    if isinstance(found, Refusal):
        return found
    # Held against the pattern as written: folding makes plain letters of some that are none.
    name = agent.strip() if agent else ""
    if name and not CLAIM.fullmatch(name):
        return _malformed("x-gridtie-agent", name)
    written = [tag.strip() for tag in tags]
    for word in written:
        if not CLAIM.fullmatch(word):
            return _malformed("x-gridtie-tags", word)
    words = frozenset(map(canonical, written))
    if len(words) > MAX_TAGS:
        return _invalid(f"x-gridtie-tags holds {len(words)} tags; at most {MAX_TAGS}")
    own = canonical(purpose) if purpose else ""
    if own and own not in PURPOSES:
        known = ", ".join(PURPOSES)
        return _invalid(
            f"x-gridtie-purpose holds {own[:80]!r}; {closest(own, PURPOSES) or f'known: {known}'}; it marks the "
            "tool's own requests, leave it out of others"
        )
    return Claims(found, canonical(name) or None, words, own)


def unknown_header(headers: Iterable[bytes]) -> str:
    """What is wrong with the names of headers that mean us; "" if nothing is.

    A header that says where a prompt may go must not be passed over because of a slip of the pen.
    """
    for name in headers:
        if b"gridtie" in name.translate(None, b"-_") and name not in _KNOWN:
            meant = name.replace(b"_", b"-")
            if meant not in _ANSWERS:
                return _unknown(meant, name)
    return ""


def misplaced(query: str) -> str:
    """What is wrong with a query that means us: what says where a prompt may go is read in headers alone."""
    for parameter in query.split("&"):
        name = unquote(parameter.partition("=")[0])
        if means_us(name):
            return f"the query holds {name[:80]!r}, and nothing of the kind is read there; send it as a header"
    return ""


def means_us(name: str) -> bool:
    """Whether a name, of whatever it is, speaks to this router."""
    return "gridtie" in name.lower().translate(_JOINTS)


def _unknown(meant: bytes, name: bytes) -> str:
    known = sorted(each.decode() for each in _KNOWN)
    near = closest(meant[:80].decode("latin-1"), known)
    return f"there is no header {name[:80].decode('latin-1')!r}; {f'{near} ' if near else ''}known: {', '.join(known)}"


def _text(value: bytes | None) -> str | None:
    return value.decode("latin-1") if value else None


def _malformed(header: str, found: str) -> Refusal:
    return _invalid(f"{header} holds {found[:80]!r}; wanted {CLAIM_WORDS}")


def _invalid(message: str) -> Refusal:
    return Refusal(status=400, code="invalid_header", message=message)
