"""What was tried, on disk: one JSON line for each try, so that a kill loses one at most."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from gridtie.bench import lines
from gridtie.bench.errors import BenchError
from gridtie.bench.lines import Appender, Facts, Line, Money, Stopped, lines_of

SCHEMA = 1


class Run(Line, frozen=True, kw_only=True, omit_defaults=True, tag="run"):
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


class LeftOut(Line, frozen=True, kw_only=True, omit_defaults=True, tag="left-out"):
    """A task that this target, or this machine, cannot be given; it counts on neither side."""

    task: str
    why: str


class Try(Line, frozen=True, kw_only=True, omit_defaults=True, tag="try"):
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


Lines = Run | Facts | LeftOut | Try | Money | Stopped

_decode = msgspec.json.Decoder(Lines).decode


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

    def add(self, line: Lines) -> None:
        """Take one line in."""
        self.stopped = line.why if isinstance(line, Stopped) else ""
        match line:
            case Facts():
                self.facts = line
            case LeftOut():
                self.left_out[line.task] = line.why
            case Try():
                self.tries[line.task, line.sample] = line
            case Money():
                self.money[line.number] = line


def read(path: Path) -> Results:
    """The results in a file. Raises `BenchError`."""
    results, _ = _read(path)
    return results


def _read(path: Path) -> tuple[Results, int]:
    found, size = lines_of(path, _decode, "gridtie quality")
    first, *others = found
    if not isinstance(first, Run) or first.schema != SCHEMA:
        raise BenchError(f"{path}:1 does not say what was tried; wanted: schema {SCHEMA} of `gridtie quality`")
    results = Results(first)
    for line in others:
        results.add(line)
    return results, size


class Writer(lines.Writer[Results]):
    """Appends to a file of results, and holds them; one process at a time."""

    @classmethod
    def new(cls, path: Path, run: Run) -> Writer:
        """Begin a file. Raises `BenchError`, also where there is one already."""
        return cls.begin(path, run, Results(run))

    @classmethod
    def resume(cls, path: Path) -> Writer:
        """Go on with a file. Raises `BenchError`."""
        results, size = _read(path)
        return cls(results, Appender.resume(path, size))
