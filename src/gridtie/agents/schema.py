"""The subset of JSON Schema that agents are held to: building it, and checking an answer against it.

The engine is asked to constrain its output with the same schema (`response_format`), so that a check here fails only
where an answer was cut off or where an engine does not honour the schema. The subset is what llama.cpp's grammars and
the strict mode of cloud APIs both know: no `maxLength`, hence lengths are part of the patterns. Some engines write the
fields of an object in alphabetical order, so fields are named such that this is the order in which they make sense: a
reason before a verdict, arguments before what is wanted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]

# A short English sentence. Words are bounded so that a small model cannot fill its budget with one endless word, and
# their number so that it cannot ramble; 14 words of 16 characters are ample for one step of a plan.
SENTENCE = "^[A-Z][A-Za-z0-9_']{0,15}( [A-Za-z0-9_'()=+,-]{1,16}){2,13}\\.$"


class SchemaMismatch(Exception):
    """An answer that its schema does not allow. The text names the place, what was found and what was wanted."""


def text(pattern: str) -> Schema:
    """A string that matches `pattern`, which must be anchored at both ends."""
    return {"type": "string", "pattern": pattern}


def choice(*values: str) -> Schema:
    """One of a few fixed strings."""
    return {"type": "string", "enum": list(values)}


def integer(least: int, most: int) -> Schema:
    """A whole number between two bounds, both included."""
    return {"type": "integer", "minimum": least, "maximum": most}


def array(items: Schema, least: int, most: int) -> Schema:
    """A list of `least` to `most` elements."""
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


def record(**fields: Schema) -> Schema:
    """An object with exactly these fields, all required: what strict modes ask for."""
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


BOOLEAN: Schema = {"type": "boolean"}


def parse(answer: str, schema: Schema) -> Any:
    """The value of a JSON answer that holds to `schema`; raises SchemaMismatch otherwise."""
    try:
        value = json.loads(answer)
    except ValueError:
        ending = answer.strip()[-40:]
        raise SchemaMismatch(f"the answer is not complete JSON; it ends with {ending!r}") from None
    check(value, schema)
    return value


def check(value: Any, schema: Schema, where: str = "answer") -> None:
    """Raise SchemaMismatch at the first place where `value` does not hold to `schema`."""
    _CHECKS[schema["type"]](value, schema, where)


def _check_string(value: Any, schema: Schema, where: str) -> None:
    if not isinstance(value, str):
        raise SchemaMismatch(f"{where}: found {value!r}, wanted a string")
    if "enum" in schema and value not in schema["enum"]:
        raise SchemaMismatch(f"{where}: found {value!r}, wanted one of {', '.join(schema['enum'])}")
    if "pattern" in schema and re.search(schema["pattern"], value) is None:
        raise SchemaMismatch(f"{where}: found {value!r}, wanted text of the form {schema['pattern']}")


def _check_integer(value: Any, schema: Schema, where: str) -> None:
    # In Python True is an integer; in JSON it is not.
    if not isinstance(value, int) or isinstance(value, bool):
        raise SchemaMismatch(f"{where}: found {value!r}, wanted a whole number")
    if not schema["minimum"] <= value <= schema["maximum"]:
        raise SchemaMismatch(f"{where}: found {value}, wanted {schema['minimum']} to {schema['maximum']}")


def _check_boolean(value: Any, _schema: Schema, where: str) -> None:
    if not isinstance(value, bool):
        raise SchemaMismatch(f"{where}: found {value!r}, wanted true or false")


def _check_array(value: Any, schema: Schema, where: str) -> None:
    if not isinstance(value, list):
        raise SchemaMismatch(f"{where}: found {value!r}, wanted a list")
    if not schema["minItems"] <= len(value) <= schema["maxItems"]:
        wanted = f"{schema['minItems']} to {schema['maxItems']}"
        raise SchemaMismatch(f"{where}: found {len(value)} elements, wanted {wanted}")
    for number, item in enumerate(value):
        check(item, schema["items"], f"{where}[{number}]")


def _check_object(value: Any, schema: Schema, where: str) -> None:
    if not isinstance(value, dict):
        raise SchemaMismatch(f"{where}: found {value!r}, wanted an object")
    wanted: Sequence[str] = schema["required"]
    if sorted(value) != sorted(wanted):
        raise SchemaMismatch(f"{where}: found the fields {sorted(value)}, wanted exactly {sorted(wanted)}")
    for name, field in schema["properties"].items():
        check(value[name], field, f"{where}.{name}")


_CHECKS = {
    "string": _check_string,
    "integer": _check_integer,
    "boolean": _check_boolean,
    "array": _check_array,
    "object": _check_object,
}
