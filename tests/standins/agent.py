"""What a model does that is asked by an agent: it calls a tool, hears the result, and answers.

Its state is the conversation that it is sent: an answer says which turn it is and what the tool gave, so that a client,
or a router, that loses a message, a result or its order is seen.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from standins.behaviour import Behaviour, ToolCall

_SUM = re.compile(r"(\d+) \+ (\d+)")


@dataclass
class Heard:
    """A conversation without its dialect: what was asked, what tools gave since then, which are offered."""

    asked: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    tools: Sequence[str] = ()

    def user(self, text: str) -> None:
        self.asked.append(text)
        self.results = []


def turn(behaviour: Behaviour, heard: Heard) -> Behaviour:
    """What comes next: its calls, of tools that are offered, until there is a result; then what that was.

    Without calls of its own it has a sum calculated by the tool `add` where it is asked for one.
    """
    number = len(heard.asked)
    if heard.results:
        return replace(behaviour, calls=(), text=f"turn {number}: {' '.join(heard.results)}")
    calls = tuple(call for call in behaviour.calls or _sums(heard.asked[-1]) if call.name in heard.tools)
    return replace(behaviour, calls=calls, text="" if calls else f"turn {number}: no tool")


def _sums(text: str) -> tuple[ToolCall, ...]:
    return tuple(ToolCall("add", {"a": int(a), "b": int(b)}) for a, b in _SUM.findall(text))
