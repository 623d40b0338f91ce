"""The station's keys: /etc/gridtie/keys.json, written here on the host and read by the router.

The form, which `gridtie.gateway.keys` reads:
`{"schema": 1, "keys": [{"name", "sha256", "environments", "admin", "relay", "managed", "created"}]}`. A key is
`gt-` and 32 random bytes in base64url; only the SHA-256 of that text is stored, so that the file gives no key away.
The first environment is the one that the key's requests are in by default. The router looks at the directory once a
second, and the file is replaced as one; `keys_in_force` waits for it.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

FILE = "keys.json"
PREFIX = "gt-"
# 256 bits: nothing that is guessed, so a plain hash without salt or work factor keeps it.
RANDOM_BYTES = 32

# Key names and environments go into headers, labels and reports.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# The one environment of another station's router.
RELAY = "relay"
# Readable to the router's group, to nobody else.
_MODE = 0o640


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
        return [_row(row) for row in content["keys"]]
    except (KeyError, TypeError) as error:
        raise KeysError(f"{path} is not a key file ({error!r}); restore it, or remove it and add keys anew") from None


def add(
    directory: Path, name: str, environments: Sequence[str], *, admin: bool = False, key: Optional[str] = None
) -> str:
    """Store a new key and return it: the only time that it can be seen. Raises `KeysError`.

    `key` is for a key that exists already, such as the station's own.
    """
    _check(name, environments)
    if key is not None and not re.fullmatch(r"gt-[A-Za-z0-9_-]{43}", key):
        raise KeysError(
            "the given key is none of ours (gt- and 43 letters, digits, - or _); leave it out for a new one"
        )
    key = key or new_key()
    with locked(directory):
        rows = read(directory)
        if any(row.name == name for row in rows):
            raise KeysError(f'there is a key "{name}" already; revoke it first (`gridtie keys revoke {name}`)')
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        row = KeyRow(name, digest(key), tuple(dict.fromkeys(environments)), admin, created=created)
        if any(other.sha256 == row.sha256 for other in rows):
            raise KeysError("the given key is stored already under another name")
        _write(directory, [*rows, row])
    return key


def revoke(directory: Path, name: str) -> None:
    """Forget a key; the router refuses it from its next look on. Raises `KeysError`."""
    with locked(directory):
        rows = read(directory)
        left = [row for row in rows if row.name != name]
        if len(left) == len(rows):
            raise KeysError(f'there is no key "{name}"; there are: {", ".join(row.name for row in rows) or "(none)"}')
        _write(directory, left)


def _row(row: Dict[str, Any]) -> KeyRow:
    environments = tuple(str(name) for name in row["environments"])
    return KeyRow(
        str(row["name"]),
        str(row["sha256"]),
        environments,
        admin=bool(row.get("admin")),
        relay=bool(row.get("relay")),
        managed=bool(row.get("managed")),
        created=str(row.get("created", "")),
    )


def _check(name: str, environments: Sequence[str]) -> None:
    if not environments:
        raise KeysError("a key needs at least one environment (--environment dev)")
    if RELAY in environments:
        raise KeysError(f'"{RELAY}" is for the routers of other stations, whose keys the playbook makes (gridtie_pool)')
    for word in (name, *environments):
        if not _NAME.fullmatch(word):
            raise KeysError(f"{word!r} is no name; wanted letters, digits, dots and dashes, 64 at most")


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Alone among those who change keys: two at a time would lose one of the changes."""
    try:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise KeysError(f"{directory} cannot be opened: {error.strerror}; is a station set up here?") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _write(directory: Path, rows: Sequence[KeyRow]) -> None:
    """Replace the file as one, with the owner and mode it had, else the directory's group."""
    path = directory / FILE
    scratch = directory / f".{FILE}.{os.getpid()}"
    text = json.dumps({"schema": 1, "keys": [asdict(row) for row in rows]}, indent=2) + "\n"
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
        scratch.replace(path)
    except PermissionError:
        raise KeysError(f"{path} may not be written by this user; run it with sudo") from None
    except OSError as error:
        raise KeysError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink()
