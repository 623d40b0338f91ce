"""A catalogue's shape as a header-only GGUF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gridtie.host.catalogue import Shape
from standins import header_gguf


def write(path: Path, shape: Shape, quantisation: str = "Q4_0") -> None:
    """Write a header-only GGUF of `shape`; its length is that of a real file, its body is a hole."""
    header_gguf.write(path, shape.architecture, _keys(shape), quantisation=quantisation)


def _keys(shape: Shape) -> dict[str, Any]:
    keys: dict[str, Any] = {
        "block_count": shape.block_count,
        "context_length": shape.context_length,
        "embedding_length": shape.embedding_length,
        "feed_forward_length": shape.feed_forward_length or shape.embedding_length,
        "attention.head_count": shape.head_count,
        "attention.head_count_kv": shape.head_count_kv,
        "attention.key_length": shape.key_length,
        "attention.value_length": shape.value_length,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.freq_base": 10000.0,
        "rope.dimension_count": shape.key_length,
        "vocab_size": shape.vocab_size,
    }
    if shape.architecture == "deepseek2":
        keys |= {"rope.dimension_count": shape.rope_length, "attention.kv_lora_rank": shape.kv_lora_rank}
    if shape.mla_cache:
        # Absorbed attention: one shared key of rank + rope values a token, from which the values are read as well.
        keys |= {
            "attention.head_count_kv": 1,
            "attention.key_length": shape.kv_lora_rank + shape.rope_length,
            "attention.value_length": shape.kv_lora_rank,
            "attention.key_length_mla": shape.key_length,
            "attention.value_length_mla": shape.value_length,
        }
    if shape.experts:
        keys |= {
            "expert_count": shape.experts.count,
            "expert_used_count": shape.experts.used,
            "expert_feed_forward_length": shape.experts.feed_forward_length,
            "expert_shared_count": shape.experts.shared,
            "expert_weights_scale": 1.0,
            "leading_dense_block_count": shape.experts.leading_dense_blocks,
        }
    return {**keys, **dict(shape.header)}
