"""Plain data into the schema's structs, with every problem named and not the first alone.

`msgspec.convert` stops at the first fault. Here each mapping of the schema is looked at on its own:
unknown and missing keys, then each value, down to the level of structs.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from gridtie.config.problems import KeyPath, Problem, closest, listed

T = TypeVar("T")

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
    fields = {field.encode_name: field for field in msgspec.structs.fields(want)}
    hints = get_type_hints(want)
    problems = []
    for key in data:
        if key not in fields:
            fix = closest(key, [name for name in fields if name not in data]) or f"allowed here: {listed(fields)}"
            problems.append(Problem(path=(*path, key), what="unknown key", fix=fix))
    for name, field in fields.items():
        if name in data:
            problems += _value(data[name], hints[field.name], (*path, name))
        elif field.required:
            problems.append(
                Problem(path=path, what=f'the key "{name}" is missing', fix=f"wanted: {wanted(hints[name])}")
            )
    return problems


def _wrong(data: Any, want: Any, path: KeyPath) -> Problem:
    fix = ""
    if isinstance(data, str) and (choices := _choices(want)):
        fix = closest(data, choices)
    return Problem(path=path, what=f"found {shown(data)}, wanted {wanted(want)}", fix=fix)


def shown(data: Any) -> str:
    """A value as its writer knows it, cut to a line."""
    if isinstance(data, Mapping):
        return "a mapping"
    if isinstance(data, list):
        return "a list"
    if data is None:
        return "nothing"
    text = str(data).lower() if isinstance(data, bool) else repr(data)
    return text if len(text) <= 60 else text[:57] + "..."


def wanted(want: Any) -> str:
    """A type in words: `one of dev, test`, `a list of text`."""
    origin, arguments = get_origin(want), get_args(want)
    if choices := _choices(want):
        return f"one of {listed(choices)}" if len(choices) > 1 else choices[0]
    if _is_union(origin):
        return " or ".join(wanted(member) for member in arguments if member is not type(None))
    if origin in (list, tuple):
        return f"a list of {'mappings' if _is_struct(arguments[0]) else wanted(arguments[0])}"
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
