"""How one client's settings get into a file, and out of it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Protocol, Sequence

from . import json_settings, marked
from .marked import CannotEdit
from .wiring import Wiring


class Format(Protocol):
    """A way to edit a file; both functions raise CannotEdit and change nothing themselves."""

    def put_in(self, text: str, wiring: Wiring) -> str:
        """The file's text with the client's settings in it; `text` is empty where there is no file."""
        ...

    def take_out(self, text: str, wiring: Wiring, before: str) -> str:
        """The file's text without them, where a person changed it after they were written. `before` is the original."""
        ...


@dataclass(frozen=True)
class Json:
    """A JSON object, into which `settings` are merged."""

    settings: Callable[[Wiring], Mapping[str, Any]]

    def put_in(self, text: str, wiring: Wiring) -> str:
        """As `Format`."""
        return json_settings.merged(text, self.settings(wiring))

    def take_out(self, text: str, wiring: Wiring, before: str) -> str:
        """As `Format`."""
        return json_settings.taken_out(text, self.settings(wiring), before)


@dataclass(frozen=True)
class Lines:
    """Lines that stand alone: `head` before everything else, `tail` behind it, contradictions set aside.

    `replaces` are the settings of the file's top level that ours take the place of, `assign` what stands behind a name.
    """

    head: Callable[[Wiring], Sequence[str]]
    tail: Callable[[Wiring], Sequence[str]] = lambda _: ()
    replaces: Sequence[str] = ()
    assign: str = ":"

    def put_in(self, text: str, wiring: Wiring) -> str:
        """As `Format`."""
        text = marked.whole_lines(marked.without(text))
        top, rest = _above_tables(text) if self.assign == "=" else (text, "")
        if self.replaces:
            names = "|".join(re.escape(name) for name in self.replaces)
            top = marked.set_aside(top, rf"({names})\s*{self.assign}")
        tail = self.tail(wiring)
        head = self.head(wiring)
        return (marked.block(head) if head else "") + top + rest + (marked.block(tail) if tail else "")

    def take_out(self, text: str, wiring: Wiring, before: str) -> str:
        """As `Format`."""
        return marked.without(text)


@dataclass(frozen=True)
class YamlList:
    """Items at the beginning of the list `name`; `fresh` is what a new file has above it."""

    name: str
    items: Callable[[Wiring], Sequence[str]]
    fresh: Sequence[str] = ()

    def put_in(self, text: str, wiring: Wiring) -> str:
        """As `Format`."""
        text = marked.whole_lines(marked.without(text))
        items = self.items(wiring)
        if not text.strip():
            return "".join(f"{line}\n" for line in (*self.fresh, f"{self.name}:")) + marked.block(items, "  ")
        lines = text.splitlines(keepends=True)
        at = next((n for n, line in enumerate(lines) if re.match(rf"{self.name}\s*:", line)), None)
        if at is None:
            return text + marked.block((f"{self.name}:", *(f"  {item}" for item in items)))
        if not re.fullmatch(rf"{self.name}\s*:\s*(#.*)?\n", lines[at]):
            raise CannotEdit(f'"{self.name}:" is not followed by a list of one line for each item; add ours by hand')
        below = next((line for line in lines[at + 1 :] if line.strip() and not line.lstrip().startswith("#")), "")
        found = re.match(r"(\s*)- ", below)
        if below and not found and not below[:1].strip():
            raise CannotEdit(f'what follows "{self.name}:" is no list; add ours by hand')
        return "".join([*lines[: at + 1], marked.block(items, found[1] if found else "  "), *lines[at + 1 :]])

    def take_out(self, text: str, wiring: Wiring, before: str) -> str:
        """As `Format`."""
        return marked.without(text)


@dataclass(frozen=True)
class Variables:
    """A file of shell variables that is the client's alone, to be sourced."""

    values: Callable[[Wiring], Mapping[str, str]]

    def put_in(self, text: str, wiring: Wiring) -> str:
        """As `Format`."""
        return "".join(f"export {name}={_quoted(value)}\n" for name, value in self.values(wiring).items())

    def take_out(self, text: str, wiring: Wiring, before: str) -> str:
        """As `Format`."""
        raise CannotEdit("it is this program's own file and was changed; copy what you need of it and remove it")


def _above_tables(text: str) -> tuple[str, str]:
    """A TOML file before its first table, and from there on."""
    found = re.search(r"^\s*\[", text, re.MULTILINE)
    return (text[: found.start()], text[found.start() :]) if found else (text, "")


def _quoted(value: str) -> str:
    # The values are addresses, keys, names and numbers.
    return value if re.fullmatch(r"[A-Za-z0-9_./:@%+-]+", value) else json.dumps(value)
