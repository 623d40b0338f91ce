"""Reading the facts of a body field by field: what every dialect checks in the same way.

A dialect has a table of functions, each of which takes one field; what is in no table passes unread and counts as
text, since it may become prompt. What speaks to this router is refused wherever it stands in a body.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Required, TypedDict, TypeVar

import msgspec

from gridtie.config.names import canonical
from gridtie.dialects.facts import MAX_MODEL_CHARACTERS, Facts
from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.found import BOM, got, kind, unquoted
from gridtie.dialects.openai_chat.numbers import number
from gridtie.dialects.surrogates import without_halves
from gridtie.dialects.types import Dialect, InvalidRequest
from gridtie.dialects.values import FREE_BYTES, bound

# The most bytes that so many characters can take as JSON: each as a pair of \uXXXX escapes, and the quotes.
_MAX_MODEL_BYTES = 12 * MAX_MODEL_CHARACTERS + 2
_MODEL = f"a name of at most {MAX_MODEL_CHARACTERS} printable characters"

_T = TypeVar("_T")
_Raw = msgspec.Raw
NULL, TRUE, FALSE = _Raw(b"null"), _Raw(b"true"), _Raw(b"false")
_ONE = _Raw(b"1")
# Digits of a number that is shown.
_SHORT = 20
_UTF_16 = (b"\xff\xfe", b"\xfe\xff", b"{\0", b"\0{")
# Arguments of the SDKs and of LiteLLM that people write into the JSON.
_HEADER_FIELDS = ("extra_headers", "default_headers", "headers")

_fields = msgspec.json.Decoder(dict[str, _Raw]).decode
_text = msgspec.json.Decoder(str).decode

_NONE = frozenset[str]()


class Found(TypedDict, total=False):
    """What has been read so far, under the names of `Facts`: only what differs from its default costs anything."""

    fields: Required[dict[str, msgspec.Raw]]
    dialect: Dialect
    model: str
    stream: bool
    wants_usage: bool
    max_output: int
    choices: int
    needs: frozenset[str]
    text_bytes: int
    messages: int
    images: int
    image_bytes: int
    extras: frozenset[str]
    caches: bool
    one_tool_call: bool
    must_call: bool
    headers: tuple[tuple[str, str], ...]
    query: str
    private: bool
    stays: bool
    previous: str
    keeps: bool


# Takes one field: what was found so far, the field's name and its value.
Take = Callable[[Found, str, msgspec.Raw], None]


def fields_of(body: bytes | bytearray) -> dict[str, msgspec.Raw]:
    """The fields of a body. Raises `InvalidRequest`."""
    if len(body) > FREE_BYTES:
        bound("", body)
    try:
        return _fields(body)
    except UNREADABLE as error:
        return fields_mended(body, error)


def fields_mended(body: bytes | bytearray, error: Exception) -> dict[str, msgspec.Raw]:
    """The fields of a body behind a byte-order mark, or with halves of characters in it, which become U+FFFD (decision
    0048); of any other the reason why it has none.
    """
    form = without_halves(body[len(BOM) :] if body.startswith(BOM) else body)
    if form is not body:
        try:
            return _fields(form)
        except UNREADABLE as behind:
            error = behind
    wanted = "a JSON object of a few levels" if isinstance(error, RecursionError) else "a JSON object in UTF-8"
    raise InvalidRequest("", _no_object(body, error), wanted) from None


def read_each(found: Found, take: Mapping[str, Take], free: frozenset[str]) -> Facts:
    """The facts of a request, field by field; those of `free` say nothing that counts. Raises `InvalidRequest`."""
    for name, value in found["fields"].items():
        taker = take.get(name)
        if taker is not None:
            taker(found, name, value)
        elif name not in free:
            _take_unknown(found, name, value, take, free)
    return Facts(**found)


# -- Fields that several dialects have ---------------------------------------------------------------------------------


def take_model(found: Found, name: str, value: msgspec.Raw) -> None:
    if len(value) > _MAX_MODEL_BYTES:
        raise InvalidRequest(name, f"a value of {len(value)} bytes", _MODEL)
    try:
        found["model"] = model = _text(value)
    except UNREADABLE as error:
        if value == NULL:
            return
        raise InvalidRequest(name, got(error), _MODEL) from None
    if len(model) > MAX_MODEL_CHARACTERS:
        raise InvalidRequest(name, f"a name of {len(model)} characters", _MODEL)
    if not model.isprintable():
        raise InvalidRequest(name, "a name with characters that cannot be printed", _MODEL)


def take_stream(found: Found, name: str, value: msgspec.Raw) -> None:
    if value in (TRUE, FALSE):
        found["stream"] = value == TRUE
    elif value != NULL:
        raise InvalidRequest(name, kind(value), "true or false")


def take_limit(found: Found, name: str, value: msgspec.Raw) -> None:
    limit = number(found["fields"], name, value)
    if limit is not None:
        found["max_output"] = max(int(limit), found.get("max_output", 1))


def take_one_answer(found: Found, name: str, value: msgspec.Raw) -> None:
    """How many answers are wanted, in a dialect whose answers bear no index."""
    if value not in (NULL, _ONE):
        shown = kind(value) if kind(value) != "a number" or len(value) > _SHORT else bytes(value).decode()
        raise InvalidRequest(
            name, shown, "1: nothing in these answers tells several of them apart; send it once for each"
        )


def take_number(found: Found, name: str, value: msgspec.Raw) -> None:
    number(found["fields"], name, value)


def take_text(found: Found, _name: str, value: msgspec.Raw) -> None:
    if value != NULL:
        found["text_bytes"] = found.get("text_bytes", 0) + len(value)


def take_cache_control(found: Found, name: str, value: msgspec.Raw) -> None:
    if value != NULL:
        found["caches"] = True


def need(found: Found, what: str) -> None:
    """The target must be able to do this."""
    found["needs"] = found.get("needs", _NONE) | {what}


def bill(found: Found, what: str) -> None:
    """This may be billed apart from tokens."""
    found["extras"] = found.get("extras", _NONE) | {what}


def typed(decode: Callable[[msgspec.Raw], _T], name: str, value: msgspec.Raw, wanted: str) -> _T | None:
    """A field's value, None for null."""
    try:
        return decode(value)
    except UNREADABLE as error:
        if value == NULL:
            return None
        raise InvalidRequest(name, got(error), wanted) from None


# -- What speaks to this router ----------------------------------------------------------------------------------------


def _take_unknown(found: Found, name: str, value: msgspec.Raw, take: Mapping[str, Take], free: frozenset[str]) -> None:
    """A field that passes unread: what stands in it may become prompt.

    Not one that means something else to us than to a server: Go's JSON takes `Max_Tokens` for `max_tokens`.
    """
    folded = canonical(name)
    if folded in take or folded in free:
        raise InvalidRequest(name[:80], "another spelling of a field", folded)
    _refuse_ours(name, name)
    take_text(found, name, value)


def _take_headers(found: Found, name: str, value: msgspec.Raw) -> None:
    """An argument of SDKs for headers, as a field: nobody makes headers of it here."""
    _refuse_headers(name, value)
    take_text(found, name, value)


def _take_extra_body(found: Found, name: str, value: msgspec.Raw) -> None:
    """An argument of SDKs for fields, as a field itself: what means us is no more read in it than beside it."""
    for inner, each in (_members(value) or {}).items():
        path = f"{name}.{inner}"
        _refuse_ours(path, inner)
        if inner in _HEADER_FIELDS:
            _refuse_headers(path, each)
    take_text(found, name, value)


# Of every dialect's table.
SDK_ARGUMENTS: dict[str, Take] = {**dict.fromkeys(_HEADER_FIELDS, _take_headers), "extra_body": _take_extra_body}


def _refuse_headers(path: str, value: msgspec.Raw) -> None:
    headers = _members(value)
    if headers is None:  # pairs, or lines: what might be an instruction is not passed over for its form
        _refuse_ours(path, bytes(value).decode("latin-1"))
    for header in headers or ():
        _refuse_ours(f"{path}.{header}", header)


def _refuse_ours(path: str, name: str) -> None:
    """What says where a prompt may go must not be passed over because it stands in the wrong place."""
    if "gridtie" in canonical(name).replace("-", "").replace("_", ""):
        raise InvalidRequest(path[:80], "what this router reads in headers alone", "it there: send it as a header")


def _members(value: msgspec.Raw) -> dict[str, msgspec.Raw] | None:
    """What an object holds; None for any other value."""
    try:
        return _fields(value)
    except UNREADABLE:
        return None


def _no_object(body: bytes | bytearray, error: Exception) -> str:
    if not body:
        return "nothing"
    if isinstance(error, msgspec.ValidationError):
        return got(error)
    if isinstance(error, RecursionError):
        return "values nested too deep"
    return "UTF-16" if body.startswith(_UTF_16) else f"no JSON ({unquoted(error)})"
