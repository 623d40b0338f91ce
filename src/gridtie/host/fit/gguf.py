"""Reads a GGUF's header: what the file says that it is. Only the metadata is read, never the weights.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3, little endian).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, BinaryIO, Mapping

from ..catalogue import Experts, Shape

_MAGIC = b"GGUF"
_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
# A header beyond these is damaged or hostile; the largest known vocabularies have some 260,000 entries.
_MOST_KEYS, _MOST_ITEMS, _MOST_TEXT = 4096, 4 << 20, 16 << 20
# Tensors begin at a multiple of this unless `general.alignment` says otherwise.
_ALIGNMENT = 32
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
    32: "BF16",
}


class GgufError(ValueError):
    """The file is not a GGUF that can be read; the message names the file."""


@dataclass(frozen=True)
class Header:
    """The metadata and the tensors' sizes. `parameters` counts the elements of all tensors; `size` is where in the file
    they begin, in bytes."""

    metadata: Mapping[str, Any]
    tensors: Mapping[str, tuple[int, ...]]
    size: int = 0

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture", ""))

    @property
    def parameters(self) -> int:
        total = 0
        for dimensions in self.tensors.values():
            count = 1
            for dimension in dimensions:
                count *= dimension
            total += count
        return total

    @property
    def quantisation(self) -> str:
        return _FILE_TYPES.get(self.metadata.get("general.file_type", -1), "unknown")

    @property
    def chat_template(self) -> str:
        return str(self.metadata.get("tokenizer.chat_template", ""))


def parse_header(file: BinaryIO, name: str) -> Header:
    """The header of an open file. Raises GgufError, whose message calls it `name`."""
    try:
        return _header(file)
    except (struct.error, ValueError, OverflowError, RecursionError) as error:
        raise GgufError(f"{name}: not a GGUF file that can be read: {error}") from error


def shape_of(header: Header) -> Shape:
    """The shape that memory fit needs. Raises GgufError where the header lacks a value or it differs by layer."""
    architecture = header.architecture
    embedding, heads = _int(header, "embedding_length"), _int(header, "attention.head_count")
    per_head = embedding // heads
    experts = None
    if header.metadata.get(f"{architecture}.expert_count"):
        experts = Experts(
            count=_int(header, "expert_count"),
            used=_int(header, "expert_used_count"),
            feed_forward_length=_int(header, "expert_feed_forward_length"),
            shared=_int(header, "expert_shared_count", 0),
            leading_dense_blocks=_int(header, "leading_dense_block_count", 0),
        )
    compressed = "blk.0.attn_k_b.weight" in header.tensors
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    vocabulary = _int(header, "vocab_size", tokens if isinstance(tokens, int) else None)
    return Shape(
        architecture=architecture,
        context_length=_int(header, "context_length"),
        block_count=_int(header, "block_count"),
        embedding_length=embedding,
        head_count=heads,
        head_count_kv=_int(header, "attention.head_count_kv", heads),
        # With compressed attention the plain lengths are those of the cache; the heads' own have names of their own.
        key_length=_int(header, "attention.key_length_mla", _int(header, "attention.key_length", per_head)),
        value_length=_int(header, "attention.value_length_mla", _int(header, "attention.value_length", per_head)),
        vocab_size=vocabulary,
        feed_forward_length=_int(header, "feed_forward_length", 0),
        experts=experts,
        mla_cache=compressed,
        kv_lora_rank=_int(header, "attention.kv_lora_rank", 512),
        rope_length=_int(header, "rope.dimension_count", 64) if compressed else 64,
    )


def _int(header: Header, key: str, default: Any = None) -> int:
    value = header.metadata.get(f"{header.architecture}.{key}", default)
    if not isinstance(value, int):
        raise GgufError(f"the file's metadata has no single whole number for {header.architecture}.{key}")
    return value


def _header(file: BinaryIO) -> Header:
    if file.read(4) != _MAGIC:
        raise ValueError("it does not begin with GGUF")
    version, tensor_count, key_count = _unpack(file, "<IQQ")
    if version not in (2, 3):
        raise ValueError(f"its version is {version}, 2 and 3 can be read")
    if key_count > _MOST_KEYS or tensor_count > _MOST_ITEMS:
        raise ValueError(f"it claims {key_count} keys and {tensor_count} tensors")
    metadata: dict[str, Any] = {}
    for _ in range(key_count):
        key = _text(file)
        metadata[key] = _value(file, _unpack(file, "<I")[0])
    tensors: dict[str, tuple[int, ...]] = {}
    for _ in range(tensor_count):
        name = _text(file)
        (count,) = _unpack(file, "<I")
        tensors[name] = _unpack(file, f"<{min(count, 8)}Q")
        _unpack(file, "<IQ")
    alignment = metadata.get("general.alignment", _ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1:
        raise ValueError(f"its alignment is {alignment!r}")
    return Header(metadata, tensors, -(-file.tell() // alignment) * alignment)


def _value(file: BinaryIO, kind: int) -> Any:
    """A value; an array becomes its length, since only vocabularies are arrays of interest and only by their size."""
    if kind == _STRING:
        return _text(file)
    if kind == _ARRAY:
        item, count = _unpack(file, "<IQ")
        if count > _MOST_ITEMS:
            raise ValueError(f"it claims an array of {count} items")
        if item in _SCALARS:
            file.seek(struct.calcsize("<" + _SCALARS[item]) * count, 1)
        else:
            for _ in range(count):
                _value(file, item)
        return count
    if kind not in _SCALARS:
        raise ValueError(f"it has a value of the unknown kind {kind}")
    return _unpack(file, "<" + _SCALARS[kind])[0]


def _text(file: BinaryIO) -> str:
    (length,) = _unpack(file, "<Q")
    if length > _MOST_TEXT:
        raise ValueError(f"it claims a text of {length} bytes")
    return file.read(length).decode("utf-8", errors="replace")


def _unpack(file: BinaryIO, form: str) -> tuple[Any, ...]:
    return struct.unpack(form, file.read(struct.calcsize(form)))
