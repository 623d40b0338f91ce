"""A client's request without its texts: the structure stays, each text is filler of the same length."""

from __future__ import annotations

import json
from typing import Any

_FILLER = "filler "
# What is no text of theirs: the protocol's own words, and names by which parts of a request refer to each other.
_WORDS = frozenset(
    (
        *("type", "role", "name", "id", "call_id", "tool_call_id", "tool_use_id", "format", "effort", "media_type"),
        *("tool_choice", "namespace", "status", "object", "verbosity", "ttl", "display", "keep"),
    )
)
_LISTS = frozenset(("required", "enum", "include", "allowed_callers"))
_HEADERS = frozenset(("content-type", "content-encoding", "accept", "anthropic-version", "anthropic-beta"))
_CONNECTION = frozenset(("host", "connection", "content-length", "transfer-encoding", "accept-encoding", "user-agent"))
_KEYS = ("authorization", "x-api-key")


def filler(length: int) -> str:
    """So many bytes that say nothing."""
    return (_FILLER * (length // len(_FILLER) + 1))[:length]


def filled(value: Any, field: str = "") -> Any:
    """A JSON value without its texts. The model is `MODEL`; a call's arguments stay JSON."""
    if isinstance(value, dict):
        return {name: filled(each, name) for name, each in value.items()}
    if isinstance(value, list):
        return [each if field in _LISTS and isinstance(each, str) else filled(each, field) for each in value]
    if not isinstance(value, str) or field in _WORDS:
        return value
    if field == "model":
        return "MODEL"
    if field == "arguments":
        return json.dumps(filled(json.loads(value)))
    return filler(len(value.encode()))


def headers(sent: dict[str, str]) -> dict[str, str]:
    """Those that say something, in the order in which they came; `KEY` in the place of the key."""
    kept = {name: value for name, value in sent.items() if name not in _CONNECTION}
    return {name: _header(name, value) for name, value in kept.items()}


def _header(name: str, value: str) -> str:
    if name in _KEYS:
        return "Bearer KEY" if value.startswith("Bearer ") else "KEY"
    return value if name in _HEADERS else filler(len(value)).replace(" ", "-")
