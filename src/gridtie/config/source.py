"""YAML text into plain data that remembers the line of every key.

Stricter than YAML: a repeated key, a key that is no plain text, a custom tag and a merge key are
problems, and aliases are bounded, so that a small file cannot grow into a large one.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import yaml

from gridtie.config.problems import ConfigError, KeyPath, Problem
from gridtie.config.redact import is_secret_name

# A routing file of a large team has some hundred lines. A megabyte is a wrong file, and would
# hold up a reload.
MAX_BYTES = 1024 * 1024
# Nodes after aliases are followed: nine levels of nine aliases would otherwise make 400 million.
MAX_NODES = 50_000
# The schema is 5 levels deep; an alias to its own parent would have no end.
MAX_DEPTH = 32

# A number that everybody reads as YAML does. YAML 1.1 knows more: 010 is 8, 0x10 is 16, 1:30 is 90, 1_0 is 10.
_NUMBER = re.compile(
    r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", re.IGNORECASE
)
# Digits of a whole number: no size, count or time has more, and beyond them floats lose digits.
_MAX_DIGITS = 15

# Tags that people write here because other tools know them; others are not shown, for a value may begin with a !.
_KNOWN_TAGS = frozenset({"!vault", "!include", "!secret", "!env", "!ENV", "!reference"})

_PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp"))


class Source(msgspec.Struct, frozen=True):
    """A file's plain data and where each key of it stands."""

    file: str
    data: Any
    lines: dict[KeyPath, int]

    def locate(self, problem: Problem) -> Problem:
        """The same problem with file and line: of its key, or of the nearest one above it."""
        path = problem.path
        while path and path not in self.lines:
            path = path[:-1]
        return msgspec.structs.replace(problem, file=self.file, line=self.lines.get(path))


def read_bytes(path: Path) -> bytes:
    """A file's bytes, at most `MAX_BYTES` and one more. Raises `ConfigError`."""
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        fix = "the file must exist and be readable"
        raise _error(str(path), f"cannot be read: {error.strerror}", fix=fix) from error


def parse(raw: bytes, file: str) -> Source:
    """Parse YAML text; `file` is only for messages. Raises `ConfigError`."""
    if len(raw) > MAX_BYTES:
        raise _error(file, f"larger than {MAX_BYTES // 1024} KiB", fix="is this the right file?")
    if b"\0" in raw:  # UTF-16 without a mark at its head
        raise _error(file, "not UTF-8 text", raw.count(b"\n", 0, raw.index(b"\0")) + 1, "save it as UTF-8")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _error(file, "not UTF-8 text", line, "save it as UTF-8") from error
    try:
        return _build(text, file)
    except yaml.MarkedYAMLError as error:
        raise _error(file, *(_merge(text) or _syntax(error, text))) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _error(file, "not YAML: it holds a control character", line, "remove it") from error
    except yaml.YAMLError as error:
        raise _error(file, "not YAML") from error
    except RecursionError as error:
        raise _error(file, f"nested deeper than {MAX_DEPTH} levels", fix="is this the right file?") from error


def _build(text: str, file: str) -> Source:
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()  # None for an empty file
        builder = _Builder(loader, file)
        data = builder.plain(node, (), 0) if node is not None else {}
    finally:
        loader.dispose()
    if builder.problems:
        raise ConfigError(builder.problems)
    return Source(file, data, builder.lines)


def _error(file: str, what: str, line: int | None = None, fix: str = "") -> ConfigError:
    return ConfigError([Problem(file=file, line=line, what=what, fix=fix)])


def _merge(text: str) -> tuple[str, int, str] | None:
    """What it means that git left both versions of some lines in the file; None where it did not."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("<<<<<<< "):
            return "git could not merge these lines", number, "keep one version of them, without git's marks"
    return None


def _syntax(error: yaml.MarkedYAMLError, text: str) -> tuple[str, int | None, str]:
    """What a scanner or parser error means, in the words of somebody who edits the file."""
    mark = error.problem_mark or error.context_mark
    line = None if mark is None else mark.line + 1
    # Names in quotes are the file's own words, and one of them may be a password that begins with * or !.
    problem = re.sub(r"\s*'(?!<)[^']{2,}'", "", error.problem or "it cannot be read")
    if line is not None and "\t" in "".join(text.splitlines()[line - 1 : line]):
        return "a tab where YAML wants spaces", line, "indent with spaces"
    context = f"{error.context}, " if error.context else ""
    return f"not YAML: {context}{problem}", line, "check indentation, colons and quotes there"


class _Builder:
    """Nodes to plain data; gathers problems instead of stopping at the first."""

    def __init__(self, loader: yaml.SafeLoader, file: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self.problems: list[Problem] = []
        self._loader = loader
        self._file = file
        self._nodes = 0

    def plain(self, node: yaml.Node, path: KeyPath, depth: int) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _error(self._file, f"more than {MAX_NODES} values once aliases are followed", fix="remove aliases")
        if depth > MAX_DEPTH:
            raise RecursionError
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.plain(child, (*path, index), depth + 1) for index, child in enumerate(node.value)]
        if node.tag not in _PLAIN_TAGS:
            known = node.tag in _KNOWN_TAGS or node.tag.startswith("tag:yaml.org,2002:")
            tag = f"the tag {node.tag}" if known else "a tag (a value that begins with !)"
            self._problem(node, path, f"{tag} is not known here", "write a plain value, in quotes if it begins with !")
            return None
        return self._scalar(node, path)

    def _scalar(self, node: yaml.Node, path: KeyPath) -> Any:
        try:
            value = self._loader.construct_object(node)
        # What PyYAML raises for "!!int x", "!!bool x", "!!timestamp x", "!!int ''", and a date such as 2026-13-45.
        except (ValueError, KeyError, AttributeError, IndexError):
            self._problem(node, path, f"{_value(node, path)} is not a value that YAML can read", "quote it")
            return None
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self._number(node, value, path)
        # A date that nobody asked for: the text as it was written is what was meant.
        return value if isinstance(value, str | bool | None) else node.value

    def _number(self, node: yaml.Node, value: float, path: KeyPath) -> float | None:
        if isinstance(value, int) and len(str(abs(value))) > _MAX_DIGITS:
            what = f"found a number of more than {_MAX_DIGITS} digits"
            self._problem(node, path, what, "write a smaller one, or quote it if it is a name")
            return None
        if _NUMBER.fullmatch(node.value):
            return value
        if _secret(path):
            what, plain = "found a number that YAML reads otherwise than it is written", "it in quotes"
        else:
            what, plain = f"found {node.value}, which YAML reads as {value:g}", _meant(node.value, value)
        self._problem(node, path, what, f"write {plain}; in quotes it is text")
        return None

    def _mapping(self, node: yaml.MappingNode, path: KeyPath, depth: int) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                self._problem(key_node, path, "merge keys (<<) are not supported", "write the keys out")
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                self._problem(key_node, path, "a key must be plain text", "write it as `name: value`")
                continue
            # The text as written: `on:` and `1:` are names here, not a boolean and a number.
            key = key_node.value
            here = (*path, key)
            if key in data:
                first = self.lines[here]
                self._problem(key_node, here, f"the key is already given in line {first}", "keep one of the two")
                continue
            self.lines[here] = key_node.start_mark.line + 1
            data[key] = self.plain(value_node, here, depth + 1)
        return data

    def _problem(self, node: yaml.Node, path: KeyPath, what: str, fix: str) -> None:
        line = node.start_mark.line + 1
        self.problems.append(Problem(file=self._file, line=line, path=path, what=what, fix=fix))


def _secret(path: KeyPath) -> bool:
    return any(isinstance(step, str) and is_secret_name(step) for step in path)


def _value(node: yaml.Node, path: KeyPath) -> str:
    text = repr(node.value)
    return "the value" if _secret(path) or len(text) > 60 else text


def _meant(text: str, value: float) -> str:
    """The number without its disguise: both of them where 010 may be ten or eight."""
    decimal = re.fullmatch(r"([-+]?)0+([1-9][0-9]*)", text)
    return f"{decimal[1]}{decimal[2]} (or {value:g}, if that is meant)" if decimal else f"{value:.15g}"
