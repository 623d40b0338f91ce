"""Saying what was found in a body without quoting it."""

from __future__ import annotations

import re

import msgspec

BOM = b"\xef\xbb\xbf"

_GOT = re.compile(r"got `(\w+)`")
_PLACE = re.compile(r" - at `\$([^`]*)`$")
_UNKNOWN = re.compile(r"^Object contains unknown field `([^`]*)`")
_QUOTED = re.compile(r" '[^`]*'|`[^`]*`")
_KINDS = {
    "array": "a list",
    "object": "an object",
    "str": "a string",
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
}
_BY_FIRST_BYTE = {
    ord("["): "a list",
    ord("{"): "an object",
    ord('"'): "a string",
    ord("t"): "true",
    ord("f"): "false",
    ord("n"): "null",
}


def kind(value: msgspec.Raw) -> str:
    """What sort of JSON value stands in a span."""
    return _BY_FIRST_BYTE.get(memoryview(value)[0], "a number")


def got(error: Exception) -> str:
    """What sort of value a decoder met where it wanted another."""
    met = _GOT.search(str(error))
    return _KINDS.get(met[1], met[1]) if met else unquoted(error)


def unquoted(error: Exception) -> str:
    """A decoder's complaint without the values that it quotes."""
    if isinstance(error, UnicodeDecodeError):
        return "bytes that are no UTF-8"
    return _QUOTED.sub("", str(error)).removeprefix("JSON is malformed: ") or "what cannot be read"


def form(data: bytes) -> str:
    """What a body is that is not what it should be, by how it begins."""
    start = data[:256].removeprefix(BOM).lstrip()
    if not start:
        return "nothing"
    if start.startswith(b"<"):
        return "an XML document" if start[:5].lower() == b"<?xml" else "an HTML page"
    if start.startswith((b"{", b"[")):
        return "JSON"
    if start.startswith((b"data:", b"event:", b":")):
        return "a stream of events"
    return "text"


def beginning(data: bytes) -> int | None:
    """The first byte that tells what a body is; None where more of it is needed."""
    if len(data) < len(BOM) and BOM.startswith(data):
        return None
    start = data.removeprefix(BOM).lstrip()
    return start[0] if start else None


def place(error: Exception, path: str = "") -> str:
    """Where in a body a decoder stopped, given where it began."""
    where = _PLACE.search(str(error))
    return (path + (where[1] if where else "")).removeprefix(".")


def unknown_field(error: Exception) -> str | None:
    """The name of the field that a decoder does not know, cut to what an error may show."""
    found = _UNKNOWN.search(str(error))
    if found is None:
        return None
    name = found[1][:64]
    return name if name.isprintable() else "(unprintable)"
