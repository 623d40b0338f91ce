"""The documenter: says in a sentence what the function does. The docstring is put into the file by us.

A model that is asked for the whole documented file may change the code on the way; one that is asked for a sentence
cannot, and `with_docstring` proves on the syntax tree that nothing else was touched.
"""

from __future__ import annotations

from gridtie.agents import worked_example
from gridtie.agents.session import AgentFailed, Session
from gridtie.agents.source import Unusable, docstring_from, with_docstring
from gridtie.agents.task import Task

NAME = "documenter"
_TRIES = 4
_TOKENS = 80
_QUESTION = (
    "This function was ordered with: {request}\n\n```python\n{source}```\n\n"
    "Say in one short sentence what `{function}` returns, as its docstring."
)
_EXAMPLE = "Return the largest number of a list."


def document(session: Session, task: Task, source: str) -> str:
    """`source` with a docstring in the task's function. Raises AgentFailed when no answer holds a sentence."""
    shown = _QUESTION.format(request=worked_example.REQUEST, source=worked_example.CODE, function="largest")
    messages = [
        {"role": "user", "content": shown},
        {"role": "assistant", "content": _EXAMPLE},
        {"role": "user", "content": _QUESTION.format(request=task.request, source=source, function=task.function)},
    ]
    reason = ""
    for attempt in range(_TRIES):
        answer = session.ask(NAME, messages, attempt=attempt, max_tokens=_TOKENS)
        try:
            return with_docstring(source, task.function, docstring_from(answer))
        except Unusable as unusable:
            reason = str(unusable)
    raise AgentFailed(f"the {NAME} wrote no docstring in {_TRIES} tries; the last time {reason}")
