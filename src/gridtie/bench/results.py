"""What was measured, on disk: one JSON line for each thing as it happens, so that a kill loses a block at most.

A *block* is some requests of one row over one way; rows are measured in several blocks, in turns. A block that was
begun and not ended is begun again by `--resume`, and only what came after its last beginning counts.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import msgspec

from gridtie.bench import lines
from gridtie.bench.asking import Answer
from gridtie.bench.lines import Facts, Files, First, Line, Money, Stopped
from gridtie.bench.profiles import Profile


class Machine(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where it was measured; what it does not say is not known there."""

    processor: str = ""
    cores: int = 0
    memory_bytes: int = 0
    graphics: tuple[str, ...] = ()


class Run(First, frozen=True, kw_only=True, omit_defaults=True, tag="run"):
    """What is measured, and how. `--resume` goes on by it alone."""

    # What all prompts are drawn by.
    seed: str
    endpoint: str
    target: str
    locality: str
    context: int | None = None
    # How the router is asked for the target.
    model: str
    environment: str
    tags: tuple[str, ...] = ()
    clouds: tuple[str, ...] = ()
    # "router", and "beside" where the engine is asked past it as well; else why it is not.
    ways: tuple[str, ...] = ("router",)
    why_not_beside: str = ""
    # Where that is, if somebody said so.
    direct: str = ""
    profiles: tuple[Profile, ...]
    concurrency: tuple[int, ...]
    requests: int
    rounds: int
    cold: int = 0
    machine: Machine = Machine()


class LeftOut(Line, frozen=True, kw_only=True, omit_defaults=True, tag="left-out"):
    """A profile that this target cannot be asked."""

    profile: str
    why: str


class WarmUp(Line, frozen=True, kw_only=True, omit_defaults=True, tag="warm-up"):
    """A first request of a profile, which counts nowhere; how many tokens a word the model needs was seen in it."""

    profile: str
    way: str
    tokens_per_word: float
    answer: Answer


class Cold(Line, frozen=True, kw_only=True, omit_defaults=True, tag="cold"):
    """A request that found the model unloaded."""

    answer: Answer


class Begin(Line, frozen=True, kw_only=True, omit_defaults=True, tag="begin"):
    """A block begins; what stands before of the same block counts no longer."""

    block: int


class Request(Line, frozen=True, kw_only=True, omit_defaults=True, tag="request"):
    """One request of a block: an answer, or why there is none."""

    block: int
    profile: str
    concurrency: int
    way: str
    # Of a profile that measures the cache: "first" fills it, "again" finds it filled.
    phase: str = ""
    answer: Answer | None = None
    error: str = ""


class Done(Line, frozen=True, kw_only=True, omit_defaults=True, tag="done"):
    """A block is whole."""

    block: int
    # Unix time, and what was used meanwhile, as far as anything here can tell.
    began: float
    ended: float
    resident_bytes: int | None = None
    reported_bytes: int | None = None
    reported_vram_bytes: int | None = None
    processor_joules: float | None = None
    graphics_joules: float | None = None


Lines = Run | Facts | LeftOut | WarmUp | Cold | Begin | Request | Done | Money | Stopped


@dataclass
class Results(lines.Results[Run]):
    """Everything that a file says."""

    left_out: dict[str, str] = field(default_factory=dict)
    warm_ups: list[WarmUp] = field(default_factory=list)
    cold: list[Answer] = field(default_factory=list)
    blocks: dict[int, list[Request]] = field(default_factory=lambda: defaultdict(list))
    done: dict[int, Done] = field(default_factory=dict)

    @property
    def requests(self) -> list[Request]:
        """All requests that count, block by block."""
        return [request for number in sorted(self.blocks) for request in self.blocks[number]]

    def add(self, line: Lines) -> None:
        """Take one line in."""
        super().add(line)
        match line:
            case LeftOut():
                self.left_out[line.profile] = line.why
            case WarmUp():
                self.warm_ups.append(line)
            case Cold():
                self.cold.append(line.answer)
            case Begin():
                self.blocks[line.block] = []
                self.done.pop(line.block, None)
            case Request():
                self.blocks[line.block].append(line)
            case Done():
                self.done[line.block] = line


Writer = lines.Writer[Results]
FILES = Files("gridtie bench", Lines, Results)
read = FILES.read
