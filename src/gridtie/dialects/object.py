"""Reading one JSON object of a request: what is taken out of it is known, what is left is kept.

Whatever is of a wrong type is the client's own fault: `Untranslatable` without a capability, and with nothing quoted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.found import got, kind, place
from gridtie.dialects.types import Untranslatable

_T = TypeVar("_T")
_NULL = msgspec.Raw(b"null")

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_string = msgspec.json.Decoder(str).decode
_strings = msgspec.json.Decoder(list[str]).decode
_flag = msgspec.json.Decoder(bool).decode
_whole = msgspec.json.Decoder(int).decode
_number = msgspec.json.Decoder(float).decode


class Object:
    """The fields of one object that have not been taken yet."""

    __slots__ = ("_inner", "_left", "path")

    def __init__(self, fields: dict[str, msgspec.Raw], path: str) -> None:
        """`fields` is used up."""
        self._left = fields
        self._inner: dict[str, Object] = {}
        self.path = path

    @classmethod
    def read(cls, span: msgspec.Raw, path: str) -> Object:
        """The object in a span."""
        return cls(_typed(_fields, span, path, "an object"), path)

    def take(self, name: str) -> msgspec.Raw:
        """A field's span; null where it is missing."""
        return self._left.pop(name, _NULL)

    def peek(self, name: str) -> msgspec.Raw:
        """The same of a field that is kept all the same."""
        return self._left.get(name, _NULL)

    def holds_only(self, name: str) -> bool:
        """Whether nothing else is left."""
        return len(self._left) == 1 and name in self._left

    def json_string(self, name: str) -> msgspec.Raw:
        """The span of a string, or null."""
        span = self.take(name)
        if span is not _NULL and kind(span) not in ("a string", "null"):
            raise _malformed(self._at(name), kind(span), "a string")
        return span

    def string(self, name: str) -> str | None:
        return self._typed(_string, name, "a string")

    def strings(self, name: str) -> list[str] | None:
        return self._typed(_strings, name, "a list of strings")

    def flag(self, name: str) -> bool | None:
        return self._typed(_flag, name, "true or false")

    def whole(self, name: str) -> int | None:
        return self._typed(_whole, name, "an integer")

    def number(self, name: str) -> float | None:
        return self._typed(_number, name, "a number")

    def inner(self, name: str) -> Object | None:
        """An object in it; what is left of that is left of this."""
        span = self.take(name)
        if span is _NULL or span == _NULL:
            return None
        inner = self._inner[name] = Object.read(span, self._at(name))
        return inner

    def spans(self, name: str) -> list[msgspec.Raw]:
        """The items of a list; none where it is missing."""
        span = self.take(name)
        return [] if span is _NULL or span == _NULL else _typed(_list, span, self._at(name), "a list")

    def rest(self) -> dict[str, msgspec.Raw]:
        """What has not been taken, at every depth. A null asks for nothing."""
        rest = {name: span for name, span in self._left.items() if span != _NULL} if self._left else {}
        for name, inner in self._inner.items():
            rest |= {f"{name}.{each}": span for each, span in inner.rest().items()}
        return rest

    def wrong(self, name: str, found: str, wanted: str) -> Untranslatable:
        """What is wrong with a field whose type is right."""
        return _malformed(self._at(name), found, wanted)

    def _typed(self, decode: Callable[[msgspec.Raw], _T], name: str, wanted: str) -> _T | None:
        span = self._left.pop(name, _NULL)
        # Most fields are missing, and then it is this very object.
        return None if span is _NULL or span == _NULL else _typed(decode, span, self._at(name), wanted)

    def _at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name


def put(native: dict[str, object], rest: dict[str, msgspec.Raw]) -> dict[str, object]:
    """For the writer of the same dialect: an object with what was left of it."""
    for name, span in rest.items():
        *above, last = name.split(".")
        here = native
        for each in above:
            inner = here.setdefault(each, {})
            if not isinstance(inner, dict):
                break
            here = inner
        else:
            here[last] = span
    return native


def _typed(decode: Callable[[msgspec.Raw], _T], span: msgspec.Raw, path: str, wanted: str) -> _T:
    try:
        return decode(span)
    except UNREADABLE as error:
        raise _malformed(place(error, path), got(error), wanted) from None


def _malformed(path: str, found: str, wanted: str) -> Untranslatable:
    return Untranslatable(f"{path or 'the body'}: found {found}, wanted {wanted}")
