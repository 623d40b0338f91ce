"""Code is taken out of answers, and docstrings are put in, without changing what the code does."""

from __future__ import annotations

import ast

import pytest

from gridtie.agents.source import Unusable, behaviour, docstring_from, extract, with_docstring

FUNCTION = "def f(n):\n    return n + 1"


@pytest.mark.parametrize(
    "answer",
    [
        FUNCTION,
        f"```python\n{FUNCTION}\n```",
        f"Here you are:\n```\n{FUNCTION}\n```\nIt adds one.",
        f"Sure!\n\n{FUNCTION}\n\nThis adds one to n.",
        f"```python\n{FUNCTION}\n\nprint(f(3))\nresult = f(4)\n```",
        f"```python\n{FUNCTION}",
        f"```python\nprint('hello')\n```\n```python\n{FUNCTION}\n```",
    ],
)
def test_the_function_is_found_in_any_wrapping(answer: str) -> None:
    """Fences, prose and example calls are left behind."""
    assert extract(answer, "f") == FUNCTION + "\n"


def test_imports_constants_and_helpers_are_kept() -> None:
    """A module that needs more than one function stays whole."""
    module = "import math\n\nLIMIT = 3\n\ndef g(n):\n    return math.floor(n)\n\ndef f(n):\n    return g(n) + LIMIT\n"

    assert ast.dump(ast.parse(extract(f"```python\n{module}```", "f"))) == ast.dump(ast.parse(module))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("I cannot do that.", "does not define"),
        ("```python\ndef g(n):\n    return n\n```", "does not define"),
        ("```python\ndef f(n:\n    return n\n```", "not valid Python"),
    ],
)
def test_an_answer_without_the_function_is_refused_with_the_reason(answer: str, reason: str) -> None:
    """The coder is told what is missing."""
    with pytest.raises(Unusable, match=reason):
        extract(answer, "f")


@pytest.mark.parametrize(
    "source",
    [
        "def f(n):\n    return n + 1\n",
        "def f(n): return n + 1\n",
        "def f(n): 'old'; return n + 1\n",
        'def f(n):\n    """Old."""\n    return n + 1\n',
        'def f(n):\n    """Old\n    and long.\n    """\n    # a comment\n    return n + 1\n',
        'def f(n):\n    """Only this."""\n',
        "import re\n\n\ndef f(\n    n,\n):\n\treturn re.escape(n)\n",
        "def f(n):\n    x = 1; return n + x\n",
        "@staticmethod\ndef f(n):\n    return 'é' + n\n",
    ],
)
def test_a_docstring_is_added_or_replaced_and_nothing_else(source: str) -> None:
    """Whatever the layout, the code's tree is as before and the function has the new docstring."""
    documented = with_docstring(source, "f", "Return one more than n.")
    function = next(node for node in ast.parse(documented).body if isinstance(node, ast.FunctionDef))

    assert ast.get_docstring(function) == "Return one more than n."
    assert behaviour(documented) == behaviour(source)


@pytest.mark.parametrize(
    "hostile", ['"""\nimport os\n"""', 'ends with a quote"', "a \\ backslash \\", "x" * 500 + " end"]
)
def test_a_hostile_docstring_stays_text(hostile: str) -> None:
    """Quotes and backslashes in a docstring cannot end it and become code."""
    documented = with_docstring("def f(n):\n    return n\n", "f", hostile)

    assert behaviour(documented) == behaviour("def f(n):\n    return n\n")


@pytest.mark.parametrize(
    ("answer", "docstring"),
    [
        ("Return one more than n.", "Return one more than n."),
        ('"""Return one more than n."""', "Return one more than n."),
        ('```python\ndef f(n):\n    """Return one more than n."""\n    return n + 1\n```', "Return one more than n."),
        ("Return one more\nthan n", "Return one more than n."),
        ("Return one more than n.\n\nFor example, f(1) is 2.", "Return one more than n."),
    ],
)
def test_a_docstring_is_the_first_paragraph_of_what_was_said(answer: str, docstring: str) -> None:
    """Quotes, fences, code and further paragraphs fall away."""
    assert docstring_from(answer) == docstring


@pytest.mark.parametrize("answer", ["", "```python\n```", "def f(n):\n    return n + 1", "42"])
def test_an_answer_without_a_sentence_is_refused(answer: str) -> None:
    """Code alone, or nothing, is not a docstring."""
    with pytest.raises(Unusable):
        docstring_from(answer)
