"""Runs inside the sandbox: loads a candidate's source, calls its function, reports each call. Standard library only.

The module is shipped as text (`python3 -c`) and reads one JSON object from stdin: `source`, `function`, and `calls`, a
list of Python literals, each the tuple of arguments of one call. It writes one JSON object a line: `{"loaded": true}`,
then `{"call": 0, "value": "<repr>"}` or `{"call": 0, "error": "<text>"}`. Expected results never come in here: the
judging is done outside, so a candidate cannot read the answers nor tamper with the verdict.
"""

from __future__ import annotations

import ast
import json
import os
import signal
import sys
from types import FrameType
from typing import Any

_CALL_SECONDS = 2.0
_REPR_LIMIT = 4000


class _CallTimedOut(BaseException):
    """Not an Exception, so that a candidate's `except Exception` does not swallow it."""


def _on_alarm(_signal: int, _frame: FrameType | None) -> None:
    raise _CallTimedOut


def _describe(error: BaseException) -> str:
    if isinstance(error, _CallTimedOut):
        return f"no result after {_CALL_SECONDS:g} s"
    return f"{type(error).__name__}: {error}"[:300]


def _call(function: Any, literal: str) -> dict[str, str]:
    arguments = ast.literal_eval(literal)
    signal.setitimer(signal.ITIMER_REAL, _CALL_SECONDS)
    try:
        shown = repr(function(*arguments))
    except BaseException as error:  # SystemExit and the like are a candidate's result as well
        return {"error": _describe(error)}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return {"value": shown} if len(shown) <= _REPR_LIMIT else {"error": "the result is too long"}


def main() -> None:
    """Serve one job from stdin, with the candidate's own printing sent nowhere."""
    job = json.load(sys.stdin)
    results = os.fdopen(os.dup(1), "w", buffering=1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    signal.signal(signal.SIGALRM, _on_alarm)

    def report(entry: dict[str, Any]) -> None:
        results.write(json.dumps(entry) + "\n")

    namespace: dict[str, Any] = {"__name__": "candidate"}
    signal.setitimer(signal.ITIMER_REAL, _CALL_SECONDS)
    try:
        exec(compile(job["source"], "candidate.py", "exec"), namespace)  # noqa: S102 - this is what the sandbox is for
        function = namespace[job["function"]]
    except BaseException as error:
        report({"error": _describe(error)})
        return
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    report({"loaded": True})
    for number, literal in enumerate(job["calls"]):
        report({"call": number, **_call(function, literal)})


if __name__ == "__main__":
    main()
