"""Makes a backup, also beside a router that serves and writes: no row of a request that has ended is missing.

A row is in the ledger's journal first, later in its file, and only then no longer in the journal. So the journal is
copied first and the file after it: what leaves the journal in between is in the file by then. A row may be in both, and
the router that reads the journal again keeps the first of each.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import tempfile
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Iterator, Mapping, Optional

from gridtie.host.directory_lock import alone_in
from gridtie.host.ledger_file import JOURNAL_SEGMENT, read_only
from gridtie.host.version import __version__

from .archive import BackupError, Content, Manifest, member_of, write
from .places import LEDGER, Places, plain_file, small_files

_SCRATCH = ".gridtie-backup-"
# Room for what is small, beside the ledger's copy and the archive itself.
_RESERVE_BYTES = 16 << 20
# Older ones cannot read the ledger's tables, only copy its pages.
_SQLITE_OF_THE_LEDGER = (3, 37)


def make(places: Places, target: Path, host: str, *, ledger: bool = True, over: bool = False) -> Manifest:
    """Write the backup; it appears whole, readable to its owner alone. Raises `BackupError`.

    `host` is this machine's name. `over`: a file that is there already is replaced.
    """
    if not places.config.is_dir():
        raise BackupError(f"{places.config} is not there; no station is set up on this machine")
    if not target.parent.is_dir():
        raise BackupError(f"{target.parent} is not a directory; make it, or name a file in one that is there")
    try:
        with _alone(target.parent, f"{_SCRATCH}{places.project}-{_file_name(host)}-") as scratch:
            _check_free(target, over)
            contents, facts = _contents(places, scratch if ledger else None)
            manifest = Manifest(
                made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                version=__version__,
                host=host,
                project=places.project,
                models=tuple(_named(model) for model in places.station.get("models") or ()),
                members={name: member_of(content) for name, content in contents.items()},
                **facts,
            )
            packed = scratch / "backup"
            with os.fdopen(os.open(packed, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                write(file, manifest, contents)
                file.flush()
                os.fsync(file.fileno())
            _check_free(target, over)
            packed.replace(target)
    except PermissionError as error:
        raise BackupError(f"{error.filename}: {error.strerror}; run it with sudo") from None
    except OSError as error:
        raise BackupError(f"{target} cannot be made: {error}; nothing of it is left") from None
    except sqlite3.Error as error:
        raise BackupError(
            f"{places.ledger} cannot be copied: {error}; run it with sudo, or leave it out (--without ledger)"
        ) from None
    return manifest


def dated(directory: Path, project: str, host: str, now: float) -> Path:
    """The file of a backup in a directory of many."""
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    return directory / f"{project}-{_file_name(host)}-{moment}.tar.gz"


def keep_newest(made: Path, project: str, host: str, count: int) -> list[Path]:
    """Remove all but the newest `count` files of `dated` in the directory of the one that was just made, which always
    stays: a clock that was ahead makes others newer by their names. Which they were. Raises OSError.
    """
    name = re.compile(rf"{re.escape(f'{project}-{_file_name(host)}')}-\d{{8}}T\d{{6}}Z\.tar\.gz")
    others = sorted(each for each in made.parent.iterdir() if name.fullmatch(each.name) and each != made)
    gone = others[: max(0, len(others) - (count - 1))]
    for each in gone:
        each.unlink(missing_ok=True)
    return gone


def _file_name(host: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "_", host)


def _check_free(target: Path, over: bool) -> None:
    if os.path.lexists(target) and not (over and target.is_file()):
        raise BackupError(f"{target} is there already; name another file, or say --force to replace it")


@contextmanager
def _alone(directory: Path, prefix: str) -> Iterator[Path]:
    """A directory below it for what is under way, which one backup at a time has; a killed one's leavings go.

    Other stations have other prefixes: on a share no lock is seen by other machines.
    """
    # What `tempfile` appends has no dash, so that no other station's prefix begins with this one.
    own = re.compile(rf"{re.escape(prefix)}[^-]+")
    with alone_in(directory):
        for each in directory.iterdir():
            if own.fullmatch(each.name):
                shutil.rmtree(each, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(dir=directory, prefix=prefix))
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _contents(places: Places, scratch: Optional[Path]) -> tuple[dict[str, Content], dict[str, Any]]:
    """Every member, and what the manifest says of the ledger, which is copied only if there is a directory for it."""
    contents: dict[str, Content] = dict(small_files(places))
    facts: dict[str, Any] = {}
    if scratch is not None and places.ledger.is_file():
        contents.update(_journal(places.journal))
        contents[LEDGER] = scratch / "ledger.sqlite"
        facts["ledger_schema"], facts["ledger_rows"] = _copy(places.ledger, scratch / "ledger.sqlite")
    return contents, facts


def _journal(directory: Path) -> Iterator[tuple[str, bytes]]:
    """The segments, up to their last whole record: what follows is being written, and has not been answered yet."""
    # One that may not be read is told; `glob` would find nothing there.
    found = directory.iterdir() if directory.exists() else ()
    for path in sorted(each for each in found if JOURNAL_SEGMENT.fullmatch(each.name)):
        try:
            written = plain_file(path)
        except FileNotFoundError:
            continue  # It is in the ledger's file by now, which is copied later.
        whole = written[: written.rfind(b"\n") + 1]
        if whole:
            yield f"ledger/journal/{path.name}", whole


def _copy(ledger: Path, target: Path) -> tuple[int, Optional[int]]:
    """Copy all of it as it is at one moment; its schema and rows. Raises sqlite3.Error, `BackupError`."""
    wanted = 2 * ledger.stat().st_size + _RESERVE_BYTES
    free = shutil.disk_usage(target.parent).free
    if free < wanted:
        raise BackupError(
            f"{target.parent.parent} has {free >> 20} MiB free, and a backup with the ledger needs {wanted >> 20} MiB; "
            "free some, name another place, or leave the ledger out (--without ledger)"
        )
    with closing(read_only(ledger)) as source, closing(sqlite3.connect(target)) as copy:
        # In one step: nobody who writes waits for it, and nothing that is written meanwhile makes it begin anew.
        source.backup(copy)
        (schema,) = copy.execute("PRAGMA user_version").fetchone()
        if sqlite3.sqlite_version_info < _SQLITE_OF_THE_LEDGER:
            return int(schema), None
        (verdict,) = copy.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise BackupError(f"{ledger} is damaged ({verdict}); restore an earlier backup, or leave it out")
        (rows,) = copy.execute("SELECT count(*) FROM requests").fetchone()
        return int(schema), int(rows)


def _named(model: Mapping[str, Any]) -> Mapping[str, str]:
    return {key: str(model.get(key) or "") for key in ("name", "digest", "source")}
