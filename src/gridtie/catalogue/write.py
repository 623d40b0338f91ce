"""Writes entries of config/models.yaml as people write them there, so that a new one is a diff that can be reviewed."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from gridtie.host.catalogue import parse

WIDTH = 120
# From here on figures are grouped, as 6_740_000_000.
_LONG = 1_000_000


# The order of an entry's keys.
KEYS = (
    *("name", "title", "maker", "note", "license", "parameters", "active_parameters", "own_header", "engines"),
    *("shape_source", "shape", "file", "scores", "speeds", "flags", "capabilities", "purposes", "sources"),
)
_ENTRY = "  - name: "


def add_entry(path: Path, document: Mapping[str, Any], after: str = "") -> None:
    """Put a model's entry behind the one called `after`, else behind the last. Raises CatalogueError, OSError, and
    ValueError where there is no such entry.
    """
    head, entries, tail = _parts(path)
    at = _place(path, entries, after) if after else len(entries) - 1
    entries.insert(at + 1, entry_text(document))
    _write(path, head, entries, tail)


def replace_entry(path: Path, name: str, document: Mapping[str, Any]) -> None:
    """Write that model's entry anew. Raises as `add_entry` does."""
    head, entries, tail = _parts(path)
    entries[_place(path, entries, name)] = entry_text(document)
    _write(path, head, entries, tail)


def entry_text(document: Mapping[str, Any]) -> str:
    """One model's entry, as an item of the list below `models:`."""
    known = [key for key in KEYS if key in document]
    ordered = [*known, *(key for key in document if key not in known)]
    lines = [line for key in ordered for line in _lines(key, document[key], 4)]
    return "  - " + "\n".join(lines)[4:] + "\n"


def _parts(path: Path) -> tuple[str, list[str], str]:
    """What is before the entries, each entry with its line end, and what is behind them."""
    head, mark, rest = path.read_text(encoding="utf-8").partition("\nmodels:\n")
    models, behind, references = rest.partition("\nreferences:\n")
    first, *others = models.rstrip("\n").split("\n\n" + _ENTRY)
    return head + mark, [first + "\n", *(_ENTRY + other + "\n" for other in others)], behind + references


def _place(path: Path, entries: Sequence[str], name: str) -> int:
    for at, entry in enumerate(entries):
        if entry.startswith(f"{_ENTRY}{name}\n"):
            return at
    raise ValueError(f"{path} has no model {name!r}")


def _write(path: Path, head: str, entries: Sequence[str], tail: str) -> None:
    written = head + "\n".join(entries) + tail
    parse(yaml.safe_load(written))
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(written, encoding="utf-8")
    draft.replace(path)


def _lines(key: str, value: Any, indent: int) -> list[str]:
    """`key: value` in one line where that is short enough, else what it holds below each other."""
    space = " " * indent
    if key in ("note", "own_header") and isinstance(value, str):
        room = WIDTH - indent - 2
        return [
            f"{space}{key}: >-",
            *(f"{space}  {line}" for line in textwrap.wrap(value, room, break_on_hyphens=False)),
        ]
    if isinstance(value, Mapping):
        flow = f"{space}{key}: {_flow(value)}"
        if key != "shape" and len(flow) <= WIDTH:
            return [flow]
        return [f"{space}{key}:", *(line for name, each in value.items() for line in _lines(name, each, indent + 2))]
    if isinstance(value, Sequence) and not isinstance(value, str) and value and isinstance(value[0], Mapping):
        return [f"{space}{key}:", *(line for item in value for line in _item(item, indent + 2))]
    line = f"{space}{key}: {_flow(value)}"
    if len(line) <= WIDTH or isinstance(value, str) or not isinstance(value, Sequence):
        return [line]
    return [f"{space}{key}:", *textwrap.wrap(f"{space}  {_flow(value)}", WIDTH, subsequent_indent=f"{space}   ")]


def _item(item: Mapping[str, Any], indent: int) -> list[str]:
    space = " " * indent
    only = next(iter(item.items())) if len(item) == 1 else None
    if only is not None:
        key, value = only[0], _flow(only[1])
        line = f"{space}- {key}: {value}"
        return [line] if len(line) <= WIDTH else [f"{space}- {key}:", f"{space}    {value}"]
    flow = f"{space}- {_flow(item)}"
    if len(flow) <= WIDTH:
        return [flow]
    lines = [line for key, value in item.items() for line in _wrapped(key, value, indent + 2)]
    return [f"{space}- {lines[0].lstrip()}", *lines[1:]]


def _wrapped(key: str, value: Any, indent: int) -> list[str]:
    line = f"{' ' * indent}{key}: {_flow(value)}"
    if len(line) <= WIDTH or not isinstance(value, str):
        return [line]
    body = textwrap.wrap(value, WIDTH - indent - 2, break_on_hyphens=False)
    return [f"{' ' * indent}{key}: >-", *(f"{' ' * (indent + 2)}{part}" for part in body)]


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value >= _LONG:
        return f"{value:_}"
    return str(value)


def _text(value: str) -> str:
    """Bare where YAML reads it as that text, also within a list in brackets, else in double quotes."""
    if any(letter in value for letter in ',[]{}#"\n') or value != value.strip():
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    try:
        plain = yaml.safe_load(f"[{value}]") == [value]
    except yaml.YAMLError:
        plain = False
    return value if plain else f'"{value}"'
