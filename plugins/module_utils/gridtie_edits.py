"""Files that a person may edit on the host: what was written last, whether it was edited, what becomes of the edit.

Beside such a file lies ``written.json``: the SHA-256 of what was last written under each name.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from . import gridtie_files
from .gridtie_machine import read_text

RECORD = "written.json"

# Dated copies that stay of one file.
COPIES = 5

# Stations from before there was a record wrote all their files in one call, within milliseconds.
_ONE_CALL_S = 2.0


def edited(path: str) -> bool:
    """Whether somebody else wrote the file since we did.

    Where there is no record yet, a file that was written together with another one of the directory, and not touched
    since, is as we left it; any other may be a person's.
    """
    file = Path(path)
    if not file.is_file():
        return False
    recorded = _record(file.parent).get(file.name)
    if recorded:
        return _sha256(file.read_bytes()) != recorded
    return not any(_together(file, other) for other in file.parent.iterdir() if other != file and other.is_file())


def ensure(entry: dict[str, Any], check: bool, now: datetime.datetime) -> dict[str, Any] | None:
    """Write a file as ``gridtie_files.ensure_file``, unless it was edited and ``edits`` is ``keep``.

    A copy of what is replaced stays beside it. None where nothing was to be done.
    """
    path, wanted = Path(entry["path"]), entry["content"].encode()
    there = path.read_bytes() if path.is_file() else wanted
    if there != wanted and entry["edits"] == "keep" and edited(str(path)):
        # Mode and owner are seen to all the same: the router must be able to read it.
        return gridtie_files.ensure_file({**entry, "content_base64": base64.b64encode(there)}, check)
    if there != wanted and not check:
        set_aside(str(path), now)
    change = gridtie_files.ensure_file(entry, check)
    recorded = _remember(path, _sha256(wanted), entry, check)
    return change or recorded


def set_aside(path: str, now: datetime.datetime) -> str:
    """Keep a dated copy beside the file, and the newest few of earlier ones; its path."""
    file = Path(path)
    copy = f"{path}.{now:%Y%m%dT%H%M%SZ}"
    found = file.stat()
    gridtie_files.write_atomically(copy, file.read_bytes(), found.st_mode & 0o777, found.st_uid, found.st_gid)
    for old in copies(path)[:-COPIES]:
        Path(old).unlink()
    return copy


def copies(path: str) -> list[str]:
    """The dated copies of a file, the oldest first."""
    file = Path(path)
    if not file.parent.is_dir():
        return []
    dated = re.compile(re.escape(file.name) + r"\.\d{8}T\d{6}Z")
    return sorted(str(each) for each in file.parent.iterdir() if dated.fullmatch(each.name))


def _record(directory: Path) -> dict[str, str]:
    try:
        found = json.loads(read_text(str(directory / RECORD)) or "{}")
    except ValueError:
        return {}  # Cut by a crash of the machine: as if there were none.
    return found if isinstance(found, dict) else {}


def _remember(path: Path, sha256: str, entry: dict[str, Any], check: bool) -> dict[str, Any] | None:
    known = _record(path.parent)
    if known.get(path.name) == sha256:
        return None
    content = json.dumps({**known, path.name: sha256}, indent=2, sort_keys=True) + "\n"
    record = {**entry, "path": str(path.parent / RECORD), "content": content}
    return gridtie_files.ensure_file(record, check)


def _together(one: Path, other: Path) -> bool:
    """Whether both got their content and their name at once. A time of change cannot be set back, as that of content
    can.
    """
    first, second = one.stat(), other.stat()
    return all(abs(getattr(first, time) - getattr(second, time)) <= _ONE_CALL_S for time in ("st_mtime", "st_ctime"))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
