"""Puts a client's settings into its files and takes them out again, so that nothing is lost whenever it is cut short.

What is about to be changed is noted in one record first, then kept beside each file, then each file is replaced by a
rename. Whatever of that was done when the program was killed, `restore` gives back what was there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import List, Mapping, Optional, Sequence, Tuple

from ..json_file import read_table
from ..new_file import put
from .formats import Format
from .marked import CannotEdit
from .wiring import Wiring

_KEPT = ".before-gridtie"
# They hold a key.
_NEW_FILE, _NEW_DIRECTORY = 0o600, 0o700


class NotWritten(Exception):
    """Nothing of this client was changed; the message says which file, what was found and what to do."""


@dataclass(frozen=True)
class Change:
    """One file, as it is and as it is to be. `before` is None where there is no file."""

    path: Path
    before: Optional[str]
    after: str


@dataclass(frozen=True)
class _Noted:
    """What the record has of one file; the sums are of its UTF-8. `before` is "" where there was no file."""

    path: str
    before: str
    after: str
    made: List[str]


def plan(files: Sequence[Tuple[Path, Format]], wiring: Wiring) -> List[Change]:
    """What would be written where; nothing is. Raises NotWritten."""
    changes = []
    for path, form in files:
        before = _read(path)
        try:
            changes.append(Change(path, before, form.put_in(before or "", wiring)))
        except CannotEdit as error:
            raise NotWritten(f"{path}: {error}") from None
    return changes


def write(record: Path, changes: Sequence[Change], wiring: Wiring) -> None:
    """Make the changes, and remember in `record` how they are taken back. Raises NotWritten."""
    noted = [_Noted(str(each.path), _sum(each.before), _sum(each.after), _missing(each.path)) for each in changes]
    content = {"schema": 1, "files": [asdict(each) for each in noted], "wiring": asdict(wiring)}
    try:
        record.parent.mkdir(mode=_NEW_DIRECTORY, parents=True, exist_ok=True)
        put(record, json.dumps(content, indent=2) + "\n", _NEW_FILE)
        for each in changes:
            each.path.parent.mkdir(mode=_NEW_DIRECTORY, parents=True, exist_ok=True)
            if each.before is not None:
                put(_kept(each.path), each.before, _mode(each.path))
        for each in changes:
            put(each.path.resolve(), each.after, _mode(each.path))
    except OSError as error:
        raise NotWritten(f"{error.filename}: {error.strerror}; `--restore` takes back what was begun") from None


def wired(record: Path) -> Optional[Wiring]:
    """What the client was told, None where it was not."""
    content = read_table(record)
    return Wiring(**content["wiring"]) if content.get("schema") == 1 else None


def changed_since(record: Path) -> List[str]:
    """The files that a person changed after they were written."""
    return [each.path for each in _noted(record) if _sum(_read(Path(each.path))) not in (each.before, each.after)]


def restore(record: Path, forms: Mapping[Path, Format]) -> List[str]:
    """Give back what was there; the files in which only ours was taken out, since a person changed them afterwards.

    Raises NotWritten where one of them is not as such a file is; those before it are back then.
    """
    edited = []
    wiring = wired(record)
    for each in _noted(record):
        path = Path(each.path)
        there, kept = _read(path), _kept(path)
        before = (_read(kept) or "") if each.before else ""
        if _sum(there) == each.after:
            _put_back(path, before if each.before else None)
        elif _sum(there) != each.before and there is not None and wiring:
            try:
                put(path.resolve(), forms[path].take_out(there, wiring, before), _mode(path))
            except CannotEdit as error:
                raise NotWritten(f"{path}: {error}; what it was before is in {kept}") from None
            edited.append(each.path)
        kept.unlink(missing_ok=True)
        _remove_empty(each.made)
    record.unlink(missing_ok=True)
    return edited


def _noted(record: Path) -> List[_Noted]:
    return [_Noted(**each) for each in read_table(record).get("files", [])]


def _put_back(path: Path, before: Optional[str]) -> None:
    if before is None:
        path.unlink(missing_ok=True)
    else:
        put(path.resolve(), before, _mode(path))


def _read(path: Path) -> Optional[str]:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise NotWritten(f"{path} is not written in UTF-8; add the settings by hand") from None
    except OSError as error:
        raise NotWritten(f"{path} cannot be read: {error.strerror}") from None


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777 if path.exists() else _NEW_FILE


def _kept(path: Path) -> Path:
    return path.with_name(path.name + _KEPT)


def _sum(text: Optional[str]) -> str:
    return "" if text is None else hashlib.sha256(text.encode()).hexdigest()


def _missing(path: Path) -> List[str]:
    """The directories that are made for a file, the innermost first."""
    return [str(parent) for parent in path.parents if not parent.exists()]


def _remove_empty(directories: Sequence[str]) -> None:
    """Those that were made for a file and hold nothing else; the innermost stands first."""
    with contextlib.suppress(OSError):
        for each in directories:
            Path(each).rmdir()
