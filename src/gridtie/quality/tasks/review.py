"""Code with one fault: which line it is in."""

from __future__ import annotations

from gridtie.quality.checks import number
from gridtie.quality.task import Task, texts, user


def _fault(name: str, source: str, does: str, line: int) -> Task:
    numbered = "\n".join(f"{at}: {text}" for at, text in enumerate(source.splitlines(), 1))
    return Task(
        name=f"review-{name}",
        category="review",
        messages=user(
            f"This function is to {does}. One line is wrong. Each line begins with its number.\n\n{numbered}\n\n"
            "Which line is wrong? Answer with its number alone."
        ),
        check=number(line),
        right=texts(str(line), f"Line {line}."),
        wrong=texts(str(line + 1), "All is well.", f"{line} or {line + 1}", f"{line}.5"),
        max_tokens=16,
    )


REVIEW = (
    _fault(
        "off-by-one",
        "def last(items):\n    if not items:\n        return None\n    return items[len(items)]",
        "give the last item of a list, None where it is empty", 4,
    ),
    _fault(
        "default",
        "def collect(item, found=[]):\n    found.append(item)\n    copy = list(found)\n    return copy",
        "give a new list with the item in it, where no list is given", 1,
    ),
    _fault(
        "comparison",
        "def larger(a, b):\n    if a < b:\n        return a\n    return b",
        "give the larger of two numbers; only the condition is wrong", 2,
    ),
    _fault(
        "counter",
        "def count(text, letter):\n    found = 0\n    for each in text:\n        if each == letter:\n            found = 1\n"
        "    return found",
        "count how often a letter is in a text", 5,
    ),
    _fault(
        "early-return",
        "def all_even(numbers):\n    for number in numbers:\n        if number % 2 == 1:\n            return False\n"
        "        return True\n    return True",
        "say whether all numbers of a list are even", 5,
    ),
    _fault(
        "sql",
        "def find(connection, name):\n    cursor = connection.cursor()\n"
        "    cursor.execute(f\"SELECT id FROM people WHERE name = '{name}'\")\n    return cursor.fetchone()",
        "look up a name that a stranger typed, safely", 3,
    ),
)  # fmt: skip
