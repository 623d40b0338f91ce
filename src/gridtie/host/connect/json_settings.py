"""Settings in a JSON file, which programs write: merged in, and taken out again key by key."""

from __future__ import annotations

import json
import re
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from .marked import CannotEdit

_GONE: Any = object()


def merged(text: str, ours: Mapping[str, Any]) -> str:
    """The file with `ours` in it, objects key by key, indented as it was. Raises CannotEdit."""
    content = _object(text) if text.strip() else {}
    _merge(content, ours)
    return _written(content, text)


def taken_out(text: str, ours: Mapping[str, Any], before: str, own: Sequence[str] = (), key: str = "") -> str:
    """The file with what is still ours as it was in `before`; what was changed since then stays. Raises CannotEdit.

    The object at the path `own` goes whole while it holds our `key`: without that, what its program added is of no use.
    """
    content, was = _object(text), _object(before) if before.strip() else {}
    if own and key in _leaves(_at(content, own)):
        _at(content, own[:-1])[own[-1]] = _at(was, own)
        if _at(was, own) == {}:
            del _at(content, own[:-1])[own[-1]]
    _take_out(content, ours, was)
    return _written(content, text)


def alike(text: str, before: str) -> bool:
    """Whether both say the same, whatever order and spaces, and empty objects, a program put into them."""
    return bool(_filled(json.loads(text or "{}")) == _filled(json.loads(before or "{}")))


def _filled(content: Any) -> Any:
    """Without empty objects, and with what tells `true` from 1, which are equal in Python."""
    if isinstance(content, list):
        return [_filled(each) for each in content]
    if not isinstance(content, dict):
        return (bool, content) if isinstance(content, bool) else content
    found = {name: _filled(value) for name, value in content.items()}
    return {name: value for name, value in found.items() if value != {}}


def _at(content: Any, path: Sequence[str]) -> Any:
    """What stands there; an empty object where nothing does."""
    for name in path:
        content = content.get(name, {}) if isinstance(content, dict) else {}
    return content


def _leaves(content: Any) -> List[Any]:
    return [leaf for each in content.values() for leaf in _leaves(each)] if isinstance(content, dict) else [content]


def _merge(into: Dict[str, Any], ours: Mapping[str, Any]) -> None:
    for name, value in ours.items():
        there = into.get(name)
        if isinstance(value, Mapping):
            if name not in into:
                there = into[name] = {}
            elif not isinstance(there, dict):
                raise CannotEdit(f'its "{name}" is no object; put that right, or add ours by hand')
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
        content = json.loads(text, object_pairs_hook=_once)
    except ValueError as error:
        raise CannotEdit(f"it is no plain JSON ({error}); comments are not kept, so nothing was written") from None
    if not isinstance(content, dict):
        raise CannotEdit("it holds no JSON object")
    return content


def _once(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise CannotEdit(f'it has "{twice}" twice, of which one would be lost; remove one')
    return content


def _written(content: Mapping[str, Any], like: str) -> str:
    written = json.dumps(content, indent=_indent(like), ensure_ascii=False)
    # Half of a pair, which JSON may escape and UTF-8 cannot say.
    if like.isascii() or re.search("[\ud800-\udfff]", written):
        written = json.dumps(content, indent=_indent(like))
    written += "\n" if _ends_line(like) else ""
    return written.replace("\n", "\r\n") if "\r\n" in like else written


def _indent(text: str) -> Any:
    found: Optional[re.Match[str]] = re.search(r"^([ \t]+)\S", text, re.MULTILINE)
    return found[1] if found else 2


def _ends_line(text: str) -> bool:
    return not text.strip() or text.endswith("\n")
