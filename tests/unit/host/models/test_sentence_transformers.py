"""A GGUF that is written from a package's weights has all that they say, by another reader of the format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from gridtie.host.catalogue import PackageSource, Pin
from gridtie.host.fit.layers import shape_of
from gridtie.host.models import sources
from gridtie.host.models.gguf_file import read_header
from gridtie.host.models.sentence_transformers import ConversionError, write_gguf
from gridtie.host.models.sources import Means, ObtainError, gguf_from_package, pin_of_package
from standins import bert_package
from standins.bert_package import CONFIG, FOLDER, MEAN


def written(path: Path, **changes: Any) -> Path:
    with bert_package.archive(**changes) as archive, (path / "model.gguf").open("wb") as file:
        write_gguf(archive, FOLDER, file)
    return path / "model.gguf"


def value(reader: gguf.GGUFReader, key: str) -> Any:
    found = reader.get_field(key)
    assert found is not None, key
    return found.contents()


def test_every_weight_is_copied_as_it_is(tmp_path: Path) -> None:
    found = {each.name: each.data for each in gguf.GGUFReader(written(tmp_path)).tensors}
    wanted = {
        "token_embd.weight": "embeddings.word_embeddings.weight",
        "position_embd.weight": "embeddings.position_embeddings.weight",
        "token_types.weight": "embeddings.token_type_embeddings.weight",
        "token_embd_norm.weight": "embeddings.LayerNorm.weight",
        "token_embd_norm.bias": "embeddings.LayerNorm.bias",
        "blk.0.attn_q.weight": "encoder.layer.0.attention.self.query.weight",
        "blk.0.attn_q.bias": "encoder.layer.0.attention.self.query.bias",
        "blk.0.ffn_up.weight": "encoder.layer.0.intermediate.dense.weight",
        "blk.0.ffn_down.weight": "encoder.layer.0.output.dense.weight",
        "blk.0.layer_output_norm.bias": "encoder.layer.0.output.LayerNorm.bias",
    }

    assert found.keys() == wanted.keys(), "and nothing that sentence vectors are not made with"
    for ours, theirs in wanted.items():
        np.testing.assert_array_equal(found[ours], bert_package.tensors()[theirs])


def test_words_are_marked_where_llama_cpp_marks_them(tmp_path: Path) -> None:
    reader = gguf.GGUFReader(written(tmp_path))

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "\u2581hello", "ing", "\u2581é", "\u2581[x]"]
    assert value(reader, "tokenizer.ggml.tokens") == words
    assert value(reader, "tokenizer.ggml.token_type") == [3, 3, 3, 3, 3, 1, 1, 1, 1]
    special = {"cls": 2, "bos": 2, "eos": 3, "seperator": 3, "padding": 0, "unknown": 1, "mask": 4}
    assert {name: value(reader, f"tokenizer.ggml.{name}_token_id") for name in special} == special


def test_the_header_says_what_the_model_is_and_how_sentences_become_one_vector(tmp_path: Path) -> None:
    path = written(tmp_path)
    reader, header = gguf.GGUFReader(path), read_header(path)

    assert (header.architecture, header.quantisation, shape_of(header).context_length) == ("bert", "F32", 12)
    assert value(reader, "bert.pooling_type") == gguf.PoolingType.MEAN
    assert value(reader, "bert.attention.causal") is False
    assert (value(reader, "general.name"), value(reader, "general.license")) == ("Tiny", "apache-2.0")


def test_the_same_package_gives_the_same_bytes(tmp_path: Path) -> None:
    first = written(tmp_path).read_bytes()

    assert written(tmp_path).read_bytes() == first


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"config": {**CONFIG, "model_type": "mpnet"}}, "model_type is 'mpnet'; wanted 'bert'"),
        ({"pooling": {**MEAN, "pooling_mode_mean_tokens": False}}, "wanted one of pooling_mode_mean_tokens"),
        ({"tensors": {"embeddings.LayerNorm.bias": np.zeros(8, "<f2")}}, "F16 in 16 bytes found, F32 wanted"),
        ({"tensors": {"encoder.layer.0.gate.weight": np.zeros(8, "<f4")}}, "gate.weight is none of BERT's"),
        ({"cut": 4, "tensors": {"embeddings.LayerNorm.bias": np.zeros(8, "<f4")}}, "cut short"),
    ],
    ids=["another architecture", "another pooling", "another type", "another tensor", "cut"],
)
def test_what_is_another_model_is_refused_with_what_was_found(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConversionError, match=says):
        written(tmp_path, **changes)


def test_a_header_that_claims_to_be_huge_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="its header claims 1152921504606846976 bytes"):
        written(tmp_path, claims=1 << 60)


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackageSource:
    """A package source whose wheel is at hand."""
    wheel = tmp_path / "tiny-1.0-py3-none-any.whl"
    wheel.write_bytes(bert_package.packed())
    monkeypatch.setattr(sources, "_wheel", lambda *_: wheel)
    return PackageSource("tiny", "1.0", FOLDER, "sentence-transformers")


def test_what_a_package_is_made_into_is_held_to_its_pin(tmp_path: Path, source: PackageSource) -> None:
    means = Means(tmp_path / "incoming", "http://127.0.0.1:9")
    pin = pin_of_package(source, means)

    assert gguf_from_package(source, pin, means).read_bytes() == written(tmp_path).read_bytes()
    with pytest.raises(ObtainError, match="has the wrong content"):
        gguf_from_package(source, Pin(gguf="0" * 64), means)


def test_a_package_without_such_a_model_is_named(tmp_path: Path, source: PackageSource) -> None:
    other = PackageSource(source.name, source.version, "elsewhere", source.convert)

    with pytest.raises(ObtainError, match=r"tiny-1\.0.*elsewhere"):
        gguf_from_package(other, Pin(), Means(tmp_path / "incoming", "http://127.0.0.1:9"))
