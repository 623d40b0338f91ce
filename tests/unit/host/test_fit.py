"""The arithmetic of memory fit, in round numbers; tests/contract holds it against the real server."""

from __future__ import annotations

import dataclasses

import pytest

from gridtie.host.catalogue import Experts, License, Model, ModelFile, Shape
from gridtie.host.fit import GIB, MIB, Settings, kv_bytes, largest_context, need, padded_context, tokens_per_second

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
    tiny = need(SMALL, 0, Settings(256))

    assert tiny.compute == 256 * (2 * 256 + 12 * 1536 + 20 * 576) + 4 * SMALL.vocab_size


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

    assert (dense - mixed) == 512 * (12 * 14336 - 2 * (12 * 1024 + 4 * 4096))


def test_the_largest_context_fits_and_the_next_step_does_not() -> None:
    budget = 8 * GIB
    found = largest_context(LLAMA_8B, 5 * GIB, budget, Settings(0))

    assert (
        need(LLAMA_8B, 5 * GIB, Settings(found)).total <= budget < need(LLAMA_8B, 5 * GIB, Settings(found + 256)).total
    )


def test_the_largest_context_is_never_beyond_the_trained_one() -> None:
    assert largest_context(SMALL, 0, 1000 * GIB, Settings(0)) == 8192


def test_no_context_fits_where_the_weights_alone_do_not() -> None:
    assert largest_context(SMALL, 2 * GIB, 1 * GIB, Settings(0)) == 0


def test_a_mixture_reads_only_its_active_share_for_a_token() -> None:
    dense = Model(
        name="m:1b",
        title="M",
        maker="M",
        license=License("x", True),
        parameters=1000,
        shape=dataclasses.replace(SMALL, block_count=1, head_count_kv=1, key_length=1, value_length=1),
        file=ModelFile(10**9, "exact", "Q4_0"),
        capabilities=(),
        purposes=(),
        sources=(),
    )
    mixture = dataclasses.replace(dense, active_parameters=100)
    slow, fast = (tokens_per_second(model, Settings(2048), 10e9) for model in (dense, mixture))

    assert slow == pytest.approx(10, rel=0.01)
    assert fast == pytest.approx(100, rel=0.01)
