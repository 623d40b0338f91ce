"""Writes a GGUF's header: metadata and the list of tensors, as bytes. What the tensors hold is copied by the caller.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (version 3, little endian).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Optional, Sequence, Union

MAGIC = b"GGUF"
VERSION = 3
ALIGNMENT = 32

F32 = 0

UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
_FORMS = {UINT32: "<I", INT32: "<i", FLOAT32: "<f", BOOL: "<?"}

Scalar = Union[int, float, bool, str]


@dataclass(frozen=True)
class Key:
    """One entry of the metadata. With `of`, an array of that kind."""

    name: str
    kind: int
    value: Union[Scalar, Sequence[Scalar]]
    of: Optional[int] = None

    def encoded(self) -> bytes:
        """As it stands in a file: name, kind, value."""
        return text(self.name) + struct.pack("<I", self.kind) + self._content()

    def _content(self) -> bytes:
        if self.of is None:
            return _scalar(self.kind, self.value)  # type: ignore[arg-type]
        items = list(self.value)  # type: ignore[arg-type]
        return struct.pack("<IQ", self.of, len(items)) + b"".join(_scalar(self.of, item) for item in items)


@dataclass(frozen=True)
class Tensor:
    """One tensor: `dimensions` with the fastest first, `kind` of its elements (ggml_type), and its bytes."""

    name: str
    dimensions: Sequence[int]
    kind: int
    size: int


def header(keys: Sequence[Key], tensors: Sequence[Tensor]) -> bytes:
    """All that comes before the tensors' content, which follows in their order, each padded (`padding`)."""
    parts = [MAGIC, struct.pack("<IQQ", VERSION, len(tensors), len(keys)), *(key.encoded() for key in keys)]
    offset = 0
    for tensor in tensors:
        count = len(tensor.dimensions)
        parts += [text(tensor.name), struct.pack(f"<I{count}QIQ", count, *tensor.dimensions, tensor.kind, offset)]
        offset += tensor.size + len(padding(tensor.size))
    whole = b"".join(parts)
    return whole + padding(len(whole))


def padding(size: int, alignment: int = ALIGNMENT) -> bytes:
    """What follows so many bytes, so that the next tensor begins where it may."""
    return bytes(-size % alignment)


def text(value: str) -> bytes:
    """A string as it stands in a file."""
    content = value.encode()
    return struct.pack("<Q", len(content)) + content


def _scalar(kind: int, value: Scalar) -> bytes:
    return text(str(value)) if kind == STRING else struct.pack(_FORMS[kind], value)
