"""What a GGUF says about itself, read from the file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from gridtie.host.catalogue import Experts, Shape
from gridtie.host.fit.gguf import GgufError, shape_of
from gridtie.host.models.gguf_file import read_header
from standins import shape_gguf

SMALL = Shape("llama", 8192, 2, 64, 4, 2, 16, 16, 100, feed_forward_length=128)
MIXTURE = dataclasses.replace(
    SMALL,
    architecture="deepseek2",
    key_length=192,
    value_length=128,
    experts=Experts(count=4, used=2, feed_forward_length=32, shared=1, leading_dense_blocks=1),
)


@pytest.mark.parametrize("shape", [SMALL, MIXTURE], ids=["dense", "mixture"])
def test_the_shape_comes_back_as_it_was_written(tmp_path: Path, shape: Shape) -> None:
    shape_gguf.write(tmp_path / "m.gguf", shape)

    assert shape_of(read_header(tmp_path / "m.gguf")) == shape


def test_compressed_attention_is_known_by_its_tensors(tmp_path: Path) -> None:
    shape_gguf.write(tmp_path / "m.gguf", dataclasses.replace(MIXTURE, mla_cache=True))

    assert shape_of(read_header(tmp_path / "m.gguf")).mla_cache


def test_parameters_are_the_elements_of_all_tensors(tmp_path: Path) -> None:
    shape_gguf.write(tmp_path / "m.gguf", SMALL)
    block = 64 + 64 * 64 + 2 * 64 * 32 + 64 * 64 + 64 + 3 * 64 * 128

    assert read_header(tmp_path / "m.gguf").parameters == 2 * 64 * 100 + 64 + 2 * block


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "does not begin with GGUF"),
        (b"<html>not found</html>", "does not begin with GGUF"),
        (b"GGUF\x01\x00\x00\x00" + bytes(16), "its version is 1"),
        (b"GGUF\x03\x00\x00\x00" + b"\xff" * 16, "it claims"),
        (b"GGUF\x03\x00\x00\x00" + bytes(8) + b"\x01" + bytes(7) + b"\xff" * 8, "a text of"),
        (b"GGUF\x03\x00\x00\x00", "m.gguf"),
    ],
)
def test_what_is_no_gguf_is_refused_by_name(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "m.gguf").write_bytes(content)

    with pytest.raises(GgufError, match=reason):
        read_header(tmp_path / "m.gguf")


def test_a_header_that_is_cut_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    shape_gguf.write(path, SMALL)
    path.write_bytes(path.read_bytes()[:200])

    with pytest.raises(GgufError, match="not a GGUF file that can be read"):
        read_header(path)
