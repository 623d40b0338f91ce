"""A sandbox for a program that is in a container itself and so can start none.

It asks on its standard output, and the host, which may talk to Docker, answers on its standard input: one JSON object a
line, with the record separator of RFC 7464 before each question, since other lines are the program's own words. No
socket of Docker, no file and no port are in it, and what is asked can do no more than run in the sandbox.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Callable, Optional, TextIO

from gridtie.host.sandbox import Execution, Sandbox, SandboxUnavailable

SEPARATOR = "\x1e"
# What a host answers a question with.
Answer = Callable[[str], str]


def answers(find: Callable[[], Sandbox]) -> Answer:
    """The host's side; the sandbox is looked for when the first question comes."""
    found: Optional[Sandbox] = None

    def answer(question: str) -> str:
        nonlocal found
        try:
            found = found or find()
            asked = json.loads(question)
            if "program" not in asked:
                return json.dumps({})
            return json.dumps(asdict(found.run(str(asked["program"]), str(asked["stdin"]))))
        except SandboxUnavailable as error:
            return json.dumps({"unavailable": str(error)})

    return answer


class LinkedSandbox:
    """The program's side."""

    def __init__(self, out: TextIO, into: TextIO) -> None:
        """Raises `SandboxUnavailable` where the host has none."""
        self._out = out
        self._into = into
        self._ask({})

    def run(self, program: str, stdin: str = "") -> Execution:
        """As `Sandbox.run`."""
        return Execution(**self._ask({"program": program, "stdin": stdin}))

    def _ask(self, question: Any) -> Any:
        self._out.write(f"{SEPARATOR}{json.dumps(question)}\n")
        self._out.flush()
        line = self._into.readline()
        if not line:
            raise SandboxUnavailable("The host that runs code for this program has gone.")
        answer = json.loads(line)
        if "unavailable" in answer:
            raise SandboxUnavailable(answer["unavailable"])
        return answer
