"""Which engine holds the prefix of which session: a bounded memory, so that a session can stay with it.

Where several engines serve one model, the one that answered a session last has its prompt in memory, and reads only
what is new of the next. What is kept are digests and names of targets: nothing of a prompt, and nothing on disk. How
engines share out their own slots is theirs: they compare the prompts themselves
(docs/decisions/0044-sessions-and-kept-answers.md).
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b

from gridtie.dialects import session
from gridtie.dialects.facts import Facts
from gridtie.routing.plan import RequestInfo

# Sessions that are remembered, the latest ones: about 1 MiB. A session that is forgotten goes by the rule's order.
MOST = 4096
# Seconds after which nobody knows what an engine still holds.
SECONDS = 3600.0


def digest(info: RequestInfo, facts: Facts) -> bytes:
    """What stands for a request's session; b"" where it has none.

    The key is part of it: nobody can name another one's session.
    """
    said = info.session or session.named(facts)
    kind, name = (b"named", said.encode("utf-8", "replace")) if said else (b"opening", session.opening(facts))
    if not name:
        return b""
    # With lengths, so that no two differ in where one part ends alone.
    parts = (info.key.encode(), info.alias.encode(), kind, name)
    return blake2b(b"".join(b"%d:%b" % (len(part), part) for part in parts), digest_size=16).digest()


class Sessions:
    """Digest of a session -> the target that answered it last. Times are monotonic seconds."""

    def __init__(self, most: int = MOST, seconds: float = SECONDS) -> None:
        self._most = most
        self._seconds = seconds
        self._seats: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seats)

    def engine(self, session: bytes, now: float) -> str:
        """The target that holds a session's prefix; "" where none is known."""
        target, since = self._seats.get(session, ("", now))
        return target if now - since <= self._seconds else ""

    def answered(self, session: bytes, target: str, now: float) -> None:
        """A target has read the session's prompt."""
        self._seats[session] = (target, now)
        self._seats.move_to_end(session)
        if len(self._seats) > self._most:
            self._seats.popitem(last=False)
