"""What a run changes of keys and configuration, for the station's audit log: names and digests, never a secret."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from .gridtie_host import audit

# What is no hash of a key.
_TOLD = ("environments", "admin", "relay", "expires", "limits", "origins")


def keys_changed(config_dir: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    """Note each key that comes, goes or changes with ``after``. Call it before that is written. Raises OSError."""
    old, new = ({row["name"]: row for row in document["keys"]} for document in (before, after))
    for name in [*new, *(name for name in old if name not in new)]:
        what = "key revoked" if name not in new else "key added" if name not in old else "key changed"
        row = new.get(name) or old[name]
        if old.get(name) == new.get(name):
            continue
        if name in old and name in new and old[name].get("sha256") != row.get("sha256"):
            what = "key renewed"
        told = {each: row[each] for each in _TOLD if row.get(each)}
        audit.note(audit.of_host(Path(config_dir)), what, "ansible", key=name, **told)


def file_changed(config_dir: str, path: str, before: str, after: str) -> None:
    """Note a file with its digests, empty where there was or is none. Raises OSError."""
    if before != after:
        note = "file written" if after else "file removed"
        audit.note(audit.of_host(Path(config_dir)), note, "ansible", file=path, before=before, after=after)


def secret_changed(config_dir: str, path: str, removed: bool) -> None:
    """Note a file that holds a key of a cloud, by its path alone. Raises OSError."""
    what = "key of a cloud removed" if removed else "key of a cloud written"
    audit.note(audit.of_host(Path(config_dir)), what, "ansible", file=path)


def digest(path: str) -> str:
    """SHA-256 of a file, empty where there is none."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""
