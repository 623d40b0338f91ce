"""The arithmetic of memory fit, in round numbers; tests/contract holds it against the real server."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from gridtie.host.catalogue import Experts, License, Model, ModelFile, Shape
from gridtie.host.fit.memory import (
    GIB,
    MIB,
    MOST_PARALLEL,
    Settings,
    kv_bytes,
    largest_context,
    largest_parallel,
    need,
    padded_context,
    read_per_token,
)

SMALL = Shape("llama", 8192, 30, 576, 9, 3, 64, 64, 49152, feed_forward_length=1536)
LLAMA_8B = Shape("llama", 131072, 32, 4096, 32, 8, 128, 128, 128256, feed_forward_length=14336)
MIXTURE = dataclasses.replace(LLAMA_8B, experts=Experts(count=8, used=2, feed_forward_length=1024))


def test_the_cache_of_the_small_model_at_2048_tokens_is_45_mib() -> None:
    assert kv_bytes(SMALL, 2048) == 45 * MIB


@pytest.mark.parametrize(("kv_type", "mib"), [("f16", 4096), ("q8_0", 2176), ("q4_0", 1152)])
def test_quantised_caches_take_their_blocks_and_scales(kv_type: str, mib: int) -> None:
    assert kv_bytes(LLAMA_8B, 32768, kv_type) == mib * MIB


def test_compressed_attention_caches_one_vector_a_layer() -> None:
    shape = dataclasses.replace(LLAMA_8B, mla_cache=True, kv_lora_rank=512, rope_length=64)

    assert kv_bytes(shape, 1000) == 32 * 576 * 1000 * 2


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

    assert tiny.compute == 200 * (2 * 256 + 12 * 1536 + 16 * 576) + 4 * SMALL.vocab_size


@pytest.mark.parametrize(
    ("build", "kv_type", "copies"), [(10566, "f16", 4), (10566, "q8_0", 3), (11549, "f16", 5), (11549, "q8_0", 5)]
)
def test_how_often_an_embedding_is_kept_depends_on_the_build_and_on_the_rotation_of_a_quantised_cache(
    build: int, kv_type: str, copies: int
) -> None:
    found = need(SMALL, 0, Settings(512, kv_type=kv_type, build=build)).compute

    assert found == 512 * (2 * 512 + 12 * 1536 + 4 * copies * 576) + 4 * SMALL.vocab_size


def test_a_head_that_cannot_be_rotated_leaves_the_copies_of_a_plain_cache() -> None:
    odd = dataclasses.replace(SMALL, key_length=48, value_length=48)
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

    assert (dense - mixed) == 512 * (12 * 14336 + 16 * 4096 - 2 * (12 * 1024 + 4 * 4096) - 20 * 4096)


def within(budget: int, weights: int, shape: Shape = LLAMA_8B) -> Callable[[Settings], bool]:
    return lambda settings: need(shape, weights, settings).total <= budget


def test_the_largest_context_fits_and_the_next_step_does_not() -> None:
    fits = within(8 * GIB, 5 * GIB)
    found = largest_context(LLAMA_8B, Settings(0), fits)

    assert fits(Settings(found))
    assert not fits(Settings(found + 256))


def test_the_largest_context_is_never_beyond_the_trained_one() -> None:
    assert largest_context(SMALL, Settings(0), within(1000 * GIB, 0, SMALL)) == 8192


def test_no_context_fits_where_the_weights_alone_do_not() -> None:
    assert largest_context(SMALL, Settings(0), within(1 * GIB, 2 * GIB, SMALL)) == 0


def test_the_largest_parallelism_fits_and_one_more_does_not() -> None:
    fits = within(10 * GIB, 5 * GIB)
    found = largest_parallel(Settings(8192), fits)

    assert fits(Settings(8192, found))
    assert not fits(Settings(8192, found + 1))


def test_the_largest_parallelism_ends_where_nobody_runs_more() -> None:
    assert largest_parallel(Settings(256), within(1000 * GIB, 0, SMALL)) == MOST_PARALLEL


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
