"""Tool calls of a model that is held to a schema: the schema made of a request's tools, and the words beside it.

For models that answer in prose when they are shown tools (`smollm2-tools`, decision 0039). What is written is one of
`{"name": ..., "arguments": {...}}`, a call, and `{"answer": ...}`, plain words, which a demanded call leaves out.

The grammar that llama.cpp makes of a schema knows a part of JSON Schema, and small models write without an end. So
arguments are held to less than a tool allows: required properties alone, bounded strings and lists. What satisfies that
satisfies the tool's own schema, apart from `pattern`, `format`, `not` and the like, which are left to the model.
"""

from __future__ import annotations

import json
from typing import Any, Mapping, Optional, Sequence

# Characters of an argument and of an answer in words: enough for a path or a sentence, few enough to come to an end.
LONGEST, LONGEST_ANSWER = 80, 400
_MOST_ITEMS = 3
# What a tool may demand beyond that. llama.cpp writes a repetition out, up to 2,000 times a rule, and refuses more.
MOST_DEMANDED_ITEMS, MOST_DEMANDED_LENGTH = 64, 400
# Characters of what every `$ref` of a request's tools means, each as often as it is followed. A schema that refers to
# itself in many places grows with every level; tools of agents come to some ten thousand.
MOST_REFERRED = 1_000_000
# Levels of a schema that are followed; deeper ones, and those that contain themselves, become short strings.
_DEEPEST = 8

_TEXT = {"type": "string", "maxLength": LONGEST}


class TooMuchDemanded(ValueError):
    """Tools want more than a grammar is written for; the message says what, with the keyword where it is one."""


def schema_of(functions: Sequence[Mapping[str, Any]], demanded: bool) -> dict[str, Any]:
    """The schema of one call of one of the functions (`name`, `parameters`), or of words where none is `demanded`.

    Raises TooMuchDemanded.
    """
    referred = _Referred()
    calls = [_object({"name": {"const": each["name"]}, "arguments": _arguments(each, referred)}) for each in functions]
    words = [] if demanded else [_object({"answer": {"type": "string", "maxLength": LONGEST_ANSWER}})]
    return {"oneOf": [*calls, *words]}


def instructions(functions: Sequence[Mapping[str, Any]], demanded: bool) -> str:
    """What the model is told, in the manner of Hermes 2 Pro: the functions, and in which form to answer."""
    listed = "\n".join(json.dumps(each, ensure_ascii=False) for each in functions)
    otherwise = "" if demanded else ' or, to say something, {"answer": "..."}'
    return (
        f"You can call functions. These are there, each described by a JSON schema:\n<tools>\n{listed}\n</tools>\n"
        f'Answer with JSON alone: {{"name": "...", "arguments": {{...}}}} calls one{otherwise}.'
    )


def read(text: str) -> Optional[tuple[str, Any]]:
    """A function's name with its arguments, or "" with the answer in words; None where the text is neither."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    if isinstance(said.get("name"), str) and isinstance(said.get("arguments"), dict):
        return said["name"], said["arguments"]
    return ("", said["answer"]) if isinstance(said.get("answer"), str) else None


def arguments_of(function: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a function's arguments, as far as a model is held to it. Raises TooMuchDemanded."""
    return _arguments(function, _Referred())


class _Referred:
    """How much the tools of one request have referred to."""

    def __init__(self) -> None:
        self._left = MOST_REFERRED

    def take(self, schema: Any) -> None:
        """Raises TooMuchDemanded."""
        self._left -= len(json.dumps(schema))
        if self._left < 0:
            raise TooMuchDemanded(f"what $ref means in them comes to more than {MOST_REFERRED} characters")


def _arguments(function: Mapping[str, Any], referred: _Referred) -> dict[str, Any]:
    parameters = function.get("parameters")
    held = _held(parameters, parameters, 0, referred) if isinstance(parameters, dict) else _object({})
    return held if held.get("type") == "object" else _object({})


def _held(schema: Any, root: Any, depth: int, referred: _Referred) -> dict[str, Any]:
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return _TEXT
    if isinstance(schema.get("$ref"), str):
        meant = _meant(schema["$ref"], root)
        referred.take(meant)
        return _held(meant, root, depth + 1, referred)
    if "const" in schema:
        return {"const": schema["const"]}
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return {"enum": schema["enum"]}
    for name in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(name), list) and schema[name] and "properties" not in schema:
            # The first is as good as any; `null` says nothing.
            choices = [each for each in schema[name] if each != {"type": "null"}] or schema[name]
            return _held(choices[0], root, depth + 1, referred)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    if kind == "object" or (kind is None and "properties" in schema):
        return _held_object(schema, root, depth, referred)
    if kind == "array":
        least = _least(schema, "minItems", MOST_DEMANDED_ITEMS)
        most = max(least, min(_number(schema, "maxItems", _MOST_ITEMS), _MOST_ITEMS))
        items = _held(schema.get("items"), root, depth + 1, referred)
        return {"type": "array", "items": items, "minItems": least, "maxItems": most}
    if kind == "string":
        least = _least(schema, "minLength", MOST_DEMANDED_LENGTH)
        most = max(least, min(_number(schema, "maxLength", LONGEST), LONGEST))
        return {"type": "string", "minLength": least, "maxLength": most} if least else {**_TEXT, "maxLength": most}
    if kind == "integer":
        bounds = {name: schema[name] for name in ("minimum", "maximum") if type(schema.get(name)) is int}
        return {"type": "integer", **bounds}
    return {"type": kind} if kind in ("number", "boolean", "null") else _TEXT


def _held_object(schema: Mapping[str, Any], root: Any, depth: int, referred: _Referred) -> dict[str, Any]:
    """With what is required; where nothing is, with its first property: a call without arguments says little."""
    given = schema.get("properties")
    properties: dict[str, Any] = given if isinstance(given, dict) else {}
    asked = schema.get("required")
    names = [name for name in asked if isinstance(name, str)] if isinstance(asked, list) else []
    required = [name for name in dict.fromkeys(names) if name in properties] or list(properties)[:1]
    return _object({name: _held(properties[name], root, depth + 1, referred) for name in required})


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _meant(reference: str, root: Any) -> Any:
    """What a reference within the same schema means; None for any other."""
    found = root
    for part in reference.removeprefix("#").strip("/").split("/") if reference.startswith("#") else ("",):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _least(schema: Mapping[str, Any], name: str, most: int) -> int:
    """Fewer would break the tool's own schema, so that more than `most` is not cut to it."""
    found = max(0, _number(schema, name, 0))
    if found > most:
        raise TooMuchDemanded(f"{name} is above {most}, the most that a call of this model is held to")
    return found


def _number(schema: Mapping[str, Any], name: str, default: int) -> int:
    """JSON Schema takes 3.0 for a whole number as well."""
    found = schema.get(name)
    if isinstance(found, float) and found.is_integer():
        return int(found)
    return found if isinstance(found, int) and not isinstance(found, bool) else default
