"""Answers of OpenAI's responses that a later request may name: a bounded memory, and nothing else.

Off unless the routing file says `responses.keep: true`. Nothing of it is ever on disk; each key has its own, and no
other key can read it. Bounded in number, bytes and age; one key holds at most half of the number and the bytes, and
the oldest goes first. Belongs to the event loop's thread.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from time import monotonic

import msgspec

from gridtie.config.schema import Responses
from gridtie.dialects.openai_responses.kept import Earlier

# Whose keys: name -> digests of the keys that bear it.
Holders = Mapping[str, frozenset[bytes]]


class _Kept(msgspec.Struct, frozen=True):
    earlier: Earlier
    # Monotonic seconds.
    since: float


class KeptAnswers:
    """By key and id. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._rules = Responses()
        self._holders: Holders = {}
        # In order of age: over all keys, and of each.
        self._all: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._of: dict[str, OrderedDict[str, int]] = {}
        self._bytes_of: dict[str, int] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._all)

    def reload(self, rules: Responses, holders: Holders) -> None:
        """Go by other rules and keys. A name that another key bears now is another holder's, who inherits nothing."""
        self._rules = rules
        for name in list(self._of):
            if not rules.keep or self._holders.get(name, frozenset()).isdisjoint(holders.get(name, frozenset())):
                self._forget_all(name)
        self._holders = holders
        self._fit(monotonic())

    def holder_is(self, key: str, holder: frozenset[bytes]) -> bool:
        """Whether one of these keys, which bore a name, still does."""
        return not holder.isdisjoint(self._holders.get(key, frozenset()))

    def recall(self, key: str, id: str, now: float) -> Earlier | None:
        """What a conversation of this key came to; None where it is not kept, whatever the reason."""
        kept = self._all.get((key, id))
        return None if kept is None or now - kept.since > self._rules.keep_seconds else kept.earlier

    def keep(self, key: str, id: str, earlier: Earlier, now: float) -> None:
        """Keep it; not where it alone is more than one key may hold."""
        rules, size = self._rules, earlier.size
        if not rules.keep or size > rules.keep_bytes // 2:
            return
        self._drop(key, id)
        own = self._of.setdefault(key, OrderedDict())
        while own and (len(own) >= rules.keep_entries // 2 or self._bytes_of[key] + size > rules.keep_bytes // 2):
            self._drop(key, next(iter(own)))
        self._all[key, id] = _Kept(earlier, now)
        self._of.setdefault(key, own)[id] = size
        self._bytes_of[key] = self._bytes_of.get(key, 0) + size
        self.bytes += size
        self._fit(now)

    def forget(self, key: str, id: str) -> None:
        """Keep it no longer. What a later answer has of it stays with that one."""
        self._drop(key, id)

    def sweep(self, now: float) -> None:
        """Called ten times a second: what is too old is freed, also where nobody asks any more."""
        while self._all:
            (key, id), kept = next(iter(self._all.items()))
            if now - kept.since <= self._rules.keep_seconds:
                return
            self._drop(key, id)

    def _fit(self, now: float) -> None:
        self.sweep(now)
        while len(self._all) > self._rules.keep_entries or self.bytes > self._rules.keep_bytes:
            self._drop(*next(iter(self._all)))

    def _forget_all(self, key: str) -> None:
        for id in list(self._of[key]):
            self._drop(key, id)

    def _drop(self, key: str, id: str) -> None:
        if self._all.pop((key, id), None) is None:
            return
        own = self._of[key]
        size = own.pop(id)
        self.bytes -= size
        self._bytes_of[key] -= size
        if not own:
            # Names of keys are few, but those of yesterday need not be kept.
            del self._of[key], self._bytes_of[key]
