"""Who is signed in: codes that are good for one use, and the sessions that they open.

In memory alone, so that a restart signs everybody out, and only hashes of codes and tokens are kept. A session has the
digest of the key that it began with: what the key may do is asked anew each time. No clock: every call is told the
time, in seconds of a clock that only goes forward.
"""

from __future__ import annotations

from hashlib import sha256
from secrets import token_urlsafe
from typing import TypeVar

import msgspec

# Long enough to forward a port before the address is opened.
CODE_SECONDS = 120.0
# A working day.
SESSION_SECONDS = 12 * 3600.0
# Of one key, and of all: the oldest gives way.
MOST_OF_A_KEY = 8
MOST = 512
# 192 bits, as text for URLs.
_BYTES = 24


class _Code(msgspec.Struct):
    key: bytes
    ends: float
    # The session that it opened; None until then.
    session: bytes | None = None


class _Session(msgspec.Struct):
    key: bytes
    ends: float


Entry = TypeVar("Entry", _Code, _Session)


class Sessions:
    """Codes and sessions of one router process, the oldest first."""

    def __init__(self) -> None:
        self._codes: dict[bytes, _Code] = {}
        self._sessions: dict[bytes, _Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def code(self, key: bytes, now: float) -> str:
        """A code for whoever has the key with this digest."""
        code = token_urlsafe(_BYTES)
        _enter(self._codes, _hash(code), _Code(key, now + CODE_SECONDS), now)
        return code

    def redeem(self, code: str, now: float) -> str:
        """The token of the session that a code opens; "" where it opens none.

        A code that comes twice was seen by somebody else: the session that it has opened ends (as RFC 6749, 4.1.2, has
        it for its codes).
        """
        found = self._codes.get(_hash(code))
        if found is None or found.ends <= now:
            return ""
        if found.session is not None:
            self._sessions.pop(found.session, None)
            return ""
        token = token_urlsafe(_BYTES)
        found.session = _hash(token)
        _enter(self._sessions, found.session, _Session(found.key, now + SESSION_SECONDS), now)
        return token

    def key(self, token: str, now: float) -> bytes | None:
        """The digest of the key that a session began with; None where there is no such session any more."""
        found = self._sessions.get(_hash(token))
        return found.key if found is not None and found.ends > now else None

    def end(self, token: str) -> None:
        """Sign out. Idempotent."""
        self._sessions.pop(_hash(token), None)


def _hash(text: str) -> bytes:
    return sha256(text.encode("utf-8", "replace")).digest()


def _enter(entries: dict[bytes, Entry], name: bytes, entry: Entry, now: float) -> None:
    """Add one more, within bounds."""
    for old in [each for each, found in entries.items() if found.ends <= now]:
        del entries[old]
    of_key = [each for each, found in entries.items() if found.key == entry.key]
    for old in of_key[: max(0, len(of_key) - MOST_OF_A_KEY + 1)]:
        del entries[old]
    if len(entries) >= MOST:
        del entries[next(iter(entries))]
    entries[name] = entry
