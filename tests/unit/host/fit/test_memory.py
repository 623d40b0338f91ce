"""The arithmetic of memory fit, in round numbers; tests/contract holds it against the real server."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from gridtie.host.catalogue import Experts, License, Model, ModelFile, Shape
from gridtie.host.fit.layers import layers_of_shape
from gridtie.host.fit.memory import (
    BUILD,
    GIB,
    MIB,
    MOST_PARALLEL,
    Settings,
    kept_by_kind,
    max_context,
    max_parallel,
    need,
    need_of_file,
    padded_context,
    read_per_token,
)
from gridtie.host.models.gguf_file import read_header
from standins import fit_shapes, header_gguf

SMALL = Shape("llama", 8192, 30, 576, 9, 3, 64, 64, 49152, feed_forward_length=1536)
LLAMA_8B = Shape("llama", 131072, 32, 4096, 32, 8, 128, 128, 128256, feed_forward_length=14336)
GEMMA3 = Shape(
    *("gemma3", 32768, 18, 640, 4, 1, 256, 256, 262144),
    feed_forward_length=2048,
    header=(("attention.sliding_window", 512),),
)
QWEN35 = Shape(
    *("qwen35", 262144, 64, 5120, 24, 4, 256, 256, 248320),
    feed_forward_length=17408,
    header=(
        ("ssm.conv_kernel", 4),
        ("ssm.group_count", 16),
        ("ssm.inner_size", 6144),
        ("ssm.state_size", 128),
        ("ssm.time_step_rank", 48),
    ),
)
MIXTURE = dataclasses.replace(LLAMA_8B, experts=Experts(count=8, used=2, feed_forward_length=1024))


def test_the_cache_of_the_small_model_at_2048_tokens_is_45_mib() -> None:
    assert need(SMALL, 0, Settings(2048)).kv == 45 * MIB


@pytest.mark.parametrize(("kv_type", "mib"), [("f16", 4096), ("q8_0", 2176), ("q4_0", 1152)])
def test_quantised_caches_take_their_blocks_and_scales(kv_type: str, mib: int) -> None:
    assert need(LLAMA_8B, 0, Settings(32768, kv_type=kv_type)).kv == mib * MIB


def test_compressed_attention_caches_one_vector_a_layer() -> None:
    shape = dataclasses.replace(LLAMA_8B, mla_cache=True, kv_lora_rank=512, rope_length=64)

    assert need(shape, 0, Settings(1024)).kv == 32 * 576 * 1024 * 2


def test_a_projector_is_a_term_of_its_own() -> None:
    plain = need(SMALL, 0, Settings(2048))

    assert dataclasses.replace(plain, projector=5 * MIB).total == plain.total + 5 * MIB


def test_a_sliding_window_costs_its_cells_and_a_batch_however_long_the_context() -> None:
    """3 of 18 layers keep all of 16K tokens, the others 512 and a batch of as many."""
    kept = kept_by_kind(layers_of_shape(GEMMA3, BUILD), Settings(16384, batch=512))

    assert kept == {"full attention": 3 * 16384 * 1024, "sliding-window attention": 15 * 1024 * 1024}


def test_a_window_longer_than_the_context_costs_what_the_context_does() -> None:
    kept = kept_by_kind(layers_of_shape(GEMMA3, BUILD), Settings(700))

    assert kept == {"full attention": 3 * 768 * 1024, "sliding-window attention": 15 * 768 * 1024}


def test_with_swa_full_sliding_layers_keep_the_whole_context() -> None:
    kept = kept_by_kind(layers_of_shape(GEMMA3, BUILD), Settings(16384, swa_full=True))

    assert kept["sliding-window attention"] == 15 * 16384 * 1024


def test_one_cache_for_all_requests_has_room_for_all_their_windows() -> None:
    kept = kept_by_kind(layers_of_shape(GEMMA3, BUILD), Settings(16384, 2, batch=512, unified=True))

    assert kept == {"full attention": 3 * 32768 * 1024, "sliding-window attention": 15 * 1536 * 1024}


def test_linear_attention_keeps_a_state_whatever_the_context() -> None:
    """Published for this model at its whole context with four requests at once: 16,384.0 MiB and 598.50 MiB."""
    found = need(QWEN35, 0, Settings(65536, 4))

    assert (found.kv / MIB, found.state / MIB) == (16384, 598.5)
    assert need(QWEN35, 0, Settings(1024, 4)).state == found.state


def test_tokens_of_a_draft_multiply_the_state() -> None:
    plain, drafted = (need(QWEN35, 0, Settings(1024, draft_tokens=count)).state for count in (0, 3))

    assert drafted == 4 * plain


def test_a_quantised_cache_needs_heads_of_whole_blocks() -> None:
    odd = dataclasses.replace(SMALL, key_length=48, value_length=48)

    with pytest.raises(ValueError, match="multiple of 32, these have 48"):
        need(odd, 0, Settings(2048, kv_type="q8_0"))


def test_without_flash_attention_all_values_are_as_wide_as_the_widest() -> None:
    shape = dataclasses.replace(LLAMA_8B, header=(("attention.head_count_kv", (8, 2) * 16),))
    on, off = (need(shape, 0, Settings(1024, flash_attention=flag)).kv for flag in (True, False))

    assert on == 16 * (8 + 2) * 256 * 1024 * 2
    assert off == 16 * (8 + 2 + 8 + 8) * 128 * 1024 * 2


def test_weights_are_the_tensors_that_are_loaded(tmp_path: Path) -> None:
    """Next-token heads are not, and Gemma 4 loads an embedding that is tied to the output twice."""
    for name in ("glm-4.5-air", "gemma4-e2b"):
        wanted = next(header for header in fit_shapes.headers() if header.name == name)
        header_gguf.write(tmp_path / name, wanted.architecture, wanted.keys)
    glm, gemma = (read_header(tmp_path / name) for name in ("glm-4.5-air", "gemma4-e2b"))
    ahead = sum(tensor.bytes for name, tensor in glm.tensors.items() if name.startswith("blk.46."))

    assert need_of_file(glm, Settings(1024)).weights == sum(t.bytes for t in glm.tensors.values()) - ahead
    assert need_of_file(gemma, Settings(1024)).weights == (
        sum(tensor.bytes for tensor in gemma.tensors.values()) + gemma.tensors["token_embd.weight"].bytes
    )


def test_each_parallel_request_gets_the_whole_context() -> None:
    one, two = (need(SMALL, 0, Settings(2048, parallel=n)) for n in (1, 2))

    assert two.kv == 2 * one.kv


def test_parallel_requests_share_the_compute_buffer() -> None:
    one, two = (need(SMALL, 0, Settings(2048, parallel=n)) for n in (1, 2))

    assert two.compute - one.compute == 4 * SMALL.vocab_size


@pytest.mark.parametrize(("asked", "reserved"), [(1, 256), (256, 256), (257, 512), (5000, 5120)])
def test_a_context_is_rounded_up_to_256_tokens(asked: int, reserved: int) -> None:
    assert padded_context(asked) == reserved


@pytest.mark.parametrize(
    ("engine", "context", "parallel", "ubatch"),
    [
        ("ollama", 4096, 1, 512),
        ("ollama", 4097, 1, 1024),
        ("ollama", 8192, 4, 1024),
        ("ollama", 32768, 2, 2048),
        ("embedded", 32768, 4, 512),
    ],
)
def test_the_batch_is_the_engines_own_choice(engine: str, context: int, parallel: int, ubatch: int) -> None:
    assert Settings(context, parallel, engine=engine).ubatch == ubatch


def test_a_batch_is_never_larger_than_the_context() -> None:
    tiny = need(SMALL, 0, Settings(200))

    assert tiny.compute == 200 * (2 * 256 + 12 * 1536 + 16 * 576 + 20) + 4 * SMALL.vocab_size


@pytest.mark.parametrize(
    ("build", "kv_type", "copies"), [(11063, "f16", 4), (11063, "q8_0", 3), (11549, "f16", 5), (11549, "q8_0", 5)]
)
def test_how_often_an_embedding_is_kept_depends_on_the_build_and_on_the_rotation_of_a_quantised_cache(
    build: int, kv_type: str, copies: int
) -> None:
    found = need(SMALL, 0, Settings(512, kv_type=kv_type, build=build)).compute
    rotation = 0 if kv_type == "f16" else 4 * (64 * 64 + 64 * 64)

    assert found == 512 * (2 * 512 + 12 * 1536 + 4 * copies * 576 + 20) + rotation + 4 * SMALL.vocab_size


def test_a_head_that_cannot_be_rotated_leaves_the_copies_of_a_plain_cache() -> None:
    odd = dataclasses.replace(SMALL, key_length=96, value_length=96, head_count=6)
    plain, quantised = (need(odd, 0, Settings(512, kv_type=kind)).compute for kind in ("f16", "q8_0"))

    assert plain == quantised


def test_flash_attention_saves_gigabytes_at_32k() -> None:
    on, off = (need(LLAMA_8B, 0, Settings(32768, flash_attention=flag)) for flag in (True, False))

    assert off.compute - on.compute > 3 * GIB


def test_a_quantised_cache_without_flash_attention_is_refused() -> None:
    with pytest.raises(ValueError, match="a q8_0 cache needs flash attention"):
        need(SMALL, 0, Settings(2048, kv_type="q8_0", flash_attention=False))


def test_an_unknown_cache_type_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'f8'; known are f16, q8_0, q4_0"):
        need(SMALL, 0, Settings(2048, kv_type="f8"))


def test_a_mixture_is_counted_by_the_experts_that_work() -> None:
    dense, mixed = (need(shape, 0, Settings(2048)).compute for shape in (LLAMA_8B, MIXTURE))

    assert (dense - mixed) == 512 * (12 * 14336 + 16 * 4096 - 2 * (12 * 1024 + 4 * 4096) - 16 * 4096)


def within(budget: int, weights: int, shape: Shape = LLAMA_8B) -> Callable[[Settings], bool]:
    return lambda settings: need(shape, weights, settings).total <= budget


def test_the_largest_context_fits_and_the_next_step_does_not() -> None:
    fits = within(8 * GIB, 5 * GIB)
    found = max_context(LLAMA_8B, Settings(0), fits)

    assert fits(Settings(found))
    assert not fits(Settings(found + 256))


def test_the_largest_context_is_never_beyond_the_trained_one() -> None:
    assert max_context(SMALL, Settings(0), within(1000 * GIB, 0, SMALL)) == 8192


def test_no_context_fits_where_the_weights_alone_do_not() -> None:
    assert max_context(SMALL, Settings(0), within(1 * GIB, 2 * GIB, SMALL)) == 0


def test_the_largest_parallelism_fits_and_one_more_does_not() -> None:
    fits = within(10 * GIB, 5 * GIB)
    found = max_parallel(Settings(8192), fits)

    assert fits(Settings(8192, found))
    assert not fits(Settings(8192, found + 1))


def test_the_largest_parallelism_ends_where_nobody_runs_more() -> None:
    assert max_parallel(Settings(256), within(1000 * GIB, 0, SMALL)) == MOST_PARALLEL


def test_a_mixture_reads_only_its_active_share_for_a_token() -> None:
    dense = Model(
        name="m:1b",
        title="M",
        maker="M",
        license=License("x", True),
        parameters=1000,
        shape=dataclasses.replace(SMALL, block_count=1, head_count_kv=1, key_length=1, value_length=1),
        file=ModelFile(10**9 + 5000, "exact", "Q4_0", header=5000),
        capabilities=(),
        purposes=(),
        sources=(),
    )
    mixture = dataclasses.replace(dense, active_parameters=100)
    cache = 2048 * 2 * 2

    assert read_per_token(dense, Settings(2048)) == 10**9 + cache
    assert read_per_token(mixture, Settings(2048)) == 10**8 + cache
