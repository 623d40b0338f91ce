"""What vLLM itself makes of layers: blocks that one request needs, and bytes of a block. Run by vLLM's own Python.

Reads cases as JSON from standard input, each `{layers: [[kv_heads, length, window, latent], …], context, batched,
block}`, and prints for each the blocks of a request and the bytes of one.
"""

import json
import sys
from types import SimpleNamespace

import torch
from vllm.v1.core import kv_cache_utils
from vllm.v1.kv_cache_interface import FullAttentionSpec, MLAAttentionSpec, SlidingWindowSpec


def spec(kv_heads, length, window, latent, block):
    """The layer as vLLM's models declare it."""
    fields = {"block_size": block, "num_kv_heads": kv_heads, "head_size": length, "dtype": torch.bfloat16}
    if latent:
        return MLAAttentionSpec(**fields)
    return SlidingWindowSpec(**fields, sliding_window=window) if window else FullAttentionSpec(**fields)


def config(case):
    """As much of a VllmConfig as the sum looks at; two batches are under way, as asynchronous scheduling has them."""
    return SimpleNamespace(
        model_config=SimpleNamespace(max_model_len=case["context"]),
        scheduler_config=SimpleNamespace(disable_hybrid_kv_cache_manager=False, max_num_batched_tokens=case["batched"]),
        parallel_config=SimpleNamespace(decode_context_parallel_size=1, prefill_context_parallel_size=1),
        cache_config=SimpleNamespace(
            attn_group_size=None,
            num_gpu_blocks_override=None,
            get_resolved_kv_cache_layout=lambda: SimpleNamespace(is_block_outermost=False),
        ),
        attention_config=SimpleNamespace(hisparse_config=None),
        speculative_config=None,
        max_in_flight_tokens=2 * case["batched"],
    )


def answer(case):
    """Blocks of a request, and bytes of a block over all layers."""
    settings = config(case)
    layers = {f"layer.{n}": spec(*each, case["block"]) for n, each in enumerate(case["layers"])}
    groups = kv_cache_utils.get_kv_cache_groups(settings, layers)
    blocks = sum(
        -(-group.kv_cache_spec.max_memory_usage_bytes(settings) // group.kv_cache_spec.page_size_bytes)
        for group in groups
    )
    size = max(len(group.layer_names) for group in groups)
    return [blocks, size * groups[0].kv_cache_spec.page_size_bytes]


print(json.dumps([answer(case) for case in json.load(sys.stdin)]))
