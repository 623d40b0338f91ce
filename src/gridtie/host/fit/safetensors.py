"""Reads what safetensors say of themselves: the header of one file, and the index over several. Pure.

Format: https://huggingface.co/docs/safetensors (8 bytes of length, little endian, then as much JSON, then the tensors);
the index is the JSON that transformers writes beside a checkpoint of several files.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from typing import Any, Mapping, Union

# safetensors' own bound of a header (MAX_HEADER_SIZE in its source), in bytes.
MOST_BYTES = 100_000_000
# The length of a header stands before it.
LENGTH_BYTES = 8

# Bits of an element by the format's names of types (safetensors, `Dtype`).
_BITS = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}
# Beyond these a header is damaged or hostile.
_MOST_DIMENSIONS, _MOST_ELEMENTS = 16, 1 << 50
# The format's numbers have 64 bits. What is longer is not computed with, nor written out: Python refuses to.
_MOST_BITS = 128


class SafetensorsError(ValueError):
    """It cannot be read as safetensors; the message is one sentence that names the file."""


@dataclass(frozen=True)
class Tensor:
    """One tensor: the format's name of its type, its dimensions, and the bytes that it takes."""

    kind: str
    dimensions: tuple[int, ...]
    bytes: int


@dataclass(frozen=True)
class Index:
    """What an index says: the bytes of all tensors, and in which file each of them lies."""

    total_bytes: int
    files: Mapping[str, str]


def header_length(data: bytes, name: str) -> int:
    """How many bytes the header takes after the first eight, by those eight. Raises SafetensorsError."""
    if len(data) < LENGTH_BYTES:
        raise SafetensorsError(f"{name}: it ends at byte {len(data)}, before its header")
    (length,) = struct.unpack_from("<Q", data)
    if not 2 <= length <= MOST_BYTES:
        raise SafetensorsError(
            f"{name}: not a safetensors file: its header claims {length} bytes; wanted are 2 to {MOST_BYTES}"
        )
    return int(length)


def parse_header(text: bytes, name: str) -> Mapping[str, Tensor]:
    """The tensors by name, of the JSON behind the length. Raises SafetensorsError, also where sizes do not agree."""
    document = _object(text, name)
    document.pop("__metadata__", None)
    return {str(key)[:200]: _tensor(value, f"{name}: the tensor {str(key)[:80]!r}") for key, value in document.items()}


def file_bytes(length: int, tensors: Mapping[str, Tensor]) -> int:
    """How long the whole file must be at least, in bytes: `length` is the header's."""
    return LENGTH_BYTES + length + sum(tensor.bytes for tensor in tensors.values())


def parse_index(text: bytes, name: str) -> Index:
    """The index of several files. Raises SafetensorsError."""
    document = _object(text, name)
    metadata, files = document.get("metadata"), document.get("weight_map")
    total = metadata.get("total_size") if isinstance(metadata, dict) else None
    if not isinstance(files, dict) or not files or not all(isinstance(file, str) for file in files.values()):
        raise SafetensorsError(f"{name}: no weight_map, which says in which file each tensor lies")
    # transformers writes a float where sizes were added up as such.
    if isinstance(total, bool) or not isinstance(total, (int, float)) or not 0 < total < _MOST_ELEMENTS:
        raise SafetensorsError(f"{name}: metadata.total_size is {total!r:.40}; wanted are the bytes of all tensors")
    return Index(int(total), files)


def _object(text: Union[bytes, str], name: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise SafetensorsError(f"{name}: it is no JSON that can be read") from None
    if not isinstance(document, dict):
        raise SafetensorsError(f"{name}: it is JSON, and no object")
    return document


def _tensor(value: Any, what: str) -> Tensor:
    try:
        kind, dimensions, (start, end) = value["dtype"], tuple(value["shape"]), value["data_offsets"]
        bits = _BITS[kind]
    except (KeyError, TypeError, ValueError):
        raise SafetensorsError(f"{what} has no type, shape and place that are known") from None
    if len(dimensions) > _MOST_DIMENSIONS or not all(_is_count(each) for each in (*dimensions, start, end)):
        raise SafetensorsError(f"{what} claims the shape {dimensions!r:.80}")
    size = -(-math.prod(dimensions) * bits // 8)
    if math.prod(dimensions) > _MOST_ELEMENTS or end - start != size:
        raise SafetensorsError(f"{what} takes {end - start} bytes; its type {kind} and shape make {size}")
    return Tensor(kind, dimensions, size)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0 and value.bit_length() <= _MOST_BITS
