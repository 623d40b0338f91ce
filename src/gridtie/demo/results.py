"""What was built, on disk: one JSON line for each run of the demo, so that a kill loses one at most."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from gridtie.bench import lines
from gridtie.bench.lines import Facts, Files, First, Line, Money, Stopped
from gridtie.bench.results import Machine
from gridtie.ledger import Entry


class Side(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One target, and how the router is asked for it."""

    target: str
    locality: str
    # A program in the place of a cloud: it proves that everything works, and says nothing of any model.
    standin: bool = False
    context: int | None = None
    quantisation: str = ""
    model: str
    environment: str
    tags: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As people are told it."""
        return f"{self.target}, a stand-in" if self.standin else self.target


class Run(First, frozen=True, kw_only=True, omit_defaults=True, tag="run"):
    """Which tasks are built with which seeds, on what."""

    sides: tuple[Side, ...]
    tasks: tuple[str, ...]
    # The first seed, and how many from it on.
    seed: int = 1
    seeds: int
    machine: Machine = Machine()

    @property
    def wanted(self) -> list[tuple[int, str, int]]:
        """Side, task and seed of each run. Sides take turns, so that a busy hour falls on all of them."""
        found = []
        for seed in range(self.seed, self.seed + self.seeds):
            for at, task in enumerate(self.tasks):
                order = range(len(self.sides)) if (seed + at) % 2 else reversed(range(len(self.sides)))
                found += [(side, task, seed) for side in order]
        return found


class About(Line, frozen=True, kw_only=True, omit_defaults=True, tag="about"):
    """What answers on a side, by the ledger."""

    side: int
    facts: Facts


class Asked(msgspec.Struct, frozen=True, omit_defaults=True):
    """One request of an agent: seconds until it was answered, waiting included, and the ledger's row."""

    agent: str
    seconds: float
    entry: Entry | None = None


class Built(Line, frozen=True, kw_only=True, omit_defaults=True, tag="built"):
    """A run that came to its end. `passed`: the hidden tests, which alone decide."""

    side: int
    task: str
    seed: int
    passed: bool
    failure: str = ""
    # Of the coder.
    tries: int = 0
    seconds: float
    asked: tuple[Asked, ...] = ()


class Broken(Line, frozen=True, kw_only=True, omit_defaults=True, tag="broken"):
    """A run that was cut off: it decides nothing and is done again, and what it cost counts."""

    side: int
    task: str
    seed: int
    why: str
    asked: tuple[Asked, ...] = ()


Lines = Run | About | Built | Broken | Money | Stopped


@dataclass
class Results(lines.Results[Run]):
    """Everything that a file says."""

    about: dict[int, Facts] = field(default_factory=dict)
    built: dict[tuple[int, str, int], Built] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)

    @property
    def left(self) -> list[tuple[int, str, int]]:
        """Side, task and seed of what is still to be built."""
        return [each for each in self.run.wanted if each not in self.built]

    def add(self, line: Lines) -> None:
        """Take one line in."""
        super().add(line)
        match line:
            case About():
                self.about[line.side] = line.facts
            case Built():
                self.built[line.side, line.task, line.seed] = line
            case Broken():
                self.broken.append(line)


Writer = lines.Writer[Results]
FILES = Files("make demo COMPARE=1", Lines, Results)
read = FILES.read
