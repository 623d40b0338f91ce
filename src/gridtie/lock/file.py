"""A lock on the disk: read whole, changed by one process at a time, replaced in one step."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from gridtie.lock.document import Choice, Learned, Lock, LockError, check_learned, document, parse

# Whoever holds the guard writes a few kilobytes: a longer wait means that something hangs.
PATIENCE_S = 30.0

_HEAD = """\
# The digests that the stations of this inventory learned at first use, and the models that each group runs: all of them
# accept nothing else from then on.
# Written by Gridtie, below these lines; keep it with the inventory. docs/models.md says how to change a pin.
"""


def read(path: Path) -> Lock:
    """The lock, an empty one where there is no file. Raises LockError, with the path, for one that cannot be used."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Lock()
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise LockError(f"{path} cannot be read: {said}") from error
    return _parsed(path, text)


def record(path: Path, host: str, learned: Learned) -> Lock:
    """Add what a host learned. Raises LockError, and changes nothing, where another digest is there already."""
    check_learned(learned)
    return _update(path, lambda lock: _agreed(path, lock, host, learned))


def pin(path: Path, learned: Learned) -> bool:
    """Put digests in the place of those that are there, as a person has decided; False where it says so already."""
    check_learned(learned)
    before = read(path)
    return _update(path, lambda lock: lock.with_pins(learned)) != before


def choose(path: Path, choices: Mapping[str, Choice], *, anew: bool = False) -> Lock:
    """Add what groups run. Where one has a choice already, that stays, unless all are made `anew`."""

    def change(lock: Lock) -> Lock:
        for group, choice in choices.items():
            if anew or group not in lock.choices:
                lock = lock.with_choice(group, choice)
        return lock

    return _update(path, change)


def take_over(path: Path, station: str, pins: Learned) -> Lock:
    """Add, once, what a station recorded in files of its own before there was a lock. Raises as `record`."""
    check_learned(pins)

    def change(lock: Lock) -> Lock:
        if station in lock.taken_over:
            return lock
        return replace(_agreed(path, lock, station, pins), taken_over=(*lock.taken_over, station))

    return _update(path, change)


def _agreed(path: Path, lock: Lock, host: str, learned: Learned) -> Lock:
    conflicts = lock.conflicts(learned, host)
    if conflicts:
        told = "; ".join(str(conflict) for conflict in conflicts)
        raise LockError(
            f"{told} ({path}). Run again: {host} is then held to the lock. To accept the other digest everywhere, "
            "write it into the lock"
        )
    return lock.with_learned(learned, host)


def _update(path: Path, change: Callable[[Lock], Lock]) -> Lock:
    # A link leads to where the lock is kept, and stays a link.
    path = Path(os.path.realpath(path))
    try:
        with _alone(path):
            before = read(path)
            after = change(before)
            if after != before:
                _write(path, after)
            return after
    except OSError as error:
        raise LockError(
            f"{path} cannot be written ({error.strerror}): let gridtie_lock_file name a place that can be"
        ) from error


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time, by a file beside the lock that is gone afterwards.

    Whoever gets it after it was removed holds a file that has no name any more, and tries again.
    """
    guard, deadline = path.with_name(f".{path.name}.guard"), time.monotonic() + PATIENCE_S
    while True:
        descriptor = os.open(guard, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is(descriptor, guard):
                break
        except BlockingIOError:
            pass
        os.close(descriptor)
        if time.monotonic() > deadline:
            raise LockError(f"another run has been writing {path} for more than {PATIENCE_S:.0f} s; {guard} is held")
        time.sleep(0.01)
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            guard.unlink()
        os.close(descriptor)


def _is(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _write(path: Path, lock: Lock) -> None:
    head = _comments(path) or _HEAD
    text = head + yaml.safe_dump(document(lock), sort_keys=False, width=120, allow_unicode=True)
    draft = path.with_name(f".{path.name}.draft")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
    draft.replace(path)


def _comments(path: Path) -> str:
    """The lines that a person may have put at the top."""
    if not path.exists():
        return ""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    end = next((index for index, line in enumerate(lines) if line.strip() and not line.startswith("#")), len(lines))
    return "".join(lines[:end])


class _Loader(yaml.SafeLoader):
    """YAML lets a later key overwrite an earlier one in silence: a merge of two branches would lose one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value!r} is there twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _parsed(path: Path, text: str) -> Lock:
    if not text.strip():
        raise LockError(f"{path} is empty: put it back from a copy, or remove it to learn everything anew")
    try:
        # The loader is the safe one with one more check.
        return parse(yaml.load(text, Loader=_Loader))  # noqa: S506
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        said = getattr(error, "problem", None) or "it is no YAML"
        raise LockError(f"{where}: the lock is damaged ({said}): mend that line, or put it back from a copy") from error
    except LockError as error:
        raise LockError(f"{path}: {error}") from error
