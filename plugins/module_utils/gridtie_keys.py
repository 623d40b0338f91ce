"""The station's key: made once, kept as a hash for the router and in the clear for root and the person who asked."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import os
import re
from typing import Any, Callable

# 32 random bytes, in base64url without padding, after a prefix that secret scanners can look for.
_KEY = re.compile(r"gt-[A-Za-z0-9_-]{43}")
ENVIRONMENTS = ["dev", "test", "ci", "production"]


class KeyFileError(Exception):
    """keys.json is there and cannot be used."""


def new_key() -> str:
    """A key with 256 random bits."""
    return "gt-" + base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()


def valid(key: str) -> bool:
    """Whether the text is a whole key: a file that a crash cut short is not."""
    return _KEY.fullmatch(key) is not None


def parse(text: str) -> dict[str, Any]:
    """The document of keys.json; an empty one where there is no file yet."""
    if not text.strip():
        return {"schema": 1, "keys": []}
    try:
        document = json.loads(text)
    except ValueError as error:
        raise KeyFileError(f"it is not JSON ({error})") from error
    if not isinstance(document, dict) or document.get("schema") != 1 or not isinstance(document.get("keys"), list):
        raise KeyFileError('it is not a key file of schema 1 ({"schema": 1, "keys": [...]})')
    return document


def with_station_key(document: dict[str, Any], key: str, now: datetime.datetime) -> dict[str, Any]:
    """The document with this key as the station's own; the keys of others stay as they are."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    mine = [entry for entry in document["keys"] if entry.get("name") == "station"]
    if len(mine) == 1 and mine[0].get("sha256") == digest:
        return document
    created = now.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    station = {"name": "station", "sha256": digest, "environments": ENVIRONMENTS, "admin": True, "created": created}
    others = [entry for entry in document["keys"] if entry.get("name") != "station"]
    return {**document, "keys": [station, *others]}


def as_user(uid: int, gid: int, work: Callable[[], bool]) -> bool:
    """Do something in a child process with the rights of a user, and return whether it changed anything.

    What root writes into a person's home must not follow links that point elsewhere: the kernel sees to that.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if os.getuid() == 0:
                os.setgroups([gid])
                os.setgid(gid)
                os.setuid(uid)
            status = 10 if work() else 0
        finally:
            # Not sys.exit: the child must not run what the module has registered for its own end.
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(ended)
    if code not in (0, 10):
        raise OSError(f"the key could not be written to the home directory of user {uid}")
    return code == 10
