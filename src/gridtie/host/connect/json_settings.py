"""Settings in a JSON file, which programs write: merged in, and taken out again key by key."""

from __future__ import annotations

import json
import re
from typing import Any, Dict, Mapping, Optional

from .marked import CannotEdit

_GONE: Any = object()


def merged(text: str, ours: Mapping[str, Any]) -> str:
    """The file with `ours` in it, objects key by key, indented as it was. Raises CannotEdit."""
    content = _object(text) if text.strip() else {}
    _merge(content, ours)
    return _written(content, text)


def taken_out(text: str, ours: Mapping[str, Any], before: str) -> str:
    """The file with what is still ours as it was in `before`; what was changed since then stays. Raises CannotEdit."""
    content = _object(text)
    _take_out(content, ours, _object(before) if before.strip() else {})
    return _written(content, text)


def _merge(into: Dict[str, Any], ours: Mapping[str, Any]) -> None:
    for name, value in ours.items():
        there = into.get(name)
        if isinstance(value, Mapping):
            if not isinstance(there, dict):
                there = into[name] = {}
            _merge(there, value)
        else:
            into[name] = value


def _take_out(content: Dict[str, Any], ours: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    for name, value in ours.items():
        was = before.get(name, _GONE)
        there = content.get(name)
        if isinstance(value, Mapping) and isinstance(there, dict):
            _take_out(there, value, was if isinstance(was, dict) else {})
            if not there and was is _GONE:
                del content[name]
        elif there == value and was is _GONE:
            content.pop(name, None)
        elif there == value:
            content[name] = was


def _object(text: str) -> Dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise CannotEdit(f"it is no plain JSON ({error}); comments are not kept, so nothing was written") from None
    if not isinstance(content, dict):
        raise CannotEdit("it holds no JSON object")
    return content


def _written(content: Mapping[str, Any], like: str) -> str:
    return json.dumps(content, indent=_indent(like), ensure_ascii=False) + ("\n" if _ends_line(like) else "")


def _indent(text: str) -> Any:
    found: Optional[re.Match[str]] = re.search(r"^([ \t]+)\S", text, re.MULTILINE)
    return found[1] if found else 2


def _ends_line(text: str) -> bool:
    return not text.strip() or text.endswith("\n")
