"""What a model is made of, by its header and the rule of its architecture."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from gridtie.host.catalogue import Experts, Shape
from gridtie.host.fit.header import GgufError, Header, Long, Tensor
from gridtie.host.fit.layers import Layers, UnknownArchitecture, layers_of, layers_of_shape, shape_of
from gridtie.host.fit.memory import BUILD

# The build before (config/artefacts.yaml has the one that is counted).
FORMER = 10566
PLAIN: dict[str, Any] = {
    "block_count": 4,
    "context_length": 8192,
    "embedding_length": 1024,
    "feed_forward_length": 4096,
    "attention.head_count": 8,
    "attention.head_count_kv": 2,
    "vocab_size": 1000,
}


def header(architecture: str, **more: Any) -> Header:
    keys = {**PLAIN, **{key.replace("__", "."): value for key, value in more.items()}}
    own = {f"{architecture}.{key}": value for key, value in keys.items() if value is not None}
    return Header({"general.architecture": architecture, **own}, {})


def layers(architecture: str, build: int = BUILD, **more: Any) -> Layers:
    return layers_of(header(architecture, **more), build)


def sliding(found: Layers) -> list[int]:
    return [at for at, layer in enumerate(found.layers) if layer.slides]


def test_what_the_header_leaves_out_is_as_the_engine_takes_it() -> None:
    """Heads share the embedding evenly, and each has its own key and value heads."""
    found = layers("llama", attention__head_count_kv=None).layers[0]

    assert (found.key_length, found.value_length, found.kv_heads) == (128, 128, 8)


def test_lengths_of_a_head_are_the_headers_own() -> None:
    found = layers("qwen3", attention__key_length=160, attention__value_length=96).layers[0]

    assert (found.key_length, found.value_length, found.queries) == (160, 96, 8 * 160)


def test_an_array_has_its_value_for_each_layer() -> None:
    found = layers("granitehybrid", attention__head_count_kv=(0, 4, 0, 2), ssm__inner_size=2048, ssm__state_size=64)

    assert [layer.kv_heads for layer in found.layers] == [0, 4, 0, 2]
    assert [layer.cached for layer in found.layers] == [False, True, False, True]
    assert [bool(layer.state) for layer in found.layers] == [True, False, True, False]


@pytest.mark.parametrize(
    ("architecture", "more", "slide"),
    [
        ("gemma2", {}, [0, 2]),
        ("gemma3", {"attention__sliding_window": 512}, [0, 1, 2, 3]),
        ("gemma3", {}, []),
        ("gemma3", {"attention__sliding_window": 512, "attention__sliding_window_pattern": 2}, [0, 2]),
        ("gpt-oss", {"attention__sliding_window": 128}, [0, 2]),
        ("laguna", {"attention__sliding_window": 512}, [1, 2, 3]),
        ("llama4", {}, [0, 1, 2]),
        ("llama4", {"attention__sliding_window": 0}, []),
        ("phi3", {"attention__sliding_window": 2048}, []),
        ("mistral3", {"attention__sliding_window": 2048}, []),
        ("exaone4", {"attention__sliding_window": 4096}, []),
    ],
)
def test_which_layers_slide_is_the_architectures_own_rule(
    architecture: str, more: dict[str, Any], slide: list[int]
) -> None:
    assert sliding(layers(architecture, **more)) == slide


def test_a_pattern_array_is_read_where_the_build_reads_it() -> None:
    pattern = {"attention__sliding_window": 512, "attention__sliding_window_pattern": (True, False, True, False)}

    assert sliding(layers("gemma3", FORMER, **pattern)) == [0, 1, 2, 3]
    assert sliding(layers("gemma3", BUILD, **pattern)) == [0, 2]


def test_llama4_has_a_window_of_8192_whatever_its_header_says() -> None:
    assert layers("llama4", attention__sliding_window=100).window == 8192


def test_sliding_heads_may_have_lengths_of_their_own() -> None:
    found = layers(
        "gemma4",
        attention__key_length=512,
        attention__value_length=512,
        attention__key_length_swa=256,
        attention__value_length_swa=256,
        attention__sliding_window=1024,
        attention__sliding_window_pattern=(True, True, True, False),
        attention__shared_kv_layers=1,
    )

    assert [layer.key_length for layer in found.layers] == [256, 256, 256, 512]
    assert [layer.cached for layer in found.layers] == [True, True, True, False]


def test_all_but_every_fourth_layer_of_linear_attention_recur() -> None:
    found = layers("qwen35", block_count=8, ssm__inner_size=2048, ssm__state_size=128)

    assert [layer.attends for layer in found.layers] == [False, False, False, True] * 2


def test_nemotron_attends_only_where_there_is_no_feed_forward() -> None:
    found = layers(
        "nemotron_h",
        attention__head_count_kv=(0, 0, 2, 0),
        feed_forward_length=(0, 4096, 0, 4096),
        ssm__inner_size=2048,
        ssm__state_size=128,
    )

    assert [(layer.attends, bool(layer.state)) for layer in found.layers] == [
        (False, True),
        (False, False),
        (True, False),
        (False, False),
    ]


@pytest.mark.parametrize(("build", "cached"), [(FORMER, True), (BUILD, False)])
def test_next_token_heads_have_a_cache_in_builds_that_give_them_one(build: int, cached: bool) -> None:
    found = layers("glm4moe", build, nextn_predict_layers=1, expert_count=8, expert_used_count=2)

    assert (len(found.layers), len(found.heads_ahead)) == (3, 1)
    assert found.heads_ahead[0].cached is cached


def test_experts_without_a_width_of_their_own_have_the_feed_forwards() -> None:
    found = layers("llama", expert_count=8, expert_used_count=2)

    assert found.mixture
    assert found.mixture.feed_forward == 4096


def test_an_architecture_without_a_rule_is_said_to_be_unknown_by_name() -> None:
    with pytest.raises(UnknownArchitecture, match="'shiny-new' cannot be predicted") as unknown:
        layers("shiny-new")

    assert "\n" not in str(unknown.value)


@pytest.mark.parametrize(
    ("architecture", "more", "reason"),
    [
        ("llama", {"block_count": None}, r"llama\.block_count is missing"),
        ("llama", {"block_count": 0}, r"llama\.block_count is 0, which no model has"),
        ("llama", {"block_count": 1 << 40}, r"llama\.block_count is 1099511627776"),
        ("llama", {"embedding_length": "wide"}, "is 'wide', where a whole number was expected"),
        ("llama", {"embedding_length": float("nan")}, "is nan, where a whole number was expected"),
        ("llama", {"attention__head_count": (8, 8)}, "has 2 values for 4 layers"),
        ("llama", {"attention__head_count": Long(4_000_000)}, "where a whole number was expected"),
        ("llama", {"attention__head_count": -1}, r"head_count is -1"),
        ("llama", {"expert_count": 8, "expert_used_count": 9}, "expert_used_count is 9"),
        ("gpt-oss", {}, "lacks gpt-oss.attention.sliding_window"),
        ("gemma4", {"attention__sliding_window": 512}, "says layer by layer what slides"),
        ("granitehybrid", {"attention__head_count_kv": (0, 0, 0, 1)}, "lacks granitehybrid.ssm.inner_size"),
        ("glm4moe", {"nextn_predict_layers": 4}, "nextn_predict_layers is 4"),
    ],
)
def test_a_header_that_lacks_a_value_or_lies_is_refused_with_its_name(
    architecture: str, more: dict[str, Any], reason: str
) -> None:
    with pytest.raises(GgufError, match=reason):
        layers(architecture, **more)


def test_one_part_of_a_split_model_is_not_taken_for_the_whole() -> None:
    with pytest.raises(GgufError, match="one of 3 parts"):
        shape_of(dataclasses.replace(header("llama"), metadata={**header("llama").metadata, "split.count": 3}))


def test_the_vocabulary_is_counted_by_its_tokens_or_the_rows_of_the_embedding() -> None:
    bare = header("llama", vocab_size=None)
    tokens = dataclasses.replace(bare, metadata={**bare.metadata, "tokenizer.ggml.tokens": Long(32000)})
    embedded = dataclasses.replace(bare, tensors={"token_embd.weight": Tensor((1024, 128256), 0, 0)})

    assert shape_of(tokens).vocab_size == 32000
    assert shape_of(embedded).vocab_size == 128256


def test_a_catalogues_shape_goes_the_same_way_as_a_header() -> None:
    shape = Shape("qwen3moe", 8192, 4, 1024, 8, 2, 128, 128, 1000, 4096, Experts(16, 4, 512))
    same = layers(
        *("qwen3moe", BUILD),
        attention__key_length=128,
        attention__value_length=128,
        expert_count=16,
        expert_used_count=4,
        expert_feed_forward_length=512,
    )

    assert layers_of_shape(shape, BUILD) == same


def test_a_catalogues_shape_may_say_more_as_a_header_would() -> None:
    shape = Shape("gemma3", 8192, 6, 1024, 8, 2, 128, 128, 1000, 4096, header=(("attention.sliding_window", 512),))

    assert sliding(layers_of_shape(shape, BUILD)) == [0, 1, 2, 3, 4]
