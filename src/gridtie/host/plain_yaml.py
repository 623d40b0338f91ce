"""Reads the part of YAML that the project's own catalogue is written in: a bare host has no library for all of it.

Block mappings and lists, flow mappings and lists (also over several lines), plain and quoted scalars, folded texts
(`>-`) and comments. What else YAML has is an error with its line, never a guess.
"""

from __future__ import annotations

import json
import re
from typing import Any, Optional

_KEY = re.compile(r"([\w./:-]+?):(?: +(.*))?$")
# A quoted text; a quote in the middle of a plain one is a letter.
_QUOTED = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:''|[^'])*'")
_NUMBER = re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?")
_CONSTANTS = {"true": True, "false": False, "null": None, "~": None}
# What begins something of YAML that is not read here.
_FOREIGN = tuple("&*!|>%@`?")


class PlainYamlError(ValueError):
    """The text is beyond what is read here; the message has the line."""


def parse_plain(text: str) -> Any:
    """The document as mappings, lists and scalars. Raises PlainYamlError."""
    lines = _Lines(text)
    found = _block(lines, 0)
    if lines.here is not None:
        raise lines.wrong("less indentation, or the end, was expected")
    return found


class _Lines:
    """The lines that say something: indentation and text, comments taken off."""

    def __init__(self, text: str) -> None:
        self._lines: list[tuple[int, int, str]] = []
        for number, line in enumerate(text.splitlines(), start=1):
            said = _uncommented(line).rstrip()
            if said.strip() and said != "---":
                self._lines.append((number, len(said) - len(said.lstrip(" ")), said.lstrip(" ")))
        self._at = 0

    @property
    def here(self) -> Optional[tuple[int, str]]:
        """Indentation and text of the line that is to be read; None at the end."""
        return self._lines[self._at][1:] if self._at < len(self._lines) else None

    def take(self) -> str:
        self._at += 1
        return self._lines[self._at - 1][2]

    def put_back(self, indent: int, text: str) -> None:
        """What stands behind a dash is read as a line of its own."""
        self._at -= 1
        self._lines[self._at] = (self._lines[self._at][0], indent, text)

    def wrong(self, wanted: str) -> PlainYamlError:
        number, _, text = self._lines[min(self._at, len(self._lines) - 1)]
        return PlainYamlError(f"line {number}: {wanted}, this is {text!r:.80}")


def _uncommented(line: str) -> str:
    """Without the comment at its end; a line of a folded text that has one is taken for one as well."""
    at = 0
    while at < len(line):
        begins = at == 0 or line[at - 1] in " [{,"
        if begins and (quoted := _QUOTED.match(line, at)):
            at = quoted.end()
        elif begins and line[at] == "#" and (at == 0 or line[at - 1] == " "):
            return line[:at]
        else:
            at += 1
    return line


def _block(lines: _Lines, least: int) -> Any:
    """What is indented by `least` or more; None where nothing is."""
    here = lines.here
    if here is None or here[0] < least:
        return None
    indent = here[0]
    if here[1][0] in "[{":
        return _value(lines, lines.take(), indent - 1)
    return _list(lines, indent) if here[1].startswith("-") else _mapping(lines, indent)


def _list(lines: _Lines, indent: int) -> list[Any]:
    found = []
    while lines.here is not None and lines.here[0] == indent and lines.here[1].startswith("- "):
        text = lines.take()
        inner = text[1:].lstrip(" ")
        if _KEY.match(inner):
            lines.put_back(indent + len(text) - len(inner), inner)
            found.append(_mapping(lines, indent + len(text) - len(inner)))
        else:
            found.append(_value(lines, inner, indent))
    return found


def _mapping(lines: _Lines, indent: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    while lines.here is not None and lines.here[0] == indent:
        match = _KEY.match(lines.here[1])
        if match is None or match[1] in found:
            raise lines.wrong("a key of its own was expected")
        lines.take()
        found[match[1]] = _value(lines, match[2] or "", indent)
    return found


def _value(lines: _Lines, text: str, indent: int) -> Any:
    """What stands behind a key or a dash, further lines of it included."""
    if not text:
        return _block(lines, indent + 1)
    if text == ">-":
        return " ".join(_deeper(lines, indent))
    if text[0] in "[{":
        while not _balanced(text):
            if lines.here is None:
                raise lines.wrong("the end of a list or mapping was expected")
            text += " " + lines.take()
        reader = _Flow(text, lines)
        found = reader.value()
        if reader.rest():
            raise lines.wrong("nothing was expected behind a list or mapping")
        return found
    if lines.here is not None and lines.here[0] > indent:
        raise lines.wrong("a text of one line was expected before")
    return _scalar(text, lines)


def _deeper(lines: _Lines, indent: int) -> list[str]:
    found = []
    while lines.here is not None and lines.here[0] > indent:
        found.append(lines.take())
    return found


def _balanced(text: str) -> bool:
    plain = _QUOTED.sub("", text)
    return plain.count("[") + plain.count("{") == plain.count("]") + plain.count("}")


class _Flow:
    """`{key: value, ...}` and `[value, ...]`, in one another."""

    def __init__(self, text: str, lines: _Lines) -> None:
        self._text, self._lines, self._at = text, lines, 0

    def rest(self) -> str:
        return self._text[self._at :].strip()

    def value(self) -> Any:
        self._skip()
        opened = self._text[self._at : self._at + 1]
        if opened == "{":
            return dict(self._items("}", self._pair))
        if opened == "[":
            return self._items("]", self.value)
        return _scalar(self._word(",]}"), self._lines)

    def _pair(self) -> tuple[str, Any]:
        key = self._word(":")
        self._at += 1
        return str(_scalar(key, self._lines)) if key[:1] in ("'", '"') else key, self.value()

    def _items(self, end: str, read: Any) -> list[Any]:
        self._at += 1
        found: list[Any] = []
        while True:
            self._skip()
            if self._at >= len(self._text):
                raise self._lines.wrong(f"{end!r} was expected before")
            if self._text[self._at] == end:
                self._at += 1
                return found
            found.append(read())
            self._skip()
            if self._text[self._at : self._at + 1] == ",":
                self._at += 1

    def _skip(self) -> None:
        while self._text[self._at : self._at + 1] == " ":
            self._at += 1

    def _word(self, ends: str) -> str:
        """Up to one of `ends`; quoted, up to the quote's end."""
        start = self._at
        if quoted := _QUOTED.match(self._text, start):
            self._at = quoted.end()
            return quoted[0]
        while self._at < len(self._text) and self._text[self._at] not in ends:
            self._at += 1
        return self._text[start : self._at].strip()


def _scalar(text: str, lines: _Lines) -> Any:
    if text[:1] == '"':
        try:
            return str(json.loads(text))
        except ValueError:
            raise lines.wrong('a text in "quotes" was expected before') from None
    if text[:1] == "'":
        if _QUOTED.fullmatch(text) is None:
            raise lines.wrong("a text in 'quotes' was expected before")
        return text[1:-1].replace("''", "'")
    if text.startswith(_FOREIGN) or ": " in text:
        raise lines.wrong(f"{text!r:.60} before is beyond what is read here; it")
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if number := _NUMBER.fullmatch(text):
        plain = text.replace("_", "")
        return float(plain) if number[1] else int(plain)
    return text
