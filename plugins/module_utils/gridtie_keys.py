"""The station's key: made once, kept as a hash for the router and in the clear for root and the person who asked."""

from __future__ import annotations

import base64
import contextlib
import datetime
import hashlib
import json
import os
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Mapping, Optional

from .gridtie_host import keys as host_keys

# What `gridtie keys edit` may have given a key of the inventory; an end is that of the key which is there.
_BY_HAND = ("limits", "origins", "expires")

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


def alone(config_dir: str) -> AbstractContextManager[None]:
    """From reading keys.json to writing it: what ``gridtie keys`` changes in between would be lost."""
    directory = Path(config_dir)
    # Where there is none yet, a run that only looks has nothing to hold.
    return host_keys.locked(directory) if directory.is_dir() else contextlib.nullcontext()


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
    hashed = digest(key)
    mine = [entry for entry in document["keys"] if entry.get("name") == "station"]
    if len(mine) == 1 and mine[0].get("sha256") == hashed:
        return document
    station = {"name": "station", "sha256": hashed, "environments": ENVIRONMENTS, "admin": True, "created": _stamp(now)}
    others = [entry for entry in document["keys"] if entry.get("name") != "station"]
    return {**document, "keys": [station, *others]}


@dataclass(frozen=True)
class Person:
    """Somebody with a key: the name, the rights, and the account whose home directory gets it."""

    name: str
    environments: tuple[str, ...]
    admin: bool
    uid: int
    gid: int
    home: str
    # The day from which on keys are good; an older one is replaced. "" takes any.
    since: str = ""
    # The last day on which the key is good; "" leaves that to `gridtie keys edit`.
    until: str = ""
    # As keys.json has them; None leaves them to `gridtie keys edit`, and none at all takes every limit away.
    limits: Optional[Mapping[str, Any]] = None


def digest(key: str) -> str:
    """What is stored of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def too_old(created: str, since: str, now: datetime.datetime) -> bool:
    """Whether a key of this time is to be replaced; both are ISO, so that they compare as text.

    Not before that day has come: until then a new one would be too old as well, and each run would make another.
    """
    return bool(since) and created < since <= _stamp(now)


def with_people(
    document: dict[str, Any], people: list[Person], held: dict[str, str], now: datetime.datetime
) -> tuple[dict[str, Any], dict[str, str]]:
    """The document with exactly these people's keys among those of the inventory, and every person's key.

    ``held`` is what people have in their files. It counts only where its hash is the stored one: nobody brings a key of
    his own, least of all another one's.
    """
    stored = {row["name"]: row for row in document["keys"] if row.get("managed") and not row.get("relay")}
    rows, keys = [], {}
    for person in people:
        key = held.get(person.name, "")
        row = stored.get(person.name, {})
        created = str(row.get("created", ""))
        by_hand = {name: row[name] for name in _BY_HAND if name in row}
        if not valid(key) or row.get("sha256") != digest(key) or too_old(created, person.since, now):
            key, created = new_key(), _stamp(now)
            by_hand.pop("expires", None)
        keys[person.name] = key
        declared: dict[str, Any] = {"expires": f"{person.until}T23:59:59Z"} if person.until else {}
        if person.limits is not None:
            by_hand.pop("limits", None)
            declared.update({"limits": dict(person.limits)} if person.limits else {})
        rows.append(
            {
                "name": person.name,
                "sha256": digest(key),
                "environments": list(person.environments),
                "admin": person.admin,
                "managed": True,
                "created": created,
                **by_hand,
                **declared,
            }
        )
    names = {person.name for person in people}
    taken = [row["name"] for row in document["keys"] if row["name"] in names and not row.get("managed")]
    if taken:
        raise KeyFileError(
            f"it has a key {', '.join(taken)} that was added by hand; revoke it (`gridtie keys revoke`), or give the "
            "person in gridtie_people another name"
        )
    return _with(document, set(stored), rows), keys


def with_relays(document: dict[str, Any], relays: dict[str, str], now: datetime.datetime) -> dict[str, Any]:
    """The document with exactly these stations' relay keys: name to SHA-256.

    "" stands for a station that is declared and did not take part in this run: its key stays as it is.
    """
    stored = {row["name"]: row for row in document["keys"] if row.get("relay")}
    names = {f"relay.{host}" for host in relays}
    taken = [row["name"] for row in document["keys"] if row["name"] in names and not row.get("relay")]
    if taken:
        raise KeyFileError(f"it has a key {', '.join(taken)} that was added by hand; revoke it (`gridtie keys revoke`)")
    rows = []
    for host, wanted in sorted(relays.items()):
        name = f"relay.{host}"
        before = stored.get(name)
        if before is not None and wanted in ("", before["sha256"]):
            rows.append(before)
        elif wanted:
            row = {"name": name, "sha256": wanted, "environments": ["relay"], "admin": False, "relay": True}
            rows.append({**row, "managed": True, "created": _stamp(now)})
    return _with(document, set(stored), rows)


def _with(document: dict[str, Any], before: set[str], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The document with these rows instead of those that bore the names ``before``; whoever stays keeps the place."""
    new = {row["name"]: row for row in rows}
    kept = [new.pop(row["name"], None) if row["name"] in before else row for row in document["keys"]]
    return {**document, "keys": [*(row for row in kept if row is not None), *new.values()]}


def _stamp(now: datetime.datetime) -> str:
    return now.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_as_user(uid: int, gid: int, path: str) -> str:
    """A person's file, read with the person's rights; "" where there is none.

    As root a link in the home directory would be followed to anything.
    """
    receive, send = os.pipe()

    def read() -> bool:
        os.close(receive)
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            return False
        os.write(send, os.read(handle, 4096))
        return True

    try:
        as_user(uid, gid, read)
    except OSError:
        return ""
    finally:
        os.close(send)
        with os.fdopen(receive, "rb") as answer:
            text = answer.read().decode("ascii", "replace").strip()
    return text


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
