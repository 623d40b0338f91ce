"""What is asked of a client, and what comes of it; by the standard library, since clients' own environments run it.

A job: `name` (which client, by which of its interfaces), `root` and `key` (the router's), `model`, `streamed`, `turns`
(what the person says, one after the other, in one conversation), `fresh_tries` (false: without the client's own
retries), `limit` (tokens of an answer), `rounds` (how often at most its calls are answered in a turn), `tools` (false:
the SDKs of Python offer none). Else the client is offered one tool, `add`, and does what it is called for.

What comes of it: `said` (an answer for each turn), `calls` (of the tool, in order), `error` (where there was one, and
nothing else then: `status`, if it came by HTTP, and the `message` that the client shows).
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

DESCRIPTION = "Adds two whole numbers."
PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a", "b"],
}
# A small model calls again and again.
MOST_ROUNDS = 4
LIMIT = 300


class Call(NamedTuple):
    id: str
    name: str
    arguments: dict[str, Any]


class Said(NamedTuple):
    text: str
    calls: list[Call]


class Talk(Protocol):
    """One conversation through one client."""

    def say(self, text: str) -> Said: ...

    def give(self, results: list[tuple[Call, str]]) -> Said: ...


def add(a: int, b: int) -> str:
    return str(a + b)


def converse(talk: Talk, turns: list[str], rounds: int) -> dict[str, Any]:
    """Say each of these, and do what is called for in between."""
    texts, made = [], []
    for turn in turns:
        said = talk.say(turn)
        for _ in range(rounds):
            if not said.calls:
                break
            made += said.calls
            said = talk.give([(call, add(**call.arguments)) for call in said.calls])
        texts.append(said.text)
    return {"said": texts, "calls": [[call.name, call.arguments] for call in made]}


def serve(talks: dict[str, Callable[[dict[str, Any]], Talk]], errors: tuple[type, ...]) -> None:
    """Answer the jobs of standard input; `errors` are those that the clients raise."""
    for line in sys.stdin:
        job = json.loads(line)
        try:
            answer = converse(talks[job["name"]](job), job["turns"], job.get("rounds", MOST_ROUNDS))
        except errors as error:
            status = getattr(error, "status_code", None)
            answer = {"error": {"status": status, "message": str(error), "kind": type(error).__name__}}
        except Exception:
            answer = {"broken": traceback.format_exc()}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
