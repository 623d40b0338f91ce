"""A checkpoint by its config.json: which layers keep what, and what is said of those that nothing is known of."""

from __future__ import annotations

from typing import Any

import pytest

from gridtie.host.fit.checkpoint import (
    Checkpoint,
    CheckpointError,
    Kept,
    Stored,
    UnknownCheckpoint,
    checkpoint_of,
    read_config,
)
from standins.checkpoints import SMOLLM2

GIB = 1 << 30


def read(config: dict[str, Any], stored: Stored | None = None) -> Checkpoint:
    return checkpoint_of("m", config, stored or Stored(GIB))


def test_every_layer_of_a_dense_model_keeps_its_heads_of_every_token() -> None:
    found = read(SMOLLM2)

    assert found.layers == (Kept(3, 64, 64),) * 30
    assert (found.context_length, found.element_bytes, found.weights) == (8192, 2, GIB)


def test_a_head_may_be_of_another_length_than_the_row_over_the_heads() -> None:
    assert read({**SMOLLM2, "head_dim": 128}).layers[0] == Kept(3, 128, 128)


def test_a_pattern_by_name_says_which_layers_slide() -> None:
    kinds = ["sliding_attention", "full_attention"] * 15
    config = {**SMOLLM2, "architectures": ["GptOssForCausalLM"], "sliding_window": 128, "layer_types": kinds}

    assert [kept.window for kept in read(config).layers] == [128, 0] * 15


def test_without_names_the_architecture_says_which_layers_slide() -> None:
    found = read({**SMOLLM2, "architectures": ["Gemma3ForCausalLM"], "sliding_window": 512})

    assert [kept.window for kept in found.layers] == [512, 512, 512, 512, 512, 0] * 5


def test_a_window_that_is_switched_off_slides_nothing() -> None:
    config = {**SMOLLM2, "architectures": ["Qwen2ForCausalLM"], "sliding_window": 4096, "use_sliding_window": False}

    assert {kept.window for kept in read(config).layers} == {0}
    assert {kept.window for kept in read({**config, "use_sliding_window": True}).layers} == {4096}


def test_compressed_attention_keeps_one_vector() -> None:
    config = {**SMOLLM2, "architectures": ["DeepseekV3ForCausalLM"], "kv_lora_rank": 512, "qk_rope_head_dim": 64}

    found = read(config)

    assert found.layers[0] == Kept(1, 576, 0)
    assert found.layers[0].latent


def test_what_sees_has_its_language_model_below() -> None:
    text = {key: value for key, value in SMOLLM2.items() if key not in ("architectures", "torch_dtype")}
    config = {"architectures": ["Qwen3VLForConditionalGeneration"], "text_config": text, "vision_config": {}}

    found = read(config)

    assert found.sees
    assert len(found.layers) == 30


def test_single_precision_is_loaded_as_half_of_it() -> None:
    found = read({**SMOLLM2, "torch_dtype": "float32"}, Stored(GIB))

    assert (found.weights, found.element_bytes) == (GIB // 2, 2)


def test_an_output_that_is_tied_is_not_loaded_twice() -> None:
    embedding = 49152 * 576 * 2

    assert read(SMOLLM2, Stored(GIB, has_output=True)).weights == GIB - embedding
    assert read({**SMOLLM2, "tie_word_embeddings": False}, Stored(GIB, has_output=True)).weights == GIB


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"architectures": ["MambaForCausalLM"]}, "nothing is known of the cache of 'MambaForCausalLM'"),
        ({"torch_dtype": "int4"}, "its dtype is 'int4'"),
        (
            {"architectures": ["Gemma3ForCausalLM"], "sliding_window": 8, "layer_types": ["linear_attention"] * 30},
            "nothing is known of layers of 'linear_attention'",
        ),
    ],
)
def test_what_is_not_known_is_said_to_be_unknown(change: dict[str, Any], said: str) -> None:
    with pytest.raises(UnknownCheckpoint, match=said):
        read({**SMOLLM2, **change})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"architectures": []}, "names no architecture"),
        ({"num_hidden_layers": 1 << 20}, "num_hidden_layers in its config.json is 1048576"),
        ({"hidden_size": "many"}, "hidden_size in its config.json is 'many'; wanted is a whole number from 1"),
        ({"num_attention_heads": 0}, "num_attention_heads in its config.json is 0"),
        (
            {"architectures": ["Olmo3ForCausalLM"], "sliding_window": 8, "layer_types": ["full_attention"]},
            "has 1 layer_types for 30 layers",
        ),
    ],
)
def test_a_configuration_that_cannot_be_is_refused_by_its_key(change: dict[str, Any], said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        read({**SMOLLM2, **change})


@pytest.mark.parametrize("text", [b"", b"\xff", b"[1]", b"[" * 100_000])
def test_a_configuration_that_is_none_is_refused(text: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"m: its config\.json"):
        read_config(text, "m")
