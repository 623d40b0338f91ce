"""A key in front of a path, for the `ollama` command.

It sends no key, whatever is set, and keeps a path that stands in OLLAMA_HOST. A key in an address ends up in histories
and in the logs of proxies, so it counts for Ollama's interface alone, and not where a key is sent as well.
"""

from __future__ import annotations

import re

from gridtie.gateway.exchange import Head

# A key as `gridtie keys` makes them.
_KEYED = re.compile(r"/(gt-[A-Za-z0-9_-]{43})(/(?:api/.*)?)?")
_SENT = (b"authorization", b"x-api-key")


def without_key(path: str) -> str:
    """For a message: a path that may have a key in it."""
    return re.sub(r"gt-[A-Za-z0-9_-]+", "gt-...", path)


def take_key(head: Head) -> bool:
    """Put the key of the path where others send theirs, and leave the path without it. Whether there was one."""
    found = _KEYED.fullmatch(head.path)
    if found is None or any(name in head.headers for name in _SENT):
        return False
    head.path = found[2] or "/"
    head.headers[b"authorization"] = b"Bearer " + found[1].encode()
    return True
