"""How one client's settings get into a file, and out of it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Callable, List, Mapping, Protocol, Sequence, Set, Tuple

from . import json_settings, marked, yaml_lines
from .marked import CannotEdit
from .toml_lines import Statement, statements
from .wiring import Wiring


class Format(Protocol):
    """A way to edit a file; the first two raise CannotEdit, and nothing is changed by any of them."""

    def put_in(self, text: str, wiring: Wiring) -> str:
        """The file's text with the client's settings in it; `text` is empty where there is no file."""
        ...

    def take_out(self, text: str, wiring: Wiring, before: str) -> str:
        """The file's text without them, where a person changed it after they were written. `before` is the original."""
        ...

    def alike(self, text: str, before: str) -> bool:
        """Whether what is left without them says what the original did."""
        ...


class _Text:
    """Files that people write: every letter of them is theirs."""

    def alike(self, text: str, before: str) -> bool:
        """As `Format`."""
        return text == before


@dataclass(frozen=True)
class Json:
    """A JSON object, into which `settings` are merged. What stands at the path `own` is ours as a whole."""

    settings: Callable[[Wiring], Mapping[str, Any]]
    own: Sequence[str] = ()

    def put_in(self, text: str, wiring: Wiring) -> str:
        """As `Format`."""
        return json_settings.merged(text, self.settings(wiring))

    def take_out(self, text: str, wiring: Wiring, before: str) -> str:
        """As `Format`."""
        return json_settings.taken_out(text, self.settings(wiring), before, self.own, wiring.key)

    def alike(self, text: str, before: str) -> bool:
        """As `Format`; the program that writes the file orders and completes it."""
        return json_settings.alike(text, before)


@dataclass(frozen=True)
class Lines(_Text):
    """YAML: settings before everything else, or items behind it; settings of the top level that say otherwise are set
    aside.
    """

    head: Callable[[Wiring], Sequence[str]]
    tail: Callable[[Wiring], Sequence[str]] = lambda _: ()
    replaces: Sequence[str] = ()

    def put_in(self, text: str, wiring: Wiring) -> str:
        """As `Format`."""
        text = marked.editable(text)
        head, tail = self.head(wiring), self.tail(wiring)
        yaml_lines.check(text, "list" if tail else "mapping")
        if self.replaces:
            text = marked.set_aside(text, yaml_lines.settings(text, self.replaces))
        lines, at = marked.split(text), yaml_lines.begins(text)
        above, below = "".join(lines[:at]), "".join(lines[at:])
        return above + (marked.block(head) if head else "") + below + (marked.block(tail) if tail else "")

    def take_out(self, text: str, wiring: Wiring, before: str) -> str:
        """As `Format`."""
        return marked.without(text)


@dataclass(frozen=True)
class Toml(_Text):
    """Settings before everything else and the table `table` behind it; what says otherwise is set aside."""

    head: Callable[[Wiring], Sequence[str]]
    tail: Callable[[Wiring], Sequence[str]]
    replaces: Sequence[str]
    table: Tuple[str, ...]

    def put_in(self, text: str, wiring: Wiring) -> str:
        """As `Format`."""
        text = marked.editable(text)
        aside: Set[int] = set()
        for each in statements(text):
            if self._ours(each):
                aside.update(range(each.first, each.after))
            elif not each.head and each.name[:1] == self.table[:1] and len(each.name) < len(self.table):
                raise CannotEdit(f'"{self.table[0]}" is written on one line, as no table; add ours by hand')
        return marked.block(self.head(wiring)) + marked.set_aside(text, aside) + marked.block(self.tail(wiring))

    def take_out(self, text: str, wiring: Wiring, before: str) -> str:
        """As `Format`."""
        return marked.without(text, self._theirs)

    def _theirs(self, inside: List[str]) -> List[str]:
        """A program that adds to the file writes behind its last setting, which is before the mark of our end."""
        kept = [each for each in statements("".join(inside)) if not self._ours(each)]
        return [line for each in kept for line in inside[each.first : each.after]]

    def _ours(self, found: Statement) -> bool:
        replaced = not found.head and len(found.name) == 1 and found.name[0] in self.replaces
        return replaced or found.name[: len(self.table)] == self.table


@dataclass(frozen=True)
class YamlList(_Text):
    """Items at the beginning of the list `name`; `fresh` is what a new file has above it."""

    name: str
    items: Callable[[Wiring], Sequence[str]]
    fresh: Sequence[str] = ()

    def put_in(self, text: str, wiring: Wiring) -> str:
        """As `Format`."""
        text = marked.editable(text)
        items = self.items(wiring)
        if not text.strip():
            return "".join(f"{line}\n" for line in (*self.fresh, f"{self.name}:")) + marked.block(items, "  ")
        yaml_lines.check(text, "mapping")
        lines = marked.split(text)
        at = next((n for n, line in enumerate(lines) if re.match(rf"""(["']?){self.name}\1\s*:""", line)), None)
        if at is None:
            return text + marked.block((f"{self.name}:", *(f"  {item}" for item in items)))
        if not re.fullmatch(rf"{self.name}\s*:\s*(#.*)?\n", lines[at]):
            raise CannotEdit(f'"{self.name}:" is not followed by a list of one line for each item; add ours by hand')
        below = next((line for line in lines[at + 1 :] if line.strip() and not line.lstrip().startswith("#")), "")
        found = re.match(r"( *)-\s", below)
        if below and not found and not below[:1].strip():
            raise CannotEdit(f'what follows "{self.name}:" is no list; add ours by hand')
        return "".join([*lines[: at + 1], marked.block(items, found[1] if found else "  "), *lines[at + 1 :]])

    def take_out(self, text: str, wiring: Wiring, before: str) -> str:
        """As `Format`."""
        head = f"{self.name}:\n"
        followed = re.search(rf"^{re.escape(marked.END)}\s*\n[ \t]*-\s", text, re.MULTILINE)
        return marked.without(text, lambda inside: [head] if followed and head in inside else [])


@dataclass(frozen=True)
class Variables(_Text):
    """A file of shell variables that is the client's alone, to be sourced."""

    values: Callable[[Wiring], Mapping[str, str]]

    def put_in(self, text: str, wiring: Wiring) -> str:
        """As `Format`."""
        return "".join(f"export {name}={_quoted(value)}\n" for name, value in self.values(wiring).items())

    def take_out(self, text: str, wiring: Wiring, before: str) -> str:
        """As `Format`."""
        ours = marked.split(self.put_in("", wiring))
        return "".join(line for line in marked.split(text) if line not in ours)


def _quoted(value: str) -> str:
    # The values are addresses, keys, names and numbers.
    return value if re.fullmatch(r"[A-Za-z0-9_./:@%+-]+", value) else json.dumps(value)
