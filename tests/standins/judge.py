"""What both stand-in dialects share: a request as it arrived, token counts, pieces, and JSON made to a schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Request:
    """One request as it arrived; `raw` is its body byte for byte."""

    number: int
    dialect: str
    method: str
    path: str
    headers: dict[str, str]
    raw: bytes
    body: dict[str, Any]


class Wrong(Exception):
    """A request that the real API would reject."""

    def __init__(self, status: int, type: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.type = type


def count_tokens(messages: Any) -> int:
    """A plausible count that depends on the prompt alone: about four bytes a token."""
    return max(1, len(json.dumps(messages)) // 4)


def pieces(text: str) -> Iterator[str]:
    """Text as a model streams it: a word with the space before it at a time."""
    return iter(re.findall(r"\s*\S+|\s+$", text))


def written(schema: dict[str, Any]) -> Any:
    """The plainest value that a JSON schema admits."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return written(schema["anyOf"][0])
    kind = schema.get("type", "object")
    if kind == "object":
        return {name: written(child) for name, child in schema.get("properties", {}).items()}
    if kind == "array":
        return [written(schema["items"])] if "items" in schema else []
    return {"string": "text", "integer": 1, "number": 1.5, "boolean": True}.get(kind)
