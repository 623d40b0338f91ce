"""JSON schemas as Anthropic's structured outputs take them.

They enforce a part of JSON Schema and answer 400 to the rest. An object that leaves `additionalProperties` out is
closed, as they demand: whatever the closed schema admits, the open one admits too. A keyword that would have to be
dropped is refused instead, so that a schema never holds less than the client thinks.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.types import Untranslatable

# "JSON Schema limitations" in Anthropic's guide to structured outputs, November 2026.
_UNSUPPORTED = {
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "maxItems", "uniqueItems", "contains", "prefixItems"),
    *("minProperties", "maxProperties", "patternProperties", "propertyNames"),
    *("oneOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "unevaluatedProperties"),
}
_NAMED_CHILDREN = ("properties", "$defs", "definitions")
_LISTED_CHILDREN = ("anyOf", "allOf")


def closed(schema: msgspec.Raw) -> dict[str, Any]:
    """The schema with its objects closed. Raises `Untranslatable`."""
    try:
        decoded = msgspec.json.decode(schema)
        if isinstance(decoded, dict):
            return _close(decoded)
    except UNREADABLE as error:
        raise Untranslatable(f"response_format.json_schema.schema cannot be read: {error}") from None
    raise Untranslatable("response_format.json_schema.schema is not an object; send a JSON schema")


def _close(schema: dict[str, Any]) -> dict[str, Any]:
    for keyword in sorted(_UNSUPPORTED & schema.keys()):
        raise _refused(keyword)
    if schema.get("minItems", 0) > 1:
        raise _refused("minItems")
    result = dict(schema)
    for keyword in _NAMED_CHILDREN:
        if isinstance(children := schema.get(keyword), dict):
            result[keyword] = {name: _child(child) for name, child in children.items()}
    for keyword in _LISTED_CHILDREN:
        if isinstance(children := schema.get(keyword), list):
            result[keyword] = [_child(child) for child in children]
    if "items" in schema:
        result["items"] = _child(schema["items"])
    if schema.get("type") == "object" or "properties" in schema:
        if schema.get("additionalProperties", False) is not False:
            raise _refused("additionalProperties")
        result["additionalProperties"] = False
    return result


def _child(schema: Any) -> Any:
    return _close(schema) if isinstance(schema, dict) else schema


def _refused(keyword: str) -> Untranslatable:
    return Untranslatable(
        f"Anthropic's structured outputs do not enforce the schema keyword {keyword!r}", needs="json_schema"
    )
