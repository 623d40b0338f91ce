"""Puts a backup back: all of it is looked at first, then every file takes its place by a rename.

A plan in the configuration, which is root's, says how far it is, and a run that was killed is taken up by the next one:

  staging   the backup's files lie beside those that they will replace, hidden. What was, holds: the next run removes
            them and begins anew.
  decided   every file was found whole, and what was before is in a backup of its own. What is new, holds: the next run
            goes on with the renames.
  moved     all is in its place; the router is to be started, if it ran before.

The router is stopped from before the plan is decided until all is moved, so that it sees the old or the new.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import sqlite3
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Iterator, Mapping, Optional, Protocol, Sequence

from gridtie.host import audit, keys
from gridtie.host.json_file import read_json, write_json
from gridtie.host.ledger_file import JOURNAL_SEGMENT, SCHEMA
from gridtie.host.paths import RESTORE_PLAN, StationError
from gridtie.host.version import __version__

from .archive import Archive, BackupError, Manifest, member_of
from .make import make
from .places import LEDGER, Places, is_audit, mode_of

STAGING, DECIDED, MOVED = "staging", "decided", "moved"
_STAGED = ".gridtie-restore"
# What was before a restore: the newest of these stay.
BEFORE = "backups"
_KEPT = 3
_RESERVE_BYTES = 16 << 20


class Router(Protocol):
    """The station's router, where it has one. Every method may raise `StationError`."""

    def running(self) -> bool: ...

    def stop(self) -> None: ...

    def start(self) -> None:
        """And wait until it serves."""
        ...


@dataclass(frozen=True)
class Plan:
    """What is being put back, and how far that is."""

    # The file, and when it was made.
    backup: str
    made: str
    stage: str
    # Whether the router ran, and is to run again.
    running: bool
    # From, to.
    moves: Sequence[Sequence[str]] = ()
    remove: Sequence[str] = ()
    # The backup of what was; "" where there was nothing.
    before: str = ""

    def of(self, backup: Path, manifest: Manifest) -> bool:
        return (self.backup, self.made) == (str(backup.absolute()), manifest.made)


@dataclass(frozen=True)
class Restored:
    """What came of it. `kept`: files of the controller that were not put back, each with the reason."""

    plan: Plan
    # Whether this run only finished what an earlier one had decided.
    finished: bool
    manifest: Optional[Manifest] = None
    kept: Sequence[str] = ()


class Restore:
    """Backups into one station on this machine, whose name is `host`."""

    def __init__(self, places: Places, router: Router, host: str) -> None:
        self._places = places
        self._router = router
        self._host = host
        self._record = places.config / RESTORE_PLAN

    def finish(self) -> Optional[Restored]:
        """Go on where a killed run had decided, and undo what one had only begun; None where there is none.

        Raises `StationError`.
        """
        _check_writable(self._places)
        if not self._record.exists():
            return None
        with self._alone():
            plan = self._earlier()
            if plan is None:
                return None
            if plan.stage == STAGING:
                _remove_staged(plan)
            return Restored(self._go_on(plan), finished=True)

    def run(self, backup: Path, *, other: bool = False, controller: bool = False) -> Restored:
        """`other`: a backup of another station is meant. `controller`: what its controller had takes the place of what
        lies there now. Raises `StationError`; unless it says otherwise, nothing was changed then.
        """
        _check_writable(self._places)
        with Archive(backup) as archive:
            self._judge(archive.manifest, backup, other)
            for each in (self._places.config, self._places.state):
                _make_directory(each)
            with self._alone():
                earlier = self._earlier()
                if earlier and earlier.stage == DECIDED:
                    # Only moved: with it the router may not be able to start, and this backup is the way out.
                    moved = self._move(earlier)
                    if earlier.of(backup, archive.manifest):
                        return Restored(self._end(moved), finished=True, manifest=archive.manifest)
                # A run that was killed, or could not start it, has left the router stopped.
                runs = self._router.running()
                stopped = bool(earlier and earlier.running) and not runs
                if earlier and earlier.stage == STAGING:
                    _remove_staged(earlier)
                return self._restore(backup, archive, controller, runs or stopped, stopped)

    # -- looking -----------------------------------------------------------------------------------------------------

    def _judge(self, manifest: Manifest, backup: Path, other: bool) -> None:
        if _number(manifest.version) > _number(__version__):
            raise BackupError(
                f"{backup} was made by gridtie {manifest.version}, and this is {__version__}: make the station with "
                "that version first"
            )
        _check_schema(manifest.ledger_schema, str(backup))
        if manifest.host != self._host and not other:
            raise BackupError(
                f"{backup} is of the station on {manifest.host}, and this machine is {self._host}; if that is meant, "
                "say --from-other"
            )
        wanted = manifest.bytes + _RESERVE_BYTES
        place = _there(self._places.state)
        free = shutil.disk_usage(place).free
        if free < wanted:
            raise BackupError(f"{place} has {free >> 20} MiB free, and {wanted >> 20} MiB are needed; free some")

    def _targets(self, manifest: Manifest, controller: bool) -> tuple[dict[str, Path], list[str]]:
        """Where each member goes, and what stays away, in words."""
        targets, kept = {}, []
        for name, member in manifest.members.items():
            path = self._places.path_of(name)
            if path is None:
                kept.append(
                    f"{name}: no station.json says where the playbook has it on this machine; `tar -xOzf` takes it out"
                )
                continue
            if path.is_dir():
                raise BackupError(f"{path} is a directory, and {name} of the backup belongs there; move it away")
            if is_audit(name) and path.exists():
                kept.append(f"{name}: there is an audit log here, and none is ever replaced")
                continue
            if name.startswith("controller/") and path.is_file() and not controller:
                if _differs(path, member.bytes, member.sha256):
                    kept.append(f"{name}: {path} is there and says something else; --with-controller replaces it")
                continue
            targets[name] = path
        return targets, kept

    # -- doing -------------------------------------------------------------------------------------------------------

    def _restore(self, backup: Path, archive: Archive, controller: bool, running: bool, stopped: bool) -> Restored:
        """`running`: the router is to run in the end, also where it is `stopped` already."""
        manifest = archive.manifest
        targets, kept = self._targets(manifest, controller)
        staged = {name: path.with_name(f".{path.name}{_STAGED}") for name, path in targets.items()}
        moves = [[str(staged[name]), str(targets[name])] for name in targets]
        plan = Plan(str(backup.absolute()), manifest.made, STAGING, running, moves)
        try:
            self._save(plan)
            for name, pieces in archive.members():
                if name in staged:
                    _stage(name, staged[name], pieces)
            if LEDGER in staged:
                _check_schema(_schema_of(staged[LEDGER]), LEDGER)
            if running:
                stopped = True
                self._router.stop()
            with self._unused_ledger():
                before = self._keep_what_was(ledger=LEDGER in staged)
                plan = replace(plan, stage=DECIDED, remove=self._superfluous(targets), before=before)
                self._save(plan)
        except BaseException as error:
            _remove_staged(plan)
            self._record.unlink(missing_ok=True)
            if stopped:
                self._start_after(error)
            raise
        return Restored(self._go_on(plan), False, manifest, kept)

    def _start_after(self, error: BaseException) -> None:
        """Raises `BackupError` where it does not start: of both, since the first is why."""
        try:
            self._router.start()
        except StationError as another:
            raise BackupError(f"{error}; and after that {another}") from error

    def _go_on(self, plan: Plan) -> Plan:
        return self._end(self._move(plan) if plan.stage == DECIDED else plan)

    def _move(self, plan: Plan) -> Plan:
        with keys.locked(self._places.config):
            for each in plan.remove:
                Path(each).unlink(missing_ok=True)
            for source, target in plan.moves:
                # One that is not there is in its place already.
                with suppress(FileNotFoundError):
                    Path(source).replace(target)
            log = audit.of_host(self._places.config)
            audit.note(log, "backup restored", backup=plan.backup, made=plan.made, before=plan.before)
        plan = replace(plan, stage=MOVED)
        self._save(plan)
        return plan

    def _end(self, plan: Plan) -> Plan:
        """Start the router, if it is to run; what was planned is done then."""
        if plan.running:
            try:
                self._router.start()
            except StationError as error:
                if plan.stage == STAGING:
                    raise
                back = f"; what was before is in {plan.before}" if plan.before else ""
                raise BackupError(f"all of {plan.backup} is in its place, and {error}{back}") from None
        self._record.unlink(missing_ok=True)
        return plan

    def _keep_what_was(self, *, ledger: bool) -> str:
        """A backup of the station as it is; "" where there is none."""
        if not (self._places.config / keys.FILE).is_file() and not self._places.ledger.is_file():
            return ""
        directory = self._places.state / BEFORE
        directory.mkdir(mode=0o700, exist_ok=True)
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        path = directory / f"before-restore-{moment}.tar.gz"
        try:
            make(self._places, path, self._host, ledger=ledger, over=True)
        except BackupError:
            # A ledger that is damaged may be why somebody restores: its files are kept as they are.
            make(self._places, path, self._host, ledger=False, over=True)
            self._keep_ledger(directory / f"before-restore-{moment}-ledger")
        for pattern in ("*.tar.gz", "*-ledger"):
            for old in sorted(directory.glob(f"before-restore-{pattern}"))[:-_KEPT]:
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        return str(path)

    def _keep_ledger(self, directory: Path) -> None:
        """By a second name of each file, which takes no room."""
        directory.mkdir(mode=0o700, exist_ok=True)
        ledger = self._places.ledger
        for each in (ledger, ledger.with_name(f"{ledger.name}-wal"), *self._segments()):
            with suppress(FileNotFoundError, FileExistsError):
                os.link(each, directory / each.name)

    def _superfluous(self, targets: Mapping[str, Path]) -> list[str]:
        """What is left of another ledger would be taken for a part of this one.

        Not what a move replaces: a run that goes on may find the new one there.
        """
        if LEDGER not in targets:
            return []
        ledger = self._places.ledger
        beside = [ledger.with_name(f"{ledger.name}{each}") for each in ("-wal", "-shm")]
        return [str(each) for each in (*beside, *self._segments()) if each not in targets.values()]

    def _segments(self) -> list[Path]:
        journal = self._places.journal
        found = journal.iterdir() if journal.is_dir() else ()
        return sorted(each for each in found if JOURNAL_SEGMENT.fullmatch(each.name))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One restore at a time. The lock ends with the process, also a killed one."""
        handle = os.open(self._places.state, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A plan that a killed run was about to write.
            for each in self._places.config.glob(f".{RESTORE_PLAN}.*"):
                each.unlink(missing_ok=True)
            yield
        except BlockingIOError:
            raise BackupError("another restore is under way; wait for it") from None
        finally:
            os.close(handle)

    @contextmanager
    def _unused_ledger(self) -> Iterator[None]:
        """A router holds this lock as long as it lives."""
        path = self._places.ledger.with_name("lock")
        if not path.exists():
            yield
            return
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BackupError(
                    f"a router that was not started as this station's container uses {path.parent}; stop it. Nothing "
                    "was changed"
                ) from None
            yield

    def _earlier(self) -> Optional[Plan]:
        """What another run has left. Raises `BackupError` where that cannot be read."""
        if not self._record.exists():
            return None
        document = read_json(self._record)
        try:
            return Plan(**document)
        except TypeError:
            raise BackupError(
                f"{self._record} says how far an earlier restore came, and cannot be read; remove it to begin anew"
            ) from None

    def _save(self, plan: Plan) -> None:
        write_json(self._record, asdict(plan), mode=0o600, synced=True)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(each) for each in re.findall(r"\d+", version)[:3])


def _check_schema(found: int, where: str) -> None:
    if found > SCHEMA:
        raise BackupError(
            f"{where}: ledger schema {found} found, {SCHEMA} is the newest this gridtie knows; make the station with "
            "the newer version first"
        )


def _schema_of(ledger: Path) -> int:
    """Raises `BackupError`."""
    try:
        # It changes no more, and nothing may be made beside it.
        with closing(sqlite3.connect(f"{ledger.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as opened:
            (schema,) = opened.execute("PRAGMA user_version").fetchone()
            return int(schema)
    except sqlite3.Error as error:
        raise BackupError(f"{LEDGER} of the backup is no ledger: {error}; take another backup") from None


def _differs(path: Path, size: int, sha256: str) -> bool:
    found = member_of(path)
    return (found.bytes, found.sha256) != (size, sha256)


def _stage(name: str, path: Path, pieces: Iterator[bytes]) -> None:
    """Write a member beside its place, with the owner and mode that it will have there."""
    _make_directory(path.parent, 0o700 if is_audit(name) else 0o750)
    like = path.parent.stat()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        if os.geteuid() == 0:
            os.fchown(file.fileno(), like.st_uid, like.st_gid)
        os.fchmod(file.fileno(), mode_of(name))
        os.fsync(file.fileno())


def _make_directory(path: Path, mode: int = 0o750) -> None:
    """With those above it; each as its parent's owner has it, closed to all others."""
    if path.is_dir():
        return
    _make_directory(path.parent)
    like = path.parent.stat()
    path.mkdir(mode=mode)
    if os.geteuid() == 0:
        os.chown(path, like.st_uid, like.st_gid)


def _remove_staged(plan: Optional[Plan]) -> None:
    for staged, _ in plan.moves if plan else ():
        Path(staged).unlink(missing_ok=True)


def _there(path: Path) -> Path:
    """The nearest directory that is there."""
    while not path.exists():
        path = path.parent
    return path


def _check_writable(places: Places) -> None:
    for place in (places.config, places.state):
        try:
            writable = os.access(_there(place), os.W_OK | os.X_OK)
        except PermissionError:
            writable = False
        if not writable:
            raise BackupError(f"{place} may not be written by this user; run it with sudo")
