"""Files of JSON lines that a kill cannot spoil: written whole lines at a time, by one process, and gone on with."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeVar

import msgspec

from gridtie.bench.errors import BenchError

T = TypeVar("T")


def lines_of(path: Path, decode: Callable[[bytes], T], command: str) -> tuple[list[T], int]:
    """All whole lines, at least one, and how many bytes they are: a kill may have left half a line behind them.

    `command` is who writes such files. Raises `BenchError`.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise BenchError(f"{path} cannot be read: {error.strerror}; wanted: a file that `{command}` wrote") from None
    size = raw.rfind(b"\n") + 1
    lines: list[T] = []
    for number, text in enumerate(raw[:size].splitlines(), 1):
        try:
            lines.append(decode(text))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BenchError(f"{path}:{number} is no line of `{command}`: {error}") from None
    if not lines:
        raise BenchError(f"{path} is empty; wanted: a file that `{command}` wrote")
    return lines, size


class Appender:
    """Holds a file, and a lock on it; lines are out of this process when `write` returns."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path = path
        self._file = file
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise BenchError(f"{path} is being written by another process") from None

    @classmethod
    def new(cls, path: Path) -> Appender:
        """Begin a file. Raises `BenchError`, also where there is one already."""
        try:
            return cls(path, path.open("xb"))
        except FileExistsError:
            raise BenchError(
                f"{path} is there already; go on with it by --resume {path}, or name another file"
            ) from None
        except OSError as error:
            raise BenchError(f"{path} cannot be written: {error.strerror}; name another file with --out") from None

    @classmethod
    def resume(cls, path: Path, size: int) -> Appender:
        """Go on after the first `size` bytes; what comes behind them is cut off. Raises `BenchError`."""
        try:
            appender = cls(path, path.open("r+b"))
        except OSError as error:
            raise BenchError(f"{path} cannot be written: {error.strerror}") from None
        appender._file.truncate(size)
        appender._file.seek(size)
        return appender

    def write(self, line: bytes, *, durable: bool = False) -> None:
        """Append one line; `durable`: it is on the disk when this returns. Raises `BenchError`."""
        try:
            self._file.write(line + b"\n")
            self._file.flush()
            if durable:
                os.fsync(self._file.fileno())
        except OSError as error:
            raise BenchError(f"{self._path} cannot be written: {error.strerror}; what is in it stays") from None

    def close(self) -> None:
        self._file.close()
