"""What a GGUF says about itself, read from its first bytes."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from gridtie.host.catalogue import Shape
from gridtie.host.fit.header import MOST_BYTES, MOST_VALUES, Cut, GgufError, Long, parse_header
from gridtie.host.models.gguf_file import check_length, read_header
from standins import header_gguf, shape_gguf

SMALL = Shape("llama", 8192, 2, 64, 4, 2, 16, 16, 100, feed_forward_length=128)
U32, F32, BOOL, STRING, ARRAY = 4, 6, 7, 8, 9


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def scalar(kind: int, form: str, value: object) -> bytes:
    return struct.pack("<I" + form, kind, value)


def array(kind: int, count: int, items: bytes) -> bytes:
    return struct.pack("<IIQ", ARRAY, kind, count) + items


def gguf(*pairs: tuple[str, bytes], tensors: bytes = b"", count: int = 0, version: int = 3) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", version, count, len(pairs))
    return head + b"".join(text(key) + value for key, value in pairs) + tensors


def tensor(name: str, *dimensions: int, kind: int = 0, offset: int = 0) -> bytes:
    shape = struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions)
    return text(name) + shape + struct.pack("<IQ", kind, offset)


def test_every_kind_of_value_comes_back(tmp_path: Path) -> None:
    found = parse_header(
        gguf(
            ("a", scalar(U32, "I", 7)),
            ("b", scalar(F32, "f", 0.5)),
            ("c", scalar(BOOL, "?", True)),
            ("d", struct.pack("<I", STRING) + text("llama")),
            ("e", array(U32, 3, struct.pack("<3I", 0, 8, 2))),
            ("f", array(BOOL, 2, b"\x01\x00")),
            ("g", array(STRING, 2, text("x") + text("yy"))),
        ),
        "m.gguf",
    )

    assert dict(found.metadata) == {
        "a": 7,
        "b": 0.5,
        "c": True,
        "d": "llama",
        "e": (0, 8, 2),
        "f": (True, False),
        "g": ("x", "yy"),
    }


def test_a_vocabulary_is_kept_by_its_length_alone() -> None:
    words = text("word") * (MOST_VALUES + 1)
    found = parse_header(gguf(("tokenizer.ggml.tokens", array(STRING, MOST_VALUES + 1, words))), "m.gguf")

    assert found.metadata["tokenizer.ggml.tokens"] == Long(MOST_VALUES + 1)


def test_a_tensor_knows_its_elements_and_its_bytes() -> None:
    found = parse_header(gguf(tensors=tensor("w", 64, 3, kind=2), count=1), "m.gguf").tensors["w"]

    assert (found.dimensions, found.elements, found.bytes) == ((64, 3), 192, 6 * 18)


def test_parameters_are_the_elements_of_all_tensors(tmp_path: Path) -> None:
    shape_gguf.write(tmp_path / "m.gguf", SMALL)
    block = 64 + 64 * 64 + 2 * 64 * 32 + 64 * 64 + 64 + 3 * 64 * 128

    assert read_header(tmp_path / "m.gguf").parameters == 2 * 64 * 100 + 64 + 2 * block


def test_what_the_bytes_lack_is_said_so_that_more_can_be_read(tmp_path: Path) -> None:
    shape_gguf.write(tmp_path / "m.gguf", SMALL)
    whole = (tmp_path / "m.gguf").read_bytes()
    header = parse_header(whole, "m.gguf")

    for length in range(4, header.size - 40, 97):
        with pytest.raises(Cut) as cut:
            parse_header(whole[:length], "m.gguf")
        assert length < cut.value.wanted <= header.size


def test_a_header_longer_than_the_first_piece_is_read_on(tmp_path: Path) -> None:
    """A vocabulary of 9 MB, as the largest have."""
    words = text("w" * 60) * 130_000
    (tmp_path / "m.gguf").write_bytes(gguf(("tokenizer.ggml.tokens", array(STRING, 130_000, words))))

    assert read_header(tmp_path / "m.gguf").metadata["tokenizer.ggml.tokens"] == Long(130_000)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "does not begin with GGUF"),
        (b"<html>not found</html>", "does not begin with GGUF"),
        (gguf(version=1), "its version is 1"),
        (gguf(version=3 << 24), "that of a big-endian machine"),
        (b"GGUF\x03\x00\x00\x00" + b"\xff" * 16, "it claims 18446744073709551615 keys"),
        (b"GGUF\x03\x00\x00\x00" + bytes(8) + b"\x01" + bytes(7) + b"\xff" * 8, "a text of 18446744073709551615 bytes"),
        (gguf(("a", array(U32, 1 << 40, b""))), "'a' claims an array of 1099511627776 items"),
        (gguf(("a", array(STRING, 100_000_000, b""))), "'a' claims an array of 100000000 items"),
        (gguf(("a", array(ARRAY, 1, b""))), "'a' is an array of the unknown kind 9"),
        (gguf(("a", struct.pack("<I", 77))), "'a' has a value of the unknown kind 77"),
        (gguf(("a", scalar(U32, "I", 1)), ("a", scalar(U32, "I", 2))), "has the key 'a' twice"),
        (gguf(("general.alignment", scalar(U32, "I", 0))), "its alignment is 0"),
        (gguf(("general.alignment", scalar(BOOL, "?", True))), "its alignment is True"),
        (gguf(tensors=tensor("w", 3, 0), count=1), r"the tensor 'w' cannot have the dimensions \(3, 0\)"),
        (gguf(tensors=tensor("w", 33, kind=2), count=1), r"cannot have the dimensions \(33,\)"),
        (gguf(tensors=tensor("w", 1 << 40, 1 << 40), count=1), "cannot have the dimensions"),
        (gguf(tensors=tensor("w", 32, kind=31), count=1), "the tensor 'w' is of the unknown type 31"),
        (gguf(tensors=tensor("w", *[1] * 9), count=1), "the tensor 'w' claims 9 dimensions"),
        (gguf(tensors=tensor("w", 1) * 2, count=2), "has the tensor 'w' twice"),
    ],
)
def test_what_is_no_gguf_is_refused_in_one_sentence_that_names_it(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "m.gguf").write_bytes(content)

    with pytest.raises(GgufError, match=reason) as refused:
        read_header(tmp_path / "m.gguf")

    assert "m.gguf" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_header_that_is_cut_says_where(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    shape_gguf.write(path, SMALL)
    path.write_bytes(path.read_bytes()[:200])

    with pytest.raises(Cut, match="it ends at byte 200, in the middle of its header"):
        read_header(path)


def test_a_file_that_is_cut_behind_its_header_is_known_by_its_length(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    shape_gguf.write(path, SMALL)
    header = read_header(path)
    check_length(path, header)
    path.write_bytes(path.read_bytes()[:-100])

    with pytest.raises(GgufError, match="it is cut: "):
        check_length(path, header)


def test_of_a_header_without_end_no_more_than_64_mib_are_read(tmp_path: Path) -> None:
    """A sparse file of a gigabyte with texts of 4 MB, one after another."""
    path = tmp_path / "m.gguf"
    texts = [(f"a{number}", struct.pack("<IQ", STRING, 4_000_000) + bytes(4_000_000)) for number in range(18)]
    path.write_bytes(gguf(*texts))
    with path.open("r+b") as file:
        file.truncate(1 << 30)

    with pytest.raises(GgufError, match="claims to be longer than 64 MiB"):
        read_header(path)
    assert MOST_BYTES == 64 << 20


def test_a_header_of_an_architecture_has_the_tensors_that_were_written(tmp_path: Path) -> None:
    keys = {"block_count": 1, "embedding_length": 64, "attention.head_count": 4, "attention.head_count_kv": 2}
    keys |= {"feed_forward_length": 128, "vocab_size": 100, "context_length": 256}
    header_gguf.write(tmp_path / "m.gguf", "qwen3", keys)

    assert read_header(tmp_path / "m.gguf").tensors["blk.0.attn_q_norm.weight"].dimensions == (16,)
