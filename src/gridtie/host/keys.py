"""The station's keys: /etc/gridtie/keys.json, written here on the host and read by the router.

The form, which `gridtie.gateway.keys` reads:
`{"schema": 1, "keys": [{"name", "sha256", "environments", "admin", "relay", "managed", "created"}]}`, and of a key that
has them `expires`, `limits`, `origins` and `previous` (`[{"sha256", "until"}]`: what it was before it was rotated). A
row without them is as routers before them read it. A key is `gt-` and 32 random bytes in base64url; only the SHA-256 of
that text is stored, so that the file gives no key away. The first environment is the one that the key's requests are in
by default. The router looks at the directory once a second, and the file is replaced as one; `keys_in_force` waits for
it. Each change is noted in the audit log before it is made.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import re
import secrets
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from . import audit, origins
from .directory_lock import alone_in
from .key_limits import NO_LIMITS, Limits, parse, stamp, unix

FILE = "keys.json"
PREFIX = "gt-"
# 256 bits: nothing that is guessed, so a plain hash without salt or work factor keeps it.
RANDOM_BYTES = 32

# Key names and environments go into headers, labels and reports.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# The one environment of another station's router.
RELAY = "relay"
# The playbook's, which keeps it in station.key as well.
STATION = "station"
# Readable to the router's group, to nobody else.
_MODE = 0o640

# Of a row, what the audit log has no need of: a hash, and a time that it knows.
_UNSAID = ("sha256", "created")


class KeysError(Exception):
    """The keys cannot be read or changed as asked; the message says what to do."""


@dataclass(frozen=True)
class KeyRow:
    """One key as it is stored."""

    name: str
    sha256: str
    environments: Tuple[str, ...]
    admin: bool = False
    # Another station's router: it may ask for this station's own engine, and for nothing else.
    relay: bool = False
    # The inventory's: the playbook takes it away again when its name is no longer there.
    managed: bool = False
    created: str = ""
    # When it ends, in UTC as `created`; "" for never.
    expires: str = ""
    limits: Limits = NO_LIMITS
    # Of pages and applications that may ask while the key is there.
    origins: Tuple[str, ...] = ()
    # SHA-256 of what the key was before it was rotated, and until when that works.
    previous: Tuple[Tuple[str, str], ...] = ()

    def document(self) -> Dict[str, Any]:
        """The row as the file has it."""
        return {
            "name": self.name,
            "sha256": self.sha256,
            "environments": list(self.environments),
            "admin": self.admin,
            "relay": self.relay,
            "managed": self.managed,
            "created": self.created,
            **({"expires": self.expires} if self.expires else {}),
            **({"limits": self.limits.document()} if self.limits != NO_LIMITS else {}),
            **({"origins": list(self.origins)} if self.origins else {}),
            **({"previous": [{"sha256": old, "until": end} for old, end in self.previous]} if self.previous else {}),
        }


def new_key() -> str:
    """A key that nobody has seen."""
    return PREFIX + base64.urlsafe_b64encode(secrets.token_bytes(RANDOM_BYTES)).rstrip(b"=").decode()


def digest(key: str) -> str:
    """What is stored of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def read(directory: Path) -> List[KeyRow]:
    """The stored keys; none where there is no file yet. Raises `KeysError`."""
    path = directory / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except PermissionError:
        raise KeysError(f"{path} may not be read by this user; run it with sudo") from None
    except (OSError, ValueError) as error:
        raise KeysError(f"{path} cannot be used: {error}; restore it, or remove it and add the keys anew") from None
    try:
        if content["schema"] != 1:
            raise KeysError(f"{path} has schema {content['schema']}, wanted 1; it is of another gridtie")
        return [row_of(row) for row in content["keys"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise KeysError(f"{path} is not a key file ({error!r}); restore it, or remove it and add keys anew") from None


def add(
    directory: Path,
    name: str,
    environments: Sequence[str],
    *,
    admin: bool = False,
    key: Optional[str] = None,
    expires: str = "",
    limits: Limits = NO_LIMITS,
    origins: Sequence[str] = (),
) -> str:
    """Store a new key and return it: the only time that it can be seen. Raises `KeysError`.

    `key` is for a key that exists already, such as the station's own.
    """
    _check(name, environments, origins)
    if name.lower().startswith(f"{RELAY}."):
        raise KeysError(f"names that begin with {RELAY}. are those of other stations (gridtie_pool); take another")
    if key is not None and not re.fullmatch(r"gt-[A-Za-z0-9_-]{43}", key):
        raise KeysError(
            "the given key is none of ours (gt- and 43 letters, digits, - or _); leave it out for a new one"
        )
    key = key or new_key()
    with locked(directory):
        rows = read(directory)
        if any(row.name == name for row in rows):
            raise KeysError(f'there is a key "{name}" already; revoke it first (`gridtie keys revoke {name}`)')
        if like := next((row.name for row in rows if row.name.lower() == name.lower()), ""):
            # The router counts the money of both as one key's.
            raise KeysError(f'there is a key "{like}", and names are compared without case; take another name')
        row = KeyRow(
            name,
            digest(key),
            tuple(dict.fromkeys(environments)),
            admin,
            created=stamp(time.time()),
            expires=expires,
            limits=limits,
            origins=tuple(dict.fromkeys(origins)),
        )
        if any(row.sha256 in digests(other) for other in rows):
            raise KeysError("the given key is stored already under another name")
        _write(directory, [*rows, row], "key added", row)
    return key


def edit(directory: Path, name: str, change: Callable[[KeyRow], KeyRow]) -> KeyRow:
    """Store what `change` makes of a key's row; the key itself stays. Raises `KeysError`, as `change` may."""
    with locked(directory):
        rows = read(directory)
        before = _named(rows, name)
        after = change(before)
        if before.managed and after.environments != before.environments:
            raise KeysError(f'"{name}" is from the inventory, which says its environments (gridtie_people)')
        if before.relay and after != before:
            raise KeysError(f'"{name}" is the key of another station\'s router, whose own keys have limits')
        _check(name, after.environments, after.origins)
        _write(directory, [after if row is before else row for row in rows], "key changed", after)
    return after


def rotate(directory: Path, name: str, overlap: float, now: float) -> Tuple[str, str]:
    """A new key under the same name, and until when the one before it works too: for `overlap` seconds from `now`.

    Raises `KeysError`.
    """
    key = new_key()
    with locked(directory):
        rows = read(directory)
        before = _named(rows, name)
        if before.managed:
            raise KeysError(
                f'"{name}" is from the inventory: a later `since` in gridtie_people or gridtie_pool renews it'
            )
        if expired(before, now):
            raise KeysError(
                f'"{name}" has ended at {before.expires}, and so would the new key: first `gridtie keys edit {name} '
                "--expires 30d`, or never"
            )
        until = min(stamp(now + overlap), before.expires or "9")
        old = [(before.sha256, until)] if overlap else []
        previous = [each for each in before.previous if each[1] > stamp(now)] if overlap else []
        after = replace(before, sha256=digest(key), previous=(*previous, *old))
        _write(directory, [after if row is before else row for row in rows], "key rotated", after)
    return key, until


def revoke(directory: Path, name: str) -> None:
    """Forget a key; the router refuses it from its next look on. Raises `KeysError`."""
    with locked(directory):
        rows = read(directory)
        gone = _named(rows, name, own=True)
        _write(directory, [row for row in rows if row is not gone], "key revoked", gone)


def row_of(found: Mapping[str, Any]) -> KeyRow:
    """A row as the file has it. Raises KeyError, TypeError, ValueError, AttributeError for what is none, and KeysError
    for one with more in it than is known here, which would be lost with the next change.
    """
    for part, known in (
        (found, KeyRow.__dataclass_fields__),
        (found.get("limits", {}), vars(NO_LIMITS)),
        *((each, ("sha256", "until")) for each in found.get("previous", ())),
    ):
        if unknown := [word for word in part if word not in known]:
            raise KeysError(
                f'{FILE} has "{unknown[0]}" for the key "{found["name"]}", which this gridtie does not know: it is of '
                "another gridtie, which can take it away (`gridtie keys edit`)"
            )
    return KeyRow(
        str(found["name"]),
        str(found["sha256"]),
        tuple(str(name) for name in found["environments"]),
        admin=bool(found.get("admin")),
        relay=bool(found.get("relay")),
        managed=bool(found.get("managed")),
        created=str(found.get("created", "")),
        expires=_time(found.get("expires", "")),
        limits=parse(found.get("limits", {})),
        origins=tuple(str(origin) for origin in found.get("origins", ())),
        previous=tuple((str(each["sha256"]), _time(each["until"])) for each in found.get("previous", ())),
    )


def digests(row: KeyRow) -> Sequence[str]:
    """Of all that the key is and was."""
    return [row.sha256, *(old for old, _ in row.previous)]


def expired(row: KeyRow, now: float) -> bool:
    """Whether a key has ended at `now` (Unix seconds)."""
    return bool(row.expires) and unix(row.expires) <= now


def _time(text: str) -> str:
    """As it is; ends are compared as text. Raises ValueError for another form."""
    return stamp(unix(text)) if text else ""


def _named(rows: Sequence[KeyRow], name: str, *, own: bool = False) -> KeyRow:
    """The key of that name; the station's own only where `own`."""
    found = next((row for row in rows if row.name == name), None)
    if found is None:
        raise KeysError(f'there is no key "{name}"; there are: {", ".join(row.name for row in rows) or "(none)"}')
    if found.name == STATION and not own:
        raise KeysError(
            "the station's own key stays as it is; for another one remove station.key beside keys.json and run "
            "`make site`"
        )
    return found


def _check(name: str, environments: Sequence[str], pages: Sequence[str] = ()) -> None:
    if not environments:
        raise KeysError("a key needs at least one environment (--environment dev)")
    if RELAY in environments:
        raise KeysError(f'"{RELAY}" is for the routers of other stations, whose keys the playbook makes (gridtie_pool)')
    for word in (name, *environments):
        if not _NAME.fullmatch(word):
            raise KeysError(f"{word!r} is no name; wanted letters, digits, dots and dashes, 64 at most")
    for page in pages:
        what, fix = origins.fault(page.lower())
        if what:
            raise KeysError(f"the origin {page[:200]!r} cannot be declared: {what}; {fix}")


def told(row: KeyRow) -> Dict[str, Any]:
    """A key for the audit log, without its hashes."""
    said = {"key" if name == "name" else name: value for name, value in row.document().items() if name not in _UNSAID}
    if row.previous:
        said["previous"] = [until for _, until in row.previous]
    return said


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Alone among those who change keys: two at a time would lose one of the changes."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(alone_in(directory))
        except OSError as error:
            raise KeysError(f"{directory} cannot be opened: {error.strerror}; is a station set up here?") from None
        yield


def _write(directory: Path, rows: Sequence[KeyRow], what: str, about: KeyRow) -> None:
    """Replace the file as one, with the owner and mode it had, else the directory's group.

    `what` happened to which key goes into the audit log first: what cannot be noted is not done.
    """
    path = directory / FILE
    scratch = directory / f".{FILE}.{os.getpid()}"
    text = json.dumps({"schema": 1, "keys": [row.document() for row in rows]}, indent=2) + "\n"
    try:
        before = path.stat() if path.exists() else None
        like = before or directory.stat()
        handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if os.geteuid() == 0:
                os.fchown(handle, like.st_uid, like.st_gid)
            os.fchmod(handle, (before.st_mode & 0o777) if before else _MODE)
            os.fsync(handle)
        _note(directory, what, about)
        scratch.replace(path)
    except PermissionError:
        raise KeysError(f"{path} may not be written by this user; run it with sudo") from None
    except OSError as error:
        raise KeysError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink()


def _note(directory: Path, what: str, about: KeyRow) -> None:
    log = audit.of_host(directory)
    try:
        audit.note(log, what, **told(about))
    except OSError as error:
        raise KeysError(
            f"{error.filename or log}: {error.strerror}; a change of keys is noted there first, and was not made"
        ) from None
