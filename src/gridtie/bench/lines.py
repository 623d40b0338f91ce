"""Files of JSON lines that a kill cannot spoil: written whole lines at a time, by one process, and gone on with.

What `gridtie bench` and `gridtie quality` both write is here; each has further kinds of lines.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Generic, TypeVar

import msgspec

from gridtie.bench.errors import BenchError

T = TypeVar("T")


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    """One line of a file."""


class Facts(Line, frozen=True, kw_only=True, omit_defaults=True, tag="facts"):
    """What answered, by the router's ledger."""

    engine: str = ""
    engine_version: str = ""
    digest: str = ""


class Money(Line, frozen=True, kw_only=True, omit_defaults=True, tag="money"):
    """What a request may be billed, written before it is sent; `final` once it is known, under the same number."""

    number: int
    usd: float
    final: bool = False


class Stopped(Line, frozen=True, kw_only=True, omit_defaults=True, tag="stopped"):
    """It went no further here."""

    why: str


class First(Line, frozen=True, kw_only=True, omit_defaults=True, tag="run"):
    """The first line: what is asked, of what, and when. Each command has a version of its own."""

    schema: int = 1
    version: str
    # ISO, with the offset of UTC.
    started: str
    # US dollars that may be spent at clouds; 0: nothing is sent there.
    spend: float = 0.0


F = TypeVar("F", bound=First)


@dataclass
class Results(Generic[F]):
    """What a file says; each command takes further kinds of lines in."""

    run: F
    facts: Facts = field(default_factory=Facts)
    money: dict[int, Money] = field(default_factory=dict)
    # Why it went no further, if nothing has come after that.
    stopped: str = ""

    @property
    def spent(self) -> float:
        """US dollars: what was billed, and what may have been where nobody knows."""
        return sum(each.usd for each in self.money.values())

    def add(self, line: Any) -> None:
        """Take one line in."""
        self.stopped = line.why if isinstance(line, Stopped) else ""
        match line:
            case Facts():
                self.facts = line
            case Money():
                self.money[line.number] = line


R = TypeVar("R", bound=Results[Any])
_encode = msgspec.json.Encoder().encode


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


def named(command: str, target: str) -> Path:
    """A file in the working directory that no other run has."""
    now = datetime.now().astimezone()
    return Path(f"{command}-{re.sub(r'[^A-Za-z0-9.]+', '-', target)}-{now:%Y%m%d-%H%M%S}.jsonl")


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


class Writer(Generic[R]):
    """Appends to a file of results, and holds them; one process at a time."""

    def __init__(self, results: R, file: Appender) -> None:
        self.results = results
        self._file = file

    def add(self, line: Line) -> None:
        """Write a line and take it in; what money depends on is on the disk when this returns."""
        self._file.write(_encode(line), durable=isinstance(line, Money))
        self.results.add(line)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Writer[R]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class Files(Generic[R]):
    """The files that one command writes: `lines` are all kinds of theirs, `results` is what takes them in."""

    command: str
    lines: Any
    results: Callable[[Any], R]
    schema: int = 1

    def read(self, path: Path) -> R:
        """The results in a file. Raises `BenchError`."""
        return self._read(path)[0]

    def begin(self, path: Path, run: First) -> Writer[R]:
        """Begin a file. Raises `BenchError`, also where there is one already."""
        file = Appender.new(path)
        file.write(_encode(run))
        return Writer(self.results(run), file)

    def resume(self, path: Path) -> Writer[R]:
        """Go on with a file. Raises `BenchError`."""
        results, size = self._read(path)
        return Writer(results, Appender.resume(path, size))

    def _read(self, path: Path) -> tuple[R, int]:
        (first, *others), size = lines_of(path, msgspec.json.Decoder(self.lines).decode, self.command)
        if not isinstance(first, First) or first.schema != self.schema:
            raise BenchError(f"{path}:1 does not say what was asked; wanted: schema {self.schema} of `{self.command}`")
        results = self.results(first)
        for line in others:
            results.add(line)
        return results, size
