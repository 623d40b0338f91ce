"""The parts of a message's content, for translators: text and images as the spans that they are in the body."""

from __future__ import annotations

import msgspec

from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.found import got, kind, place, unknown_field
from gridtie.dialects.types import Untranslatable

_Raw = msgspec.Raw
_NULL = _Raw(b"null")
_EMPTY = 2  # bytes of an empty JSON string: its quotes
# A data URL says what it is within its first bytes; the media type and its parameters are short.
_HEAD_BYTES = 256


class _Closed(msgspec.Struct, forbid_unknown_fields=True, tag_field="type", kw_only=True):
    """A part of which every field is known; the type is its tag."""


class TextPart(_Closed, tag="text"):
    text: msgspec.Raw
    cache_control: msgspec.Raw = _NULL


class RefusalPart(_Closed, tag="refusal"):
    refusal: msgspec.Raw


class ImagePart(_Closed, tag="image_url"):
    image_url: msgspec.Raw
    cache_control: msgspec.Raw = _NULL


class AudioPart(_Closed, tag="input_audio"):
    input_audio: msgspec.Raw = _NULL
    cache_control: msgspec.Raw = _NULL


class FilePart(_Closed, tag="file"):
    file: msgspec.Raw = _NULL
    cache_control: msgspec.Raw = _NULL


class _Url(msgspec.Struct, forbid_unknown_fields=True):
    url: msgspec.Raw
    # A hint about resolution; other dialects choose it themselves.
    detail: str | None = None


class DataUrl(msgspec.Struct, frozen=True):
    """An image that is sent with the request; `data` is base64 as a JSON string."""

    media_type: str
    data: msgspec.Raw


Part = TextPart | ImagePart

_parts = msgspec.json.Decoder(list[TextPart | RefusalPart | ImagePart | AudioPart | FilePart]).decode
_url = msgspec.json.Decoder(_Url).decode
_text = msgspec.json.Decoder(str).decode


def read_parts(content: msgspec.Raw, path: str) -> list[Part]:
    """The parts of a content in any of its forms, empty text left out. Raises `Untranslatable` and `UNREADABLE`."""
    if content == _NULL:
        return []
    if kind(content) == "a string":
        return [TextPart(text=content)] if len(content) > _EMPTY else []
    parts: list[Part] = []
    for index, part in enumerate(_parts(content)):
        where = f"{path}[{index}]"
        if isinstance(part, AudioPart):
            raise Untranslatable(f"this model's server takes no audio ({where})", needs="audio")
        if isinstance(part, FilePart):
            raise Untranslatable(f"this model's server takes no files ({where})", needs="files")
        if isinstance(part, ImagePart):
            parts.append(part)
            continue
        text = part.refusal if isinstance(part, RefusalPart) else part.text
        if text == _NULL:
            continue
        if kind(text) != "a string":
            raise Untranslatable(f"{where}: found {kind(text)} for its text, wanted a string")
        if len(text) > _EMPTY:
            parts.append(part if isinstance(part, TextPart) else TextPart(text=text))
    return parts


def image_address(part: ImagePart, path: str) -> DataUrl | msgspec.Raw:
    """An image's data, or the address where it lies, as a JSON string. Raises `Untranslatable`."""
    url = part.image_url
    if kind(url) == "an object":
        try:
            url = _url(url).url
        except UNREADABLE as error:
            raise _unreadable_url(error, path) from None
    if kind(url) != "a string":
        raise Untranslatable(f"{path}.image_url.url: found {kind(url)}, wanted a string")
    # The head is read, the data stays: it is megabytes.
    span = bytes(url)
    start = span[1:_HEAD_BYTES].lower()
    if not start.startswith(b"data:"):
        return url
    comma = span.find(b",", 1, _HEAD_BYTES)
    head = _decoded(span[1:comma]) if comma > 0 else ""
    media_type, *parameters = head[5:].split(";")
    if "base64" not in (parameter.strip().lower() for parameter in parameters):
        wanted = "an image URL that starts with 'data:' must read data:<media type>;base64,<data>"
        raise Untranslatable(f"{path}.image_url.url: {wanted}")
    return DataUrl(media_type.strip().lower(), _Raw(b'"' + span[comma + 1 :]))


def joined(texts: list[msgspec.Raw], between: bytes) -> msgspec.Raw:
    """Several JSON strings as one, with `between` (as JSON text) in the joints."""
    if len(texts) == 1:
        return texts[0]
    return _Raw(b'"' + between.join(bytes(text)[1:-1] for text in texts) + b'"')


def _unreadable_url(error: Exception, path: str) -> Untranslatable:
    """An `image_url` with a field that nobody knows, or of the wrong shape."""
    if (field := unknown_field(error)) is not None:
        return Untranslatable(
            f"this model's server knows no request field '{path}.image_url.{field}'; leave it out", needs=field
        )
    return Untranslatable(f"{place(error, f'{path}.image_url')}: found {got(error)}, wanted an object with a url")


def _decoded(inside: bytes) -> str:
    try:
        return _text(b'"' + inside + b'"')
    except UNREADABLE:
        return ""
