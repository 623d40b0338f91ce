"""What is read of safetensors: sizes out of headers and indexes, and what is refused."""

from __future__ import annotations

import json
import struct

import pytest

from gridtie.host.fit.safetensors import (
    SafetensorsError,
    file_bytes,
    header_length,
    parse_header,
    parse_index,
)
from standins import checkpoints


def test_a_header_says_every_tensor_and_how_long_the_file_must_be() -> None:
    text = checkpoints.header({"a": (3, 5), "b": (7,)}, "BF16")

    tensors = parse_header(text, "m")

    assert {name: (tensor.kind, tensor.dimensions, tensor.bytes) for name, tensor in tensors.items()} == {
        "a": ("BF16", (3, 5), 30),
        "b": ("BF16", (7,), 14),
    }
    assert file_bytes(len(text), tensors) == 8 + len(text) + 44


def test_packed_types_of_less_than_a_byte_take_whole_bytes() -> None:
    text = json.dumps({"a": {"dtype": "F4", "shape": [3], "data_offsets": [0, 2]}}).encode()

    assert parse_header(text, "m")["a"].bytes == 2


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"GGUF", "m: it ends at byte 4, before its header"),
        (struct.pack("<Q", 1 << 62), f"its header claims {1 << 62} bytes"),
        (struct.pack("<Q", 0), "its header claims 0 bytes"),
        (b"GGUF\3\0\0\0", "not a safetensors file"),
    ],
)
def test_a_file_that_is_none_is_named(data: bytes, said: str) -> None:
    with pytest.raises(SafetensorsError, match=said):
        header_length(data, "m")


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        ({"dtype": "Q4", "shape": [1], "data_offsets": [0, 1]}, "has no type, shape and place that are known"),
        ({"dtype": "F32", "shape": [4], "data_offsets": [0, 15]}, "takes 15 bytes; its type F32 and shape make 16"),
        ({"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}, "claims the shape"),
        ({"dtype": "F32", "shape": [1] * 17, "data_offsets": [0, 4]}, "claims the shape"),
        ({"dtype": "U8", "shape": [1 << 40, 1 << 40], "data_offsets": [0, 1 << 80]}, "takes"),
        ({"dtype": "F32", "shape": [10**4000] * 2, "data_offsets": [0, 1]}, "claims the shape"),
        ([], "has no type, shape and place"),
    ],
)
def test_a_header_that_lies_is_refused_by_the_name_of_the_tensor(tensor: object, said: str) -> None:
    with pytest.raises(SafetensorsError, match=f"m: the tensor 'w' {said}"):
        parse_header(json.dumps({"w": tensor}).encode(), "m")


def test_an_index_says_the_bytes_of_all_files() -> None:
    found = parse_index(b'{"metadata": {"total_size": 12.0}, "weight_map": {"a": "one", "b": "two"}}', "i")

    assert (found.total_bytes, set(found.files.values())) == (12, {"one", "two"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"{", "no JSON that can be read"),
        (b"[]", "no object"),
        (b'{"metadata": {"total_size": 1}}', "no weight_map"),
        (b'{"weight_map": {"a": "b"}}', "total_size is None"),
        (b'{"metadata": {"total_size": -5}, "weight_map": {"a": "b"}}', "total_size is -5"),
        (b'{"metadata": {"total_size": true}, "weight_map": {"a": "b"}}', "total_size is True"),
    ],
)
def test_an_index_that_says_nothing_is_refused(text: bytes, said: str) -> None:
    with pytest.raises(SafetensorsError, match=said):
        parse_index(text, "i")
