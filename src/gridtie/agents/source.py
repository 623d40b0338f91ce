"""Python source as text and tree: taking a function out of an answer, and giving it a docstring. No I/O.

A model's answer is prose, fences, code and example calls in any mixture. What is kept is what a module needs: imports,
constants, functions and classes at the top level, in the model's own words. Example calls and prints are dropped.
"""

from __future__ import annotations

import ast
import re
import textwrap

_FENCE = re.compile(r"```[^\n`]*\n(.*?)(?:```|\Z)", re.DOTALL)
_KEPT = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
# Cutting line by line is quadratic; an answer of several hundred lines is no small feature any more.
_LINES = 400
# Where code may begin in an answer that mixes it with prose, and how many such places are tried.
_OPENING = re.compile(r"(import|from|def|class)\b|@")
_STARTS = 8
_DOCSTRING_CHARACTERS = 300
_DOCSTRING_WIDTH = 88


class Unusable(Exception):
    """An answer from which nothing can be used. The text is fit to be shown to the model that gave it."""


def extract(answer: str, function: str) -> str:
    """The module source in an answer that defines `function`; raises Unusable when there is none."""
    parts = [*_FENCE.findall(answer), answer]
    mentioned = [part for part in parts if re.search(rf"\bdef\s+{re.escape(function)}\s*\(", part)]
    if not mentioned:
        raise Unusable(f"the answer does not define a function named {function}")
    for part in mentioned:
        parsed = _longest_parse(part, function)
        if parsed is not None:
            return _definitions(*parsed, function)
    raise Unusable("the answer is not valid Python")


def _longest_parse(part: str, function: str) -> tuple[ast.Module, list[str]] | None:
    """The tree of the longest run of lines that is Python and defines `function`: prose around it is cut away."""
    lines = textwrap.dedent(part).splitlines()[:_LINES]
    starts = [0, *(number for number, line in enumerate(lines) if _OPENING.match(line))]
    for start in starts[:_STARTS]:
        for end in range(len(lines), start, -1):
            try:
                tree = ast.parse("\n".join(lines[start:end]))
            except (SyntaxError, ValueError):
                continue
            if _find(tree, function) is not None:
                return tree, lines[start:end]
            break
    return None


def _definitions(tree: ast.Module, lines: list[str], function: str) -> str:
    kept = [node for node in tree.body if isinstance(node, _KEPT) and not _is_example(node, function)]
    pieces = ["\n".join(lines[_first_line(node) - 1 : node.end_lineno]) for node in kept]
    return "\n\n".join(pieces).rstrip() + "\n"


def _is_example(node: ast.stmt, function: str) -> bool:
    """Whether an assignment tries the function out (`result = f(3)`) or asks somebody for input."""
    if not isinstance(node, (ast.Assign, ast.AnnAssign)):
        return False
    called = {call.func.id for call in ast.walk(node) if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)}
    return bool(called & {function, "input"})


def _first_line(node: ast.stmt) -> int:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return node.lineno


def _find(tree: ast.Module, function: str) -> ast.FunctionDef | None:
    return next((node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function), None)


def docstring_from(answer: str) -> str:
    """The first sentence or two of an answer, as docstring text; raises Unusable when it holds no sentence.

    A model that answers with the whole documented function has its docstring taken out of it.
    """
    quoted = re.search(r'("""|\'\'\')(.*?)(\1|\Z)', answer, re.DOTALL)
    words = quoted.group(2) if quoted else re.sub(r"```[^\n`]*\n?", "", answer)
    first = words.strip().split("\n\n")[0]
    line = re.sub(r"\s+", " ", first).strip().strip("\"'`").replace('"""', "'''").replace("\\", "/")
    if len(line) > _DOCSTRING_CHARACTERS:
        line = line[: _DOCSTRING_CHARACTERS + 1].rpartition(" ")[0].rstrip(",;:") + " ..."
    if len(re.findall(r"[A-Za-z]{2,}", line)) < 3 or re.match(r"(def|import|from|class|return)\b", line):
        raise Unusable(f"the answer holds no sentence: {answer.strip()[:60]!r}")
    return line if line[-1] in ".!?" else line + "."


def with_docstring(source: str, function: str, docstring: str) -> str:
    """`source` with `docstring` put into `function`, in place of one that may be there.

    The code is otherwise left as it is, and that is checked on the syntax tree: whatever a documenter says, it cannot
    change what the function does.
    """
    if _is_one_liner(_definition(source, function), source):
        # `def f(n): return n + 1` has no place for a docstring; the tree's own layout has one.
        source = ast.unparse(ast.parse(source)) + "\n"
    node, lines = _definition(source, function), source.splitlines()
    first = node.body[0]
    start = first.lineno - 1
    replaced = first.end_lineno or first.lineno
    existing = ast.get_docstring(node) is not None
    indent = lines[start][: len(lines[start]) - len(lines[start].lstrip())]
    rest = lines[replaced if existing else start :] if len(node.body) > existing else [indent + "pass"]
    documented = "\n".join([*lines[:start], *_docstring_lines(docstring, indent), *rest]) + "\n"
    if behaviour(documented) != behaviour(source):
        raise AssertionError("adding a docstring changed the code; this is a defect of the demo, not of the model")
    return documented


def _definition(source: str, function: str) -> ast.FunctionDef:
    node = _find(ast.parse(source), function)
    if node is None:
        raise ValueError(f"the source does not define {function}")
    return node


def _is_one_liner(node: ast.FunctionDef, source: str) -> bool:
    first = node.body[0]
    before = source.splitlines()[first.lineno - 1].encode()[: first.col_offset]
    return bool(before.strip()) or any(other.lineno == first.end_lineno for other in node.body[1:2])


def _docstring_lines(docstring: str, indent: str) -> list[str]:
    """The docstring as source lines; closing quotes stand alone under a docstring of several lines."""
    wrapped = textwrap.wrap(f'"""{_safe(docstring)}', _DOCSTRING_WIDTH - len(indent))
    closed = [f'{wrapped[0]}"""'] if len(wrapped) == 1 else [*wrapped, '"""']
    return [indent + line for line in closed]


def _safe(docstring: str) -> str:
    """Text that cannot end the docstring: a quote at its end would join the closing ones."""
    escaped = docstring.replace("\\", "\\\\").replace('"""', "'''")
    return f'{escaped[:-1]}\\"' if escaped.endswith('"') else escaped


def behaviour(source: str) -> str:
    """The syntax tree without docstrings, as text: equal for two sources that do the same by construction."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)
