"""Plain data into the schema's structs, with every problem named and not the first alone.

`msgspec.convert` stops at the first fault. Here each mapping of the schema is looked at on its own:
unknown and missing keys, then each value, down to the level of structs.
"""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from gridtie.config.problems import KeyPath, Problem, closest, listed
from gridtie.config.redact import is_secret_name, redacted

T = TypeVar("T")

_KEYS_BELONG = "keys belong into a file of their own, which `key_file: secrets/NAME` names"

_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", type(None): "nothing"}


def convert(data: Any, into: type[T]) -> tuple[T | None, list[Problem]]:
    """`data` as the struct `into`, or None and everything that is wrong with it."""
    problems = _struct(data, into, ())
    if problems:
        return None, problems
    return msgspec.convert(data, into), []


def _value(data: Any, want: Any, path: KeyPath) -> list[Problem]:
    origin, arguments = get_origin(want), get_args(want)
    if isinstance(want, type) and issubclass(want, msgspec.Struct):
        return _struct(data, want, path)
    if origin is dict and _is_struct(arguments[1]):
        if not isinstance(data, Mapping):
            return [_wrong(data, want, path)]
        return [problem for key, item in data.items() for problem in _value(item, arguments[1], (*path, key))]
    if origin in (list, tuple):
        if not isinstance(data, list):
            return [_wrong(data, want, path)]
        return [problem for at, item in enumerate(data) for problem in _value(item, arguments[0], (*path, at))]
    if _is_union(origin):
        return _union(data, want, path)
    try:
        msgspec.convert(data, want)
    except msgspec.ValidationError:
        return [_wrong(data, want, path)]
    return []


def _union(data: Any, want: Any, path: KeyPath) -> list[Problem]:
    """A union is judged as the member that has the shape of the data, so that a fault inside is found."""
    if data is None and type(None) in get_args(want):
        return []
    for member in get_args(want):
        shape = get_origin(member) or member
        if (isinstance(data, Mapping) and _is_struct(member)) or (isinstance(data, list) and shape is list):
            return _value(data, member, path)
    try:
        msgspec.convert(data, want)
    except msgspec.ValidationError:
        return [_wrong(data, want, path)]
    return []


def _struct(data: Any, want: type, path: KeyPath) -> list[Problem]:
    if not isinstance(data, Mapping):
        return [_wrong(data, want, path)]
    set_by_loader = getattr(want, "SET_BY_LOADER", ())
    fields = {field.name: field for field in msgspec.structs.fields(want) if field.name not in set_by_loader}
    hints = _hints(want)
    problems = [
        Problem(path=(*path, key), what="unknown key", fix=_instead(key, data, fields))
        for key in data
        if key not in fields
    ]
    for name, field in fields.items():
        if name in data:
            problems += _value(data[name], hints[field.name], (*path, name))
        elif field.required:
            problems.append(
                Problem(path=path, what=f'the key "{name}" is missing', fix=f"wanted: {wanted(hints[name])}")
            )
    return problems


@cache
def _hints(struct: type) -> dict[str, Any]:
    return get_type_hints(struct)


def _instead(key: str, data: Mapping[str, Any], fields: Mapping[str, Any]) -> str:
    """What to write in place of an unknown key."""
    if is_secret_name(key):
        where = "here" if "key_file" in fields else "at the provider"
        return f"{_KEYS_BELONG} {where}"
    return closest(key, [name for name in fields if name not in data]) or f"allowed here: {listed(fields)}"


def _wrong(data: Any, want: Any, path: KeyPath) -> Problem:
    secret = any(isinstance(step, str) and is_secret_name(step) for step in path)
    found = _kind(data) if secret else shown(data)
    fix = "" if secret else _remedy(data, want)
    if secret and _is_struct(want):  # `providers: {token: ...}`: no provider, but a key
        fix = f"{_KEYS_BELONG} at the provider"
    return Problem(path=path, what=f"found {found}, wanted {wanted(want)}", fix=fix)


def _remedy(data: Any, want: Any) -> str:
    """What was meant, where the value has the right text and the wrong type."""
    kinds = _kinds(want)
    if isinstance(data, str):
        if kinds & {int, float}:
            return _as_number(data)
        if bool in kinds and data.strip().lower() in ("true", "false", "yes", "no", "on", "off"):
            return f"write {'true' if data.strip().lower() in ('true', 'yes', 'on') else 'false'} without quotes"
        return closest(data, _choices(want))
    if str in kinds and isinstance(data, bool):
        return "put it in quotes if text is meant: YAML reads yes, no, on and off as true and false"
    return "put it in quotes if text is meant" if str in kinds and isinstance(data, int | float) else ""


def _as_number(text: str) -> str:
    try:
        number = float(text)
    except ValueError:
        begins = re.match(r"\s*[$€£+-]?\s*[0-9]", text)
        return "write the number alone, without a unit, a sign or separators" if begins else ""
    return f"write {number:.15g} without quotes" if abs(number) < 1e15 else ""


def _kinds(want: Any) -> set[type]:
    """The plain types that a value may have."""
    if get_origin(want) is Literal:
        return {type(choice) for choice in get_args(want)}
    if _is_union(get_origin(want)):
        return {kind for member in get_args(want) for kind in _kinds(member)}
    return {want} if isinstance(want, type) else set()


def _kind(data: Any) -> str:
    """A value's type alone, where it may be a secret."""
    if isinstance(data, str):
        return "text (not shown)"
    return "a number (not shown)" if isinstance(data, int | float) and not isinstance(data, bool) else shown(data)


def shown(data: Any) -> str:
    """A value as its writer knows it, cut to a line."""
    if isinstance(data, Mapping):
        return "a mapping"
    if isinstance(data, list):
        return "a list"
    if data is None:
        return "nothing"
    if isinstance(data, str) and ("\n" in data or "://" in data):
        return "text (not shown: of several lines, or a URL)"  # a PEM file, an address with a password
    text = str(data).lower() if isinstance(data, bool) else redacted(repr(data))
    return text if len(text) <= 60 else text[:57] + "..."


def wanted(want: Any) -> str:
    """A type in words: `one of dev, test`, `a list of text`."""
    origin, arguments = get_origin(want), get_args(want)
    if choices := _choices(want):
        return f"one of {listed(choices)}" if len(choices) > 1 else choices[0]
    if _is_union(origin):
        *firsts, last = (wanted(member) for member in arguments if member is not type(None))
        return f"{', '.join(firsts)} or {last}" if firsts else last
    if origin in (list, tuple):
        return "a list of " + wanted(arguments[0]).replace("a mapping", "mappings")
    if origin is dict or _is_struct(want):
        return "a mapping"
    return _WORDS.get(want, str(want))


def _choices(want: Any) -> list[str]:
    if get_origin(want) is Literal:
        return [str(choice) for choice in get_args(want)]
    if _is_union(get_origin(want)):
        return [choice for member in get_args(want) for choice in _choices(member)]
    return []


def _is_union(origin: Any) -> bool:
    return origin is Union or origin is types.UnionType


def _is_struct(want: Any) -> bool:
    return isinstance(want, type) and issubclass(want, msgspec.Struct)
