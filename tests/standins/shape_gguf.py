"""Header-only GGUF files: a model's true shape over a sparse body, a few KiB on disk for a 40 GB model.

llama.cpp reads tensor names, shapes and types from the header and reserves memory by them; in its dry run it never
looks at the weights. So these files make it say what a real model of that shape would need.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Quant

from gridtie.host.catalogue import Shape

TensorShape = tuple[str, tuple[int, ...]]
_ALIGNMENT = gguf.GGUF_DEFAULT_ALIGNMENT


def write(path: Path, shape: Shape, quantisation: str = "Q4_0") -> None:
    """Write a header-only GGUF of `shape`; its length is that of a real file, its body is a hole.

    Matrices get `quantisation` (F16 where a row does not divide into its blocks), vectors F32, as converters do.
    """
    writer = gguf.GGUFWriter(path, shape.architecture)
    _metadata(writer, shape)
    body = 0
    for name, dimensions in tensors(shape):
        kind = _kind(dimensions, Quant[quantisation])
        block, size = gguf.GGML_QUANT_SIZES[kind]
        count = math.prod(dimensions)
        # The numpy type only matters for arrays that are already packed; raw_dtype is what gets written.
        numpy_order = list(reversed(dimensions))
        writer.add_tensor_info(name, numpy_order, np.dtype(np.float32), count // block * size, raw_dtype=kind)
        body += _padded(count // block * size)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    os.truncate(path, _padded(path.stat().st_size) + body)


def tensors(shape: Shape) -> Iterator[TensorShape]:
    """Every tensor of the architecture with its dimensions in GGUF order."""
    width = shape.embedding_length
    yield "token_embd.weight", (width, shape.vocab_size)
    yield "output_norm.weight", (width,)
    yield "output.weight", (width, shape.vocab_size)
    for block in range(shape.block_count):
        parts = [("attn_norm.weight", (width,)), *_attention(shape), ("ffn_norm.weight", (width,))]
        parts += _feed_forward(shape, block)
        for name, dimensions in parts:
            yield f"blk.{block}.{name}", dimensions


def _attention(shape: Shape) -> list[TensorShape]:
    if shape.architecture == "deepseek2":
        return _latent_attention(shape)
    width, heads, kv_heads = shape.embedding_length, shape.head_count, shape.head_count_kv
    queries, keys, values = heads * shape.key_length, kv_heads * shape.key_length, kv_heads * shape.value_length
    parts: list[TensorShape] = [
        ("attn_q.weight", (width, queries)),
        ("attn_k.weight", (width, keys)),
        ("attn_v.weight", (width, values)),
        ("attn_output.weight", (heads * shape.value_length, width)),
    ]
    if shape.architecture == "qwen2":
        parts += [("attn_q.bias", (queries,)), ("attn_k.bias", (keys,)), ("attn_v.bias", (values,))]
    if shape.architecture in ("qwen3", "qwen3moe"):
        parts += [("attn_q_norm.weight", (shape.key_length,)), ("attn_k_norm.weight", (shape.key_length,))]
    return parts


def _latent_attention(shape: Shape) -> list[TensorShape]:
    width, heads, rank, rope = shape.embedding_length, shape.head_count, shape.kv_lora_rank, shape.rope_length
    plain = shape.key_length - rope
    parts: list[TensorShape] = [
        ("attn_q.weight", (width, heads * shape.key_length)),
        ("attn_kv_a_mqa.weight", (width, rank + rope)),
        ("attn_kv_a_norm.weight", (rank,)),
        ("attn_output.weight", (heads * shape.value_length, width)),
    ]
    if shape.mla_cache:
        parts += [("attn_k_b.weight", (plain, rank, heads)), ("attn_v_b.weight", (rank, shape.value_length, heads))]
    else:
        parts += [("attn_kv_b.weight", (rank, heads * (plain + shape.value_length)))]
    return parts


def _feed_forward(shape: Shape, block: int) -> list[TensorShape]:
    width, experts = shape.embedding_length, shape.experts
    if experts is None or block < experts.leading_dense_blocks:
        return _gated("ffn_{}.weight", width, shape.feed_forward_length)
    parts: list[TensorShape] = [("ffn_gate_inp.weight", (width, experts.count))]
    parts += _gated("ffn_{}_exps.weight", width, experts.feed_forward_length, experts.count)
    if experts.shared:
        parts += _gated("ffn_{}_shexp.weight", width, experts.feed_forward_length * experts.shared)
    return parts


def _gated(name: str, width: int, inner: int, *count: int) -> list[TensorShape]:
    return [
        (name.format("gate"), (width, inner, *count)),
        (name.format("up"), (width, inner, *count)),
        (name.format("down"), (inner, width, *count)),
    ]


def _metadata(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_block_count(shape.block_count)
    writer.add_context_length(shape.context_length)
    writer.add_embedding_length(shape.embedding_length)
    writer.add_feed_forward_length(shape.feed_forward_length or shape.embedding_length)
    writer.add_head_count(shape.head_count)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(shape.vocab_size)
    writer.add_tokenizer_model("no_vocab")
    if shape.architecture == "deepseek2":
        _latent_metadata(writer, shape)
    else:
        writer.add_head_count_kv(shape.head_count_kv)
        writer.add_key_length(shape.key_length)
        writer.add_value_length(shape.value_length)
        writer.add_rope_dimension_count(shape.key_length)
    if shape.experts:
        writer.add_expert_count(shape.experts.count)
        writer.add_expert_used_count(shape.experts.used)
        writer.add_expert_feed_forward_length(shape.experts.feed_forward_length)


def _latent_metadata(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_rope_dimension_count(shape.rope_length)
    writer.add_kv_lora_rank(shape.kv_lora_rank)
    if shape.mla_cache:
        # Absorbed attention: one shared key of rank + rope values a token, from which the values are read as well.
        writer.add_head_count_kv(1)
        writer.add_key_length(shape.kv_lora_rank + shape.rope_length)
        writer.add_value_length(shape.kv_lora_rank)
        writer.add_key_length_mla(shape.key_length)
        writer.add_value_length_mla(shape.value_length)
    else:
        writer.add_head_count_kv(shape.head_count_kv)
        writer.add_key_length(shape.key_length)
        writer.add_value_length(shape.value_length)
    if shape.experts:
        writer.add_leading_dense_block_count(shape.experts.leading_dense_blocks)
        writer.add_expert_shared_count(shape.experts.shared)
        writer.add_expert_weights_scale(1.0)


def _kind(dimensions: tuple[int, ...], wanted: Quant) -> Quant:
    if len(dimensions) == 1:
        return Quant.F32
    return wanted if dimensions[0] % gguf.GGML_QUANT_SIZES[wanted][0] == 0 else Quant.F16


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
