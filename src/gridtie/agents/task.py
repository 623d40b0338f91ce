"""What the agents are asked to build: one function, its public examples, and what it is judged by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gridtie.agents.schema import Schema

Level = Literal["tiny", "small", "real"]


@dataclass(frozen=True)
class Example:
    """One call and its right answer. Arguments and answer are plain values: what a Python literal can write."""

    arguments: tuple[Any, ...]
    expected: Any


@dataclass(frozen=True)
class Task:
    """A small feature.

    `signature` and `does` (a clause that follows "a Python function that") are what every agent is told. `examples`
    are public: failures on them are fed back to the coder. `hidden` decides; no agent sees it. `reference` is a right
    solution, used to score the tester and never shown. `mutants` are wrong solutions that look right: each passes the
    public examples' spirit and must fail the hidden tests; the first is the one that the tester's cases should catch.
    `parameters` and `returns` are JSON schemas of the arguments and the result.
    """

    name: str
    level: Level
    signature: str
    does: str
    examples: tuple[Example, ...]
    hidden: tuple[Example, ...]
    reference: str
    mutants: tuple[str, ...]
    parameters: Mapping[str, Schema]
    returns: Schema
    code_tokens: int = field(default=200)

    @property
    def function(self) -> str:
        return self.signature.partition("(")[0]

    @property
    def request(self) -> str:
        """The order that every agent gets, in one sentence."""
        return f"Write a Python function `{self.signature}` that {self.does}."


def show_call(function: str, arguments: tuple[Any, ...]) -> str:
    """A call as Python writes it."""
    return f"{function}({', '.join(repr(argument) for argument in arguments)})"
