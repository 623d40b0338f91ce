"""What was tried, on disk: one JSON line for each try, so that a kill loses one at most."""

from __future__ import annotations

from dataclasses import dataclass, field

from gridtie.bench import lines
from gridtie.bench.lines import Facts, Files, First, Line, Money, Stopped
from gridtie.ledger import Entry


class Run(First, frozen=True, kw_only=True, omit_defaults=True, tag="run"):
    """What is tried, on what."""

    target: str
    locality: str
    context: int | None = None
    # Of the model's file, as the station knows it.
    quantisation: str = ""
    environment: str
    # Names of tasks, in their order, with their categories, and how often each is tried.
    tasks: dict[str, str]
    # Files of further tasks.
    sets: tuple[str, ...] = ()
    samples: int
    temperature: float


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
    # As the ledger has the request; None: it does not know it.
    entry: Entry | None = None

    @property
    def passed(self) -> bool:
        return not self.why


Lines = Run | Facts | LeftOut | Try | Money | Stopped


@dataclass
class Results(lines.Results[Run]):
    """Everything that a file says."""

    left_out: dict[str, str] = field(default_factory=dict)
    tries: dict[tuple[str, int], Try] = field(default_factory=dict)

    @property
    def left(self) -> list[tuple[str, int]]:
        """Tasks and samples that have not been tried."""
        wanted = [(task, sample) for task in self.run.tasks for sample in range(self.run.samples)]
        return [each for each in wanted if each not in self.tries and each[0] not in self.left_out]

    def add(self, line: Lines) -> None:
        """Take one line in."""
        super().add(line)
        match line:
            case LeftOut():
                self.left_out[line.task] = line.why
            case Try():
                self.tries[line.task, line.sample] = line


Writer = lines.Writer[Results]
FILES = Files("gridtie quality", Lines, Results)
read = FILES.read
