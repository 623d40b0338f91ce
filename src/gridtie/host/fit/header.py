"""Parses a GGUF's header out of bytes: the whole metadata, and the tensors with their types. Pure.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3, little endian). Whoever has only a
file's beginning is told by `Cut` that there is more; `models/gguf_file.py` reads on.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Union

# No header is longer: the largest known have some 20 MB, nearly all of it vocabulary.
MOST_BYTES = 64 << 20
# Arrays beyond this keep their length alone. Those that speak of layers have one value a layer (llama.cpp: 512).
MOST_VALUES = 1024

_MAGIC = b"GGUF"
_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_SIZES = {kind: struct.calcsize("<" + code) for kind, code in _SCALARS.items()}
# A header beyond these is damaged or hostile; real ones have 60 keys, 3,000 tensors and texts of 100 KB.
_MOST_KEYS, _MOST_TENSORS, _MOST_TEXT = 4096, 65536, 4 << 20
# ggml.h, GGML_MAX_DIMS and GGML_MAX_NAME.
_MOST_DIMENSIONS, _MOST_NAME = 4, 64
# Elements of all tensors, and bytes: beyond them llama.cpp's own sums overflow.
_MOST_ELEMENTS = 1 << 62
# Tensors begin at a multiple of this unless `general.alignment` says otherwise.
_ALIGNMENT = 32

# ggml's types (ggml.h, ggml-common.h): name, elements of a block, bytes of a block.
TYPES = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
}

# llama.cpp's names of `general.file_type` (llama.h, llama_ftype).
_FILE_TYPES = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4",
}


class GgufError(ValueError):
    """The file is not a GGUF that can be read; the message is one sentence that names the file."""


class Cut(GgufError):
    """The bytes end before the header does. `wanted` bytes from the beginning are needed at least."""

    def __init__(self, message: str, wanted: int) -> None:
        super().__init__(message)
        self.wanted = wanted


@dataclass(frozen=True)
class Long:
    """An array that is too long to be kept, such as a vocabulary: only its length is."""

    length: int


Value = Union[bool, int, float, str, tuple[Any, ...], Long]


@dataclass(frozen=True)
class Tensor:
    """One tensor: its dimensions (the row first), its type as ggml numbers it, and where it begins in the body."""

    dimensions: tuple[int, ...]
    kind: int
    offset: int

    @property
    def elements(self) -> int:
        return math.prod(self.dimensions)

    @property
    def bytes(self) -> int:
        _, block, size = TYPES[self.kind]
        return self.elements // block * size


@dataclass(frozen=True)
class Header:
    """What a file says that it is. `size` is where in the file the tensors begin, in bytes."""

    metadata: Mapping[str, Value]
    tensors: Mapping[str, Tensor]
    size: int = 0

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture", ""))

    @property
    def parameters(self) -> int:
        """The elements of all tensors."""
        return sum(tensor.elements for tensor in self.tensors.values())

    @property
    def file_bytes(self) -> int:
        """How long the whole file must be at least; a shorter one is cut."""
        return self.size + max((tensor.offset + tensor.bytes for tensor in self.tensors.values()), default=0)

    @property
    def quantisation(self) -> str:
        kind = self.metadata.get("general.file_type")
        return _FILE_TYPES.get(kind, "unknown") if isinstance(kind, int) else "unknown"

    @property
    def chat_template(self) -> str:
        return str(self.metadata.get("tokenizer.chat_template", ""))

    def get(self, key: str) -> Any:
        """The value below the architecture's own name, None where there is none."""
        return self.metadata.get(f"{self.architecture}.{key}")


def parse_header(data: Union[bytes, bytearray], name: str) -> Header:
    """The header at the beginning of `data`. Raises GgufError, whose message calls the file `name`; a `Cut` where more
    bytes are needed.
    """
    reader = _Reader(data)
    try:
        return _header(reader)
    except _End as end:
        if end.wanted > MOST_BYTES:
            raise GgufError(
                f"{name}: its header claims to be longer than {MOST_BYTES >> 20} MiB, which no real one is"
            ) from None
        raise Cut(f"{name}: it ends at byte {len(data)}, in the middle of its header", end.wanted) from None
    except ValueError as error:
        raise GgufError(f"{name}: not a GGUF file that can be read: {error}") from error


class _End(Exception):
    """There are fewer bytes than `wanted`."""

    def __init__(self, wanted: int) -> None:
        super().__init__(wanted)
        self.wanted = wanted


class _Reader:
    """Bytes and a place in them."""

    def __init__(self, data: Union[bytes, bytearray]) -> None:
        self._data = data
        self.at = 0

    def skip(self, count: int) -> int:
        """Go on by so many bytes, which must be there; where they began."""
        start = self.at
        if start + count > len(self._data):
            raise _End(start + count)
        self.at = start + count
        return start

    def unpack(self, form: str) -> tuple[Any, ...]:
        return struct.unpack_from(form, self._data, self.skip(struct.calcsize(form)))

    def text(self, most: int = _MOST_TEXT) -> str:
        (length,) = self.unpack("<Q")
        if length > most:
            raise ValueError(f"it claims a text of {length} bytes")
        start = self.skip(length)
        return self._data[start : start + length].decode("utf-8", errors="replace")

    def skip_texts(self, count: int) -> None:
        """Vocabularies have hundreds of thousands of texts: this loop is what reading a header costs."""
        data, at, unpack, size = self._data, self.at, struct.Struct("<Q").unpack_from, len(self._data)
        for _ in range(count):
            if at + 8 > size:
                raise _End(at + 8)
            (length,) = unpack(data, at)
            if length > _MOST_TEXT:
                raise ValueError(f"it claims a text of {length} bytes")
            at += 8 + length
        if at > size:
            raise _End(at)
        self.at = at


def _header(reader: _Reader) -> Header:
    start = reader.skip(0)
    if reader._data[start : start + 4] != _MAGIC[: len(reader._data)] or not reader._data:
        raise ValueError("it does not begin with GGUF")
    reader.skip(4)
    version, tensor_count, key_count = reader.unpack("<IQQ")
    if version not in (2, 3):
        endian = ", which is that of a big-endian machine" if version and not version & 0xFFFF else ""
        raise ValueError(f"its version is {version}{endian}; 2 and 3 can be read")
    if key_count > _MOST_KEYS or tensor_count > _MOST_TENSORS:
        raise ValueError(f"it claims {key_count} keys and {tensor_count} tensors")
    metadata = _named(reader, key_count, "key", _value)
    tensors = _named(reader, tensor_count, "tensor", _tensor)
    if sum(tensor.elements for tensor in tensors.values()) > _MOST_ELEMENTS:
        raise ValueError("it claims more elements than any machine can hold")
    alignment = metadata.get("general.alignment", _ALIGNMENT)
    if isinstance(alignment, bool) or not isinstance(alignment, int) or not 1 <= alignment <= MOST_BYTES:
        raise ValueError(f"its alignment is {alignment!r:.40}")
    return Header(metadata, tensors, -(-reader.at // alignment) * alignment)


def _named(reader: _Reader, count: int, what: str, read: Callable[[_Reader, str], Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(count):
        name = reader.text(_MOST_TEXT if what == "key" else _MOST_NAME)
        if name in found:
            raise ValueError(f"it has the {what} {name!r:.80} twice")
        found[name] = read(reader, name)
    return found


def _value(reader: _Reader, name: str) -> Value:
    (kind,) = reader.unpack("<I")
    if kind == _STRING:
        return reader.text()
    if kind == _ARRAY:
        return _array(reader, name)
    if kind not in _SCALARS:
        raise ValueError(f"{name!r:.80} has a value of the unknown kind {kind}")
    value: Value = reader.unpack("<" + _SCALARS[kind])[0]
    return value


def _array(reader: _Reader, name: str) -> Value:
    """An array's values, or of one that is long its length."""
    kind, count = reader.unpack("<IQ")
    if kind != _STRING and kind not in _SCALARS:
        raise ValueError(f"{name!r:.80} is an array of the unknown kind {kind}")
    # No item takes less than this, so a length that cannot be is seen before anything is read.
    if count * _SIZES.get(kind, 8) > MOST_BYTES:
        raise ValueError(f"{name!r:.80} claims an array of {count} items")
    if count > MOST_VALUES:
        if kind == _STRING:
            reader.skip_texts(count)
        else:
            reader.skip(count * _SIZES[kind])
        return Long(count)
    if kind == _STRING:
        return tuple(reader.text() for _ in range(count))
    return reader.unpack(f"<{count}{_SCALARS[kind]}")


def _tensor(reader: _Reader, name: str) -> Tensor:
    (count,) = reader.unpack("<I")
    if count > _MOST_DIMENSIONS:
        raise ValueError(f"the tensor {name!r} claims {count} dimensions")
    dimensions = reader.unpack(f"<{count}Q")
    kind, offset = reader.unpack("<IQ")
    if kind not in TYPES:
        raise ValueError(f"the tensor {name!r} is of the unknown type {kind}")
    tensor = Tensor(dimensions, kind, offset)
    block = TYPES[kind][1]
    if not dimensions or dimensions[0] % block or not 0 < tensor.elements <= _MOST_ELEMENTS:
        raise ValueError(f"the tensor {name!r} cannot have the dimensions {dimensions}")
    return tensor
