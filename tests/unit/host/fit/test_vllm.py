"""What vLLM makes of cards and checkpoints: its share, its cache by blocks, over how many cards, and why not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gridtie.host.fit.checkpoint import Checkpoint, CheckpointError, Stored, checkpoint_of
from gridtie.host.fit.vllm import (
    Card,
    Settings,
    batch_bytes,
    cache_of,
    check_split,
    completed,
    least_share,
    too_little_free,
    used,
)
from standins.checkpoints import SMOLLM2

GIB = 1 << 30
LARGE = {
    **SMOLLM2,
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
}


def model(config: dict[str, Any] | None = None, weights: int = 269_060_736, **change: Any) -> Checkpoint:
    return checkpoint_of("m", {**(config or SMOLLM2), **change}, Stored(weights))


def cards(count: int = 1, gib: int = 24) -> list[Card]:
    return [Card("a card", gib * GIB, gib * GIB)] * count


def test_the_cache_is_what_the_share_leaves_in_whole_blocks() -> None:
    use = used(model(), cards(), Settings())

    assert use.share == int(24 * GIB * 0.92)
    assert use.cache == use.share - use.weights - use.compute - use.beside
    # 16 tokens of 3 heads with a key and a value of 64 in two bytes, in 30 layers.
    assert use.tokens == use.cache // (16 * 3 * 128 * 2 * 30) * 16
    assert use.at_once == use.tokens / 8192


def test_half_the_bytes_of_an_element_hold_twice_the_tokens() -> None:
    half = used(model(), cards(), Settings(cache_bytes=1))

    assert half.tokens == pytest.approx(2 * used(model(), cards(), Settings()).tokens, rel=0.001)


def test_a_block_on_the_processor_has_128_tokens() -> None:
    assert cache_of(model(), Settings(on_processor=True)).page == 128 * 3 * 128 * 2


def test_layers_that_slide_need_blocks_for_a_window_and_a_batch() -> None:
    sliding, settings = model(architectures=["Gemma3ForCausalLM"], sliding_window=512), Settings(batched=2048)
    cache = cache_of(sliding, settings)

    # 25 layers slide and 5 do not: groups of 5, of which five slide.
    assert (cache.layers, len(cache.groups)) == (5, 6)
    # Two batches may be under way.
    window = -(-(511 + 2 * 2048) // 16) + 1
    assert cache.blocks(8192, settings) == 5 * window + 8192 // 16
    assert cache.blocks(16, settings) == 5 * 2 + 1


def test_groups_that_are_nearly_as_large_are_filled_up() -> None:
    kinds = ["sliding_attention"] * 17 + ["full_attention"] * 13
    found = model(architectures=["Gemma3ForCausalLM"], sliding_window=512, layer_types=kinds)

    assert (cache_of(found, Settings()).layers, len(cache_of(found, Settings()).groups)) == (17, 2)


def test_two_cards_share_weights_and_heads() -> None:
    one, two = model(LARGE, 141 * GIB), Settings(cards=2)

    use = used(one, cards(2, 141), two)

    assert use.weights == -(-141 * GIB // 2)
    assert cache_of(one, two).page == 16 * 4 * 256 * 2
    assert use.fits


def test_more_cards_than_heads_of_the_cache_keep_one_each() -> None:
    assert cache_of(model(LARGE), Settings(cards=16)).page == 16 * 1 * 256 * 2


def test_every_card_has_the_whole_of_a_compressed_vector() -> None:
    latent = model(LARGE, architectures=["DeepseekV3ForCausalLM"], kv_lora_rank=512, qk_rope_head_dim=64)

    assert cache_of(latent, Settings(cards=4)).page == cache_of(latent, Settings()).page == 16 * 576 * 2


@pytest.mark.parametrize("count", [2, 4, 5, 6])
def test_heads_that_cannot_be_split_are_refused_with_what_can_be(count: int) -> None:
    with pytest.raises(
        CheckpointError, match=r"9 heads and 3 of keys and values cannot be split .* possible are 1, 3, 9"
    ):
        check_split(model(), count)


def test_the_largest_context_is_one_that_fits_and_the_next_is_not() -> None:
    large, settings = model(LARGE, 16 * GIB), Settings()
    use = used(large, cards(), settings)

    assert not use.fits
    assert 0 < use.largest < 131072
    assert used(large, cards(), replace(settings, context=use.largest)).fits
    assert not used(large, cards(), replace(settings, context=use.largest + 16)).fits


def test_no_more_context_is_counted_than_it_was_trained_for() -> None:
    assert used(model(), cards(), Settings(context=1 << 20)).context == 8192


def test_what_does_not_fit_at_all_has_no_context() -> None:
    use = used(model(LARGE, 141 * GIB), cards(), Settings())

    assert (use.fits, use.largest, use.tokens, use.at_once) == (False, 0, 0, 0)


def test_the_least_share_is_told_where_one_does() -> None:
    small, narrow = model(), Settings(share=0.01)

    least = least_share(small, cards(), narrow)

    assert least is not None
    assert used(small, cards(), replace(narrow, share=least)).fits
    assert not used(small, cards(), replace(narrow, share=least - 0.01)).fits
    assert least_share(model(LARGE, 141 * GIB), cards(), narrow) is None


def test_a_card_that_others_use_is_told_with_the_share_that_is_left() -> None:
    busy = [Card("a card", 24 * GIB, 12 * GIB)]

    assert too_little_free(cards(), Settings()) == ""
    assert "12.0 GiB are free" in too_little_free(busy, Settings())
    assert "--gpu-memory-utilization 0.50" in too_little_free(busy, Settings())
    assert too_little_free(busy, Settings(share=0.5)) == ""


def test_a_wider_model_computes_in_more() -> None:
    alone, split = Settings(batched=2048, sequences=256), Settings(batched=2048, sequences=256, cards=2)

    assert batch_bytes(model(LARGE), alone) > 2 * batch_bytes(model(), alone)
    assert batch_bytes(model(LARGE), split) < batch_bytes(model(LARGE), alone)


@pytest.mark.parametrize(
    ("name", "gib", "on_processor", "wanted"),
    [
        ("NVIDIA L40S", 48, False, (2048, 256)),
        ("NVIDIA H200", 141, False, (8192, 1024)),
        ("NVIDIA B200", 180, False, (16384, 1024)),
        ("NVIDIA A100 80GB", 80, False, (2048, 256)),
        ("memory", 512, True, (2048, 128)),
    ],
)
def test_what_is_computed_at_once_is_vllms_own_default_for_such_a_card(
    name: str, gib: int, on_processor: bool, wanted: tuple[int, int]
) -> None:
    found = completed(Settings(on_processor=on_processor), model(), Card(name, gib * GIB, gib * GIB))

    assert (found.batched, found.sequences) == wanted
    own = completed(Settings(batched=512, sequences=4), model(), Card(name, gib * GIB, gib * GIB))
    assert (own.batched, own.sequences) == (512, 4)
