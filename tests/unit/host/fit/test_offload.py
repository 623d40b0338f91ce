"""How a model lies partly on a card: experts go first, then what is in front."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridtie.host.fit.layers import layers_of
from gridtie.host.fit.memory import BUILD, Need
from gridtie.host.fit.offload import Part, Parts, offload, parts_of_file, parts_of_layers
from gridtie.host.models.gguf_file import read_header
from standins import fit_shapes, header_gguf

# Four blocks of 100 bytes, 10 of cache each, 40 for what comes after them, 60 of compute buffer.
DENSE = Parts((Part(100),) * 4, output=40, embedding=30)
NEED = Need(weights=470, kv=40, compute=60)
# The same, and beside each block 200 bytes of experts, of which a token reads 50.
MIXTURE = Parts((Part(100, 200, 50),) * 4, output=40, embedding=30)


@pytest.mark.parametrize(("room", "layers"), [(99, 0), (100, 1), (209, 1), (210, 2), (540, 5)])
def test_of_a_dense_model_layers_lie_on_the_card_from_the_back(room: int, layers: int) -> None:
    assert offload(DENSE, NEED, room).layers == layers


def test_what_is_not_on_the_card_is_in_memory_with_a_buffer_of_its_own() -> None:
    found = offload(DENSE, NEED, 320)

    assert (found.card, found.memory) == (60 + 40 + 2 * 110, 2 * 110 + 30 + 60)
    assert found.share == pytest.approx(240 / 440)


def test_of_a_mixture_all_layers_stay_and_experts_go() -> None:
    found = offload(MIXTURE, NEED, 60 + 40 + 440)

    assert (found.layers, found.without_experts) == (5, 4)
    assert found.share == pytest.approx(440 / 640)


def test_experts_come_back_layer_by_layer_as_far_as_there_is_room() -> None:
    assert offload(MIXTURE, NEED, 540 + 399).without_experts == 3
    assert offload(MIXTURE, NEED, 540 + 400).without_experts == 2


def test_where_not_even_what_is_dense_fits_layers_go_as_well() -> None:
    found = offload(MIXTURE, NEED, 539)

    assert (found.layers, found.without_experts) == (4, 3)


@pytest.mark.parametrize("name", ["qwen3-coder-30b", "qwen3-8b", "gpt-oss-20b"])
def test_without_the_file_layers_are_nearly_as_large_as_its_header_says(tmp_path: Path, name: str) -> None:
    wanted = next(header for header in fit_shapes.headers() if header.name == name)
    header_gguf.write(tmp_path / "m.gguf", wanted.architecture, wanted.keys)
    header = read_header(tmp_path / "m.gguf")
    model = layers_of(header, BUILD)
    known = parts_of_file(header, model)
    guessed = parts_of_layers(model, sum(tensor.bytes for tensor in header.tensors.values()))

    assert guessed.read == pytest.approx(known.read, rel=0.1)
    assert guessed.blocks[3].experts == pytest.approx(known.blocks[3].experts, rel=0.05)
