"""What was tried, on disk: one JSON line for each try, so that a kill loses one at most."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import msgspec

from gridtie.bench.errors import BenchError
from gridtie.bench.lines import Appender, lines_of
from gridtie.bench.results import Money

SCHEMA = 1


class _Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    """One line of the file."""


class Run(_Line, frozen=True, kw_only=True, omit_defaults=True, tag="run"):
    """The first line: what is tried, on what."""

    schema: int = SCHEMA
    version: str
    # ISO, with the offset of UTC.
    started: str
    target: str
    locality: str
    context: int | None = None
    environment: str
    # Names of tasks, in their order, with their categories, and how often each is tried.
    tasks: dict[str, str]
    # Files of further tasks.
    sets: tuple[str, ...] = ()
    samples: int
    temperature: float
    # US dollars that may be spent at clouds; 0: nothing is sent there.
    spend: float = 0.0


class Facts(_Line, frozen=True, kw_only=True, omit_defaults=True, tag="facts"):
    """What answered, by the router's ledger."""

    engine: str = ""
    engine_version: str = ""
    digest: str = ""


class LeftOut(_Line, frozen=True, kw_only=True, omit_defaults=True, tag="left-out"):
    """A task that this target, or this machine, cannot be given; it counts on neither side."""

    task: str
    why: str


class Try(_Line, frozen=True, kw_only=True, omit_defaults=True, tag="try"):
    """One answer to one task. `why` says what is wrong with it, "" where it is right."""

    task: str
    sample: int
    why: str = ""
    seconds: float
    tokens_in: int = 0
    tokens_out: int = 0
    # None: not known. 0 for a local target.
    cost_usd: float | None = None
    request_id: str = ""

    @property
    def passed(self) -> bool:
        return not self.why


class _Sum(_Line, frozen=True, kw_only=True, omit_defaults=True, tag="money"):
    """As `bench.results.Money`, in this file's own lines."""

    number: int
    usd: float
    final: bool = False


class Stopped(_Line, frozen=True, kw_only=True, omit_defaults=True, tag="stopped"):
    """It went no further here."""

    why: str


Line = Run | Facts | LeftOut | Try | _Sum | Stopped

_decode = msgspec.json.Decoder(Line).decode
_encode = msgspec.json.Encoder().encode


@dataclass
class Results:
    """Everything that a file says."""

    run: Run
    facts: Facts = field(default_factory=Facts)
    left_out: dict[str, str] = field(default_factory=dict)
    tries: dict[tuple[str, int], Try] = field(default_factory=dict)
    money: dict[int, Money] = field(default_factory=dict)
    stopped: str = ""

    @property
    def spent(self) -> float:
        """US dollars: what was billed, and what may have been where nobody knows."""
        return sum(each.usd for each in self.money.values())

    @property
    def left(self) -> list[tuple[str, int]]:
        """Tasks and samples that have not been tried."""
        wanted = [(task, sample) for task in self.run.tasks for sample in range(self.run.samples)]
        return [each for each in wanted if each not in self.tries and each[0] not in self.left_out]

    def add(self, line: Line) -> None:
        """Take one line in."""
        self.stopped = line.why if isinstance(line, Stopped) else ""
        match line:
            case Facts():
                self.facts = line
            case LeftOut():
                self.left_out[line.task] = line.why
            case Try():
                self.tries[line.task, line.sample] = line
            case _Sum():
                self.money[line.number] = Money(number=line.number, usd=line.usd, final=line.final)


def read(path: Path) -> Results:
    """The results in a file. Raises `BenchError`."""
    results, _ = _read(path)
    return results


def _read(path: Path) -> tuple[Results, int]:
    lines, size = lines_of(path, _decode, "gridtie quality")
    first, *others = lines
    if not isinstance(first, Run) or first.schema != SCHEMA:
        raise BenchError(f"{path}:1 does not say what was tried; wanted: schema {SCHEMA} of `gridtie quality`")
    results = Results(first)
    for line in others:
        results.add(line)
    return results, size


class Writer:
    """Appends to a file of results, and holds them; one process at a time."""

    def __init__(self, results: Results, file: Appender) -> None:
        self.results = results
        self._file = file

    @classmethod
    def new(cls, path: Path, run: Run) -> Writer:
        """Begin a file. Raises `BenchError`, also where there is one already."""
        file = Appender.new(path)
        file.write(_encode(run))
        return cls(Results(run), file)

    @classmethod
    def resume(cls, path: Path) -> Writer:
        """Go on with a file. Raises `BenchError`."""
        results, size = _read(path)
        return cls(results, Appender.resume(path, size))

    def add(self, line: Line | Money) -> None:
        """Write a line and take it in; what money depends on is on the disk when this returns."""
        if isinstance(line, Money):
            line = _Sum(number=line.number, usd=line.usd, final=line.final)
        self._file.write(_encode(line), durable=isinstance(line, _Sum))
        self.results.add(line)

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
