"""Puts a client's settings into its files and takes them out again, so that nothing is lost whenever it is cut short.

What is about to be changed is noted in one record first, then kept beside each file, then each file is replaced by a
rename. Whatever of that was done when the program was killed, `restore` gives back what was there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Tuple

from ..directory_lock import alone_in
from ..json_file import read_table
from ..new_file import put, sweep
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


def check(changes: Sequence[Change]) -> None:
    """Raise NotWritten where a change cannot be made, or could not be taken back."""
    for path, target in ((each.path, each.path.resolve()) for each in changes):
        if target.exists() and target.stat().st_uid != os.geteuid():
            raise NotWritten(
                f"{path} belongs to another user: run it as whom it belongs to, or add the settings by hand"
            )
        if target.exists() and not target.stat().st_mode & stat.S_IWUSR:
            raise NotWritten(f"{path} is read-only: allow writing (chmod u+w), or add the settings by hand")
        for parent in {_there(path.parent), _there(target.parent)}:
            if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
                raise NotWritten(f"{path}: nothing can be written in {parent}; add the settings by hand")
        if _kept(path).exists():
            raise NotWritten(
                f"{_kept(path)} is there, of an earlier --write that is not noted here: take it back with the HOME and "
                "XDG_STATE_HOME of then, or put the file back in its place"
            )


@contextlib.contextmanager
def alone(record: Path) -> Iterator[None]:
    """Alone among those who connect this person's clients: the second of two would keep what the first wrote for what
    was there before. Raises NotWritten.
    """
    with contextlib.ExitStack() as held:
        try:
            record.parent.mkdir(mode=_NEW_DIRECTORY, parents=True, exist_ok=True)
            held.enter_context(alone_in(record.parent))
        except OSError as error:
            raise NotWritten(f"{error.filename}: {error.strerror}; what is changed is noted there first") from None
        yield


def begin(record: Path, wiring: Wiring) -> None:
    """Note what the client is about to be told, before a key is made for it. Raises NotWritten."""
    _note(record, [], wiring)


def write(record: Path, changes: Sequence[Change], wiring: Wiring) -> None:
    """Make the changes, and remember in `record` how they are taken back. Raises NotWritten."""
    noted = [_Noted(str(each.path), _sum(each.before), _sum(each.after), _missing(each.path)) for each in changes]
    _note(record, noted, wiring)
    try:
        for each in changes:
            each.path.parent.mkdir(mode=_NEW_DIRECTORY, parents=True, exist_ok=True)
            if each.before is not None:
                put(_kept(each.path), each.before, _mode(each.path))
        for each in changes:
            put(each.path.resolve(), each.after, _mode(each.path))
    except OSError as error:
        raise NotWritten(f"{error.filename}: {error.strerror}; `--restore` takes back what was begun") from None


def wired(record: Path) -> Optional[Wiring]:
    """What the client was told, None where it was not. Raises NotWritten where nobody can tell."""
    content = read_table(record)
    try:
        return Wiring(**content["wiring"]) if content.get("schema") == 1 else None
    except (KeyError, TypeError):
        raise NotWritten(f"{record} is of another gridtie, or damaged: take back with that one what it wrote") from None


def open_to_others(changes: Sequence[Change]) -> List[Path]:
    """The files, whose modes are kept, that every user of this machine can read: a key is in them."""
    return [
        each.path
        for each in changes
        if each.path.stat().st_mode & stat.S_IROTH
        and all(parent.stat().st_mode & stat.S_IXOTH for parent in each.path.resolve().parents)
    ]


def changed_since(record: Path) -> List[str]:
    """The files that a person changed after they were written."""
    return [each.path for each in _noted(record) if _sum(_read(Path(each.path))) not in (each.before, each.after)]


def left_behind(files: Sequence[Tuple[Path, Format]]) -> List[Path]:
    """What is kept beside these files of an earlier writing."""
    return [_kept(path) for path, _ in files if _kept(path).exists()]


def restore(record: Path, forms: Sequence[Format]) -> List[str]:
    """Give back what was there; the files in which only ours was taken out, since a person changed them afterwards.

    `forms` are the client's, in its order: the files are those of the record, which still knows of the key then. Raises
    NotWritten where one of them is not as such a file is; those before it are back then.
    """
    wiring = wired(record)
    try:
        edited = [each.path for each, form in zip(_noted(record), forms) if wiring and _back(each, form, wiring)]
    except OSError as error:
        raise NotWritten(f"{error.filename}: {error.strerror}; `--restore` goes on where it stopped") from None
    if wiring:
        _note(record, [], wiring)
    return edited


def forget(record: Path) -> None:
    """The end of it, once the key is gone as well. Raises NotWritten."""
    try:
        record.unlink(missing_ok=True)
        sweep(record)
    except OSError as error:
        raise NotWritten(f"{error.filename}: {error.strerror}; nothing but this note is left") from None


def _back(noted: _Noted, form: Format, wiring: Wiring) -> bool:
    """Give one file back. Whether a person had changed it: only ours is out then."""
    path = Path(noted.path)
    there, kept = _read(path), _kept(path)
    before = _read(kept)
    whole = _sum(before) == noted.before
    changed = False
    if whole and (_sum(there) == noted.after or (there is None and before is not None)):
        _put_back(path, before)
    elif there is not None and _sum(there) != noted.before:
        try:
            left = form.take_out(there, wiring, before or "")
        except CannotEdit as error:
            where = f"; what it was before is in {kept}" if before is not None else ""
            raise NotWritten(f"{path}: {error}{where}") from None
        # A program that writes its own settings anew orders and completes them, and gives them a mode of its own.
        if whole and form.alike(left, before or ""):
            if before is not None:
                path.chmod(_mode(kept))
            _put_back(path, before)
        else:
            put(path.resolve(), left, _mode(path))
            changed = True
    if whole:
        kept.unlink(missing_ok=True)
    for each in (path, path.resolve(), kept):
        if each.parent.is_dir():
            sweep(each)
    _remove_empty(noted.made)
    return changed


def _note(record: Path, files: Sequence[_Noted], wiring: Wiring) -> None:
    content = {"schema": 1, "files": [asdict(each) for each in files], "wiring": asdict(wiring)}
    try:
        record.parent.mkdir(mode=_NEW_DIRECTORY, parents=True, exist_ok=True)
        put(record, json.dumps(content, indent=2) + "\n", _NEW_FILE)
    except OSError as error:
        raise NotWritten(f"{error.filename}: {error.strerror}; what is changed is noted there first") from None


def _noted(record: Path) -> List[_Noted]:
    return [_Noted(**each) for each in read_table(record).get("files", [])]


def _put_back(path: Path, before: Optional[str]) -> None:
    if before is None:
        path.resolve().unlink(missing_ok=True)
    else:
        path.parent.mkdir(mode=_NEW_DIRECTORY, parents=True, exist_ok=True)
        put(path.resolve(), before, _mode(path if path.exists() else _kept(path)))


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


def _there(directory: Path) -> Path:
    """The directory, or the nearest above it that is there."""
    return next(each for each in (directory, *directory.parents) if each.exists())


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
