"""Header-only GGUF files of any architecture: true metadata and tensors over a sparse body, a few KiB on disk.

llama.cpp reads names, shapes and types from the header and reserves memory by them; in its dry run it never looks at
the weights. `tensors_of` knows which tensors an architecture has (as llama.cpp's `load_arch_tensors` demands them);
`write` writes the file.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Quant

# A tensor's name, and its dimensions in GGUF order.
Tensor = tuple[str, tuple[int, ...]]
# Metadata without the architecture's prefix.
Keys = Mapping[str, Any]

_ALIGNMENT = gguf.GGUF_DEFAULT_ALIGNMENT


def write(
    path: Path, architecture: str, keys: Keys, tensors: Iterable[Tensor] | None = None, quantisation: str = "Q4_0"
) -> None:
    """Write a header-only GGUF; its length is that of a real file, its body is a hole.

    Matrices get `quantisation` (F16 where a row does not divide into its blocks), vectors F32, as converters do.
    """
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_tokenizer_model("no_vocab")
    for key, value in keys.items():
        _add(writer, key if "general." in key or "tokenizer." in key else f"{architecture}.{key}", value)
    body = 0
    for name, dimensions in tensors if tensors is not None else tensors_of(architecture, keys):
        kind = _kind(dimensions, Quant[quantisation])
        block, size = gguf.GGML_QUANT_SIZES[kind]
        length = math.prod(dimensions) // block * size
        # The numpy type only matters for arrays that are already packed; raw_dtype is what gets written.
        writer.add_tensor_info(name, list(reversed(dimensions)), np.dtype(np.float32), length, raw_dtype=kind)
        body += _padded(length)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    os.truncate(path, _padded(path.stat().st_size) + body)


def tensors_of(architecture: str, keys: Keys) -> Iterator[Tensor]:
    """Every tensor that llama.cpp demands of this architecture, and the optional ones that real files have."""
    layers = _Layers(architecture, keys)
    width, vocabulary = layers.width, keys["vocab_size"]
    yield "token_embd.weight", (width, vocabulary)
    if not keys.get("tied"):
        yield "output.weight", (width, vocabulary)
    yield from layers.norms()
    yield from layers.outside()
    for number in range(keys["block_count"]):
        for name, dimensions in layers.block(number):
            yield f"blk.{number}.{name}", dimensions


class _Layers:
    """The tensors of an architecture's blocks."""

    def __init__(self, architecture: str, keys: Keys) -> None:
        self.architecture = architecture
        self.keys = keys
        self.width: int = keys["embedding_length"]
        self.blocks: int = keys["block_count"] - keys.get("nextn_predict_layers", 0)

    def each(self, key: str, number: int, default: int = 0) -> int:
        value = self.keys.get(key, default)
        return int(value[number] if isinstance(value, (list, tuple)) else value)

    def slides(self, number: int) -> bool:
        pattern = self.keys.get("attention.sliding_window_pattern", ())
        return isinstance(pattern, list) and bool(pattern[number])

    def recurs(self, number: int) -> bool:
        if not {"ssm.inner_size", "shortconv.l_cache", "kda.head_dim"} & set(self.keys):
            return False
        if self.architecture in ("mamba2", "falcon-h1"):
            return True
        if self.architecture.startswith("qwen3"):
            every = self.keys.get("attention.recurrent_layers")
            interval = self.keys.get("full_attention_interval", 4)
            return number < self.blocks and (bool(every[number]) if every else (number + 1) % interval != 0)
        plain = self.each("attention.head_count_kv", number) == 0
        if self.architecture.startswith("nemotron_h"):
            return plain and self.each("feed_forward_length", number) == 0
        return plain

    def norms(self) -> Iterator[Tensor]:
        width, architecture = self.width, self.architecture
        if architecture in _ENCODERS:
            yield "token_embd_norm.weight", (width,)
            yield "token_embd_norm.bias", (width,)
            return
        if architecture != "olmo":
            yield "token_embd_norm.weight" if architecture.startswith("lfm2") else "output_norm.weight", (width,)
        if architecture in _BIASED_NORMS:
            yield "output_norm.bias", (width,)
        if architecture in ("phi2", "phimoe"):
            yield "output.bias", (self.keys["vocab_size"],)

    def outside(self) -> Iterator[Tensor]:
        if self.architecture in _ENCODERS:
            yield "token_types.weight", (self.width, self.keys["tokenizer.ggml.token_type_count"])
        if self.architecture in ("bert", "starcoder"):
            yield "position_embd.weight", (self.width, self.keys["context_length"])
        if self.architecture in ("gemma3n", "gemma4"):
            each = self.keys.get("embedding_length_per_layer_input", 256 if self.architecture == "gemma3n" else 0)
            if each:
                yield "per_layer_token_embd.weight", (each * self.blocks, self.keys["vocab_size"])
                yield "per_layer_model_proj.weight", (self.width, each * self.blocks)
                yield "per_layer_proj_norm.weight", (each,)
        if self.architecture == "gemma3n":
            yield "altup_proj.weight", (self.width, self.width, 3)
            yield "altup_unembd_proj.weight", (self.width, self.width, 3)
        if self.architecture == "gemma4":
            yield "rope_freqs.weight", (self.head("key")[0] // 2,)

    def head(self, what: str) -> tuple[int, int]:
        """Length of a head in full and in sliding layers."""
        plain = self.width // max(1, self.each("attention.head_count", 0))
        full = self.keys.get(f"attention.{what}_length", plain)
        return full, self.keys.get(f"attention.{what}_length_swa", full)

    def block(self, number: int) -> Iterator[Tensor]:
        architecture, width = self.architecture, self.width
        if architecture == "deci":
            yield from self._pruned(number)
            return
        if architecture not in ("olmo2", "exaone4", "olmo", *_ENCODERS):
            yield "attn_norm.weight", (width,)
        if architecture in _BIASED_NORMS:
            yield "attn_norm.bias", (width,)
        feeds_alone = architecture.startswith("nemotron_h") and self.each("feed_forward_length", number) > 0
        if self.recurs(number):
            yield from self._recurrent()
        if not feeds_alone and (not self.recurs(number) or architecture == "falcon-h1") and architecture != "mamba2":
            yield from self._attention(number)
        if architecture != "mamba2" and (feeds_alone or not architecture.startswith("nemotron_h")):
            yield from self._feed_forward(number)
        if architecture in ("gemma3n", "gemma4"):
            yield from self._beside()
        if number >= self.blocks:
            yield "nextn.eh_proj.weight", (2 * width, width)
            yield from ((f"nextn.{norm}.weight", (width,)) for norm in ("enorm", "hnorm", "shared_head_norm"))

    def _pruned(self, number: int) -> Iterator[Tensor]:
        """A block of DeciLM, of which attention or the feed-forward part may have been taken out."""
        width = self.width
        if self.each("attention.head_count", number):
            yield "attn_norm.weight", (width,)
            if self.each("attention.head_count_kv", number):
                yield from self._attention(number)
            else:
                yield "attn_output.weight", (width, width)
        if self.each("feed_forward_length", number):
            yield from self._feed_forward(number)

    def _recurrent(self) -> Iterator[Tensor]:
        keys, width = self.keys, self.width
        if "shortconv.l_cache" in keys:
            yield "shortconv.conv.weight", (keys["shortconv.l_cache"], width)
            yield "shortconv.in_proj.weight", (width, 3 * width)
            yield "shortconv.out_proj.weight", (width, width)
            return
        if "kda.head_dim" in keys:
            yield from self._delta()
            return
        inner, state, rank = keys["ssm.inner_size"], keys["ssm.state_size"], keys["ssm.time_step_rank"]
        groups, kernel = keys.get("ssm.group_count", 0), keys["ssm.conv_kernel"]
        conv = inner + 2 * groups * state
        if self.architecture.startswith("qwen3"):
            yield "attn_qkv.weight", (width, conv)
            yield "attn_gate.weight", (width, inner)
            yield "ssm_conv1d.weight", (kernel, conv)
            yield "ssm_dt.bias", (rank,)
            yield "ssm_a", (rank,)
            if self.architecture == "qwen3next":
                yield "ssm_ba.weight", (width, 2 * rank)
            else:
                yield from ((f"ssm_{name}.weight", (width, rank)) for name in ("beta", "alpha"))
            yield "ssm_norm.weight", (state,)
            yield "ssm_out.weight", (inner, width)
            return
        if self.architecture == "jamba":
            yield "ssm_in.weight", (width, 2 * inner)
            yield "ssm_conv1d.weight", (kernel, inner)
            yield "ssm_conv1d.bias", (inner,)
            yield "ssm_x.weight", (inner, rank + 2 * state)
            yield "ssm_dt.weight", (rank, inner)
            yield "ssm_dt.bias", (inner,)
            yield "ssm_dt_norm.weight", (rank,)
            yield from ((f"ssm_{name}_norm.weight", (state,)) for name in ("b", "c"))
            yield "ssm_a", (state, inner)
            yield "ssm_d", (inner,)
            yield "ssm_out.weight", (inner, width)
            return
        yield "ssm_in.weight", (width, inner + conv + rank)
        yield "ssm_conv1d.weight", (kernel, conv)
        yield "ssm_conv1d.bias", (conv,)
        yield "ssm_dt.bias", (rank,)
        yield "ssm_a", (1, rank)
        yield "ssm_d", (1, rank)
        yield "ssm_norm.weight", (inner // groups, groups)
        yield "ssm_out.weight", (inner, width)

    def _delta(self) -> Iterator[Tensor]:
        """Kimi's delta attention."""
        width, head = self.width, self.keys["kda.head_dim"]
        heads = self.each("attention.head_count", 0)
        inner = heads * head
        for name in ("q", "k", "v"):
            yield f"ssm_conv1d_{name}.weight", (self.keys["ssm.conv_kernel"], 1, inner)
            yield f"attn_{name}.weight", (width, inner)
        for name in ("f", "g"):
            yield f"ssm_{name}_a.weight", (width, head)
            yield f"ssm_{name}_b.weight", (head, inner)
        yield "ssm_beta.weight", (width, heads)
        yield "ssm_a", (1, heads)
        yield "ssm_dt.bias", (inner,)
        yield "ssm_norm.weight", (head,)
        yield "attn_output.weight", (inner, width)

    def _attention(self, number: int) -> Iterator[Tensor]:
        architecture, keys, width = self.architecture, self.keys, self.width
        if "attention.kv_lora_rank" in keys:
            yield from self._latent()
            return
        index = self.slides(number)
        key, value = self.head("key")[index], self.head("value")[index]
        heads = self.each("attention.head_count", number)
        kv = self.each("attention.head_count_kv", number, heads)
        queries = heads * key * (2 if architecture.startswith(("qwen35", "qwen3next")) else 1)
        cached = not self.blocks - keys.get("attention.shared_kv_layers", 0) <= number < self.blocks
        if architecture in ("phi3", "bailingmoe2", "falcon", "gptneox", "starcoder", "dbrx"):
            yield "attn_qkv.weight", (width, queries + kv * (key + value))
            if architecture in ("gptneox", "starcoder"):
                yield "attn_qkv.bias", (queries + kv * (key + value),)
        else:
            yield "attn_q.weight", (width, queries)
            if cached:
                yield "attn_k.weight", (width, kv * key)
                yield "attn_v.weight", (width, kv * value)
        yield "attn_output.weight", (heads * value, width)
        if architecture in ("qwen2", "qwen2vl", "qwen2moe", "gpt-oss", "starcoder2", "glm4moe", "seed_oss", "phi2"):
            yield from ((f"attn_{n}.bias", (s,)) for n, s in (("q", queries), ("k", kv * key), ("v", kv * value)))
        if architecture in ("gpt-oss", "starcoder2", "phi2", "phimoe", "gptneox", "starcoder", "codeshell"):
            yield "attn_output.bias", (width,)
        if architecture in ("gpt-oss", "mimo2"):
            yield "attn_sinks.weight", (heads,)
        if architecture in _NORMED:
            yield "attn_q_norm.weight", (key,)
            if cached:
                yield "attn_k_norm.weight", (key,)
        if architecture in ("olmo2", "olmoe", "minimax-m2"):
            yield "attn_q_norm.weight", (heads * key,)
            yield "attn_k_norm.weight", (kv * key,)
        if architecture in ("laguna", "spark2_5"):
            yield "attn_gate.weight", (width, heads)
        if architecture in ("muse-glimmer", "afmoe"):
            yield "attn_gate.weight", (width, heads * key)

    def _latent(self) -> Iterator[Tensor]:
        keys, width = self.keys, self.width
        heads, rank, rope = (
            self.each("attention.head_count", 0),
            keys["attention.kv_lora_rank"],
            keys["rope.dimension_count"],
        )
        key = keys.get("attention.key_length_mla", keys["attention.key_length"])
        value = keys.get("attention.value_length_mla", keys["attention.value_length"])
        queries = keys.get("attention.q_lora_rank")
        if queries:
            yield "attn_q_a_norm.weight", (queries,)
            yield "attn_q_a.weight", (width, queries)
            yield "attn_q_b.weight", (queries, heads * key)
        else:
            yield "attn_q.weight", (width, heads * key)
        yield "attn_kv_a_norm.weight", (rank,)
        yield "attn_kv_a_mqa.weight", (width, rank + rope)
        if "attention.key_length_mla" in keys:
            yield "attn_k_b.weight", (key - rope, rank, heads)
            yield "attn_v_b.weight", (rank, value, heads)
        else:
            yield "attn_kv_b.weight", (rank, heads * (key - rope + value))
        yield "attn_output.weight", (heads * value, width)

    def _feed_forward(self, number: int) -> Iterator[Tensor]:
        architecture, keys, width = self.architecture, self.keys, self.width
        if architecture in ("qwen3next", "qwen35", "qwen35moe", "gpt-oss", "glm4moe", "seed_oss", *_POST_NORMED):
            yield "post_attention_norm.weight", (width,)
        if architecture not in ("qwen3next", "qwen35", "qwen35moe", "gpt-oss", "glm4moe", "seed_oss", *_NO_FFN_NORM):
            # llama.cpp asks for this one without the usual end of the name.
            yield "ffn_norm" if architecture == "falcon-h1" else "ffn_norm.weight", (width,)
        if architecture in ("starcoder2", "nemotron", "phimoe", "gptneox", "starcoder", "orion", "codeshell"):
            yield "ffn_norm.bias", (width,)
        if architecture == "dbrx":
            yield "attn_output_norm.weight", (width,)
        if architecture in _ENCODERS:
            yield from ((f"{name}.{part}", (width,)) for name in _ENCODER_NORMS for part in ("weight", "bias"))
        if architecture in (*_POST_NORMED,):
            yield "post_ffw_norm.weight", (width,)
        experts = keys.get("expert_count", 0)
        mixed = experts and number >= keys.get("leading_dense_block_count", 0)
        if architecture == "llama4":
            mixed = (number + 1) % keys["interleave_moe_layer_step"] == 0
        inner = self.each("feed_forward_length", number)
        if not mixed or architecture == "gemma4":
            yield from self._dense("ffn_{}.weight", inner)
            if architecture in ("starcoder2", "phi2", "gptneox", "starcoder", "codeshell"):
                yield "ffn_up.bias", (inner,)
                yield "ffn_down.bias", (width,)
        if mixed:
            yield from self._mixture(number, experts)

    def _dense(self, name: str, inner: int, *count: int) -> Iterator[Tensor]:
        width, architecture = self.width, self.architecture
        if architecture in ("phi3", "glm4", "chatglm") and not count:
            yield name.format("up"), (width, 2 * inner)
        else:
            if architecture not in _UNGATED:
                yield name.format("gate"), (width, inner, *count)
            yield name.format("up"), (width, inner, *count)
        yield name.format("down"), (inner, width, *count)

    def _mixture(self, number: int, experts: int) -> Iterator[Tensor]:
        architecture, keys, width = self.architecture, self.keys, self.width
        inner = self.each("expert_feed_forward_length", number) or self.each("feed_forward_length", number)
        yield "ffn_gate_inp.weight", (width, experts)
        if architecture == "gemma4":
            yield "ffn_gate_inp.scale", (width,)
            yield from ((f"{n}.weight", (width,)) for n in ("pre_ffw_norm_2", "post_ffw_norm_1", "post_ffw_norm_2"))
            yield "ffn_gate_up_exps.weight", (width, 2 * inner, experts)
            yield "ffn_down_exps.weight", (inner, width, experts)
            return
        yield from self._dense("ffn_{}_exps.weight", inner, experts)
        if architecture == "gpt-oss":
            yield "ffn_gate_inp.bias", (experts,)
            yield from ((f"ffn_{name}_exps.bias", (inner, experts)) for name in ("gate", "up"))
            yield "ffn_down_exps.bias", (width, experts)
        if architecture in _PROBED or "exp_probs" in keys:
            yield "exp_probs_b.bias", (experts,)
        shared = keys.get("expert_shared_feed_forward_length") or inner * keys.get("expert_shared_count", 0)
        if architecture == "llama4":
            shared = inner
        if shared:
            if architecture == "bailingmoe2":
                shared = inner * keys.get("expert_shared_count", 0)
            if architecture.startswith(("qwen2moe", "qwen3next", "qwen35moe")):
                yield "ffn_gate_inp_shexp.weight", (width,)
            for name, dimensions in self._dense("ffn_{}_shexp.weight", shared, 1):
                yield name, dimensions[:2]

    def _beside(self) -> Iterator[Tensor]:
        each = self.keys.get("embedding_length_per_layer_input", 256 if self.architecture == "gemma3n" else 0)
        width = self.width
        if each:
            yield "inp_gate.weight", (width, each)
            yield "proj.weight", (each, width)
            yield "post_norm.weight", (width,)
        if self.architecture == "gemma3n":
            yield "altup_correct_coef.weight", (4, 4)
            yield "altup_correct_scale.weight", (width,)
            yield "altup_predict_coef.weight", (4, 16)
            yield "altup_router.weight", (width, 4)
            yield "altup_router_norm.weight", (width,)
            yield "laurel_l.weight", (width, 64)
            yield "laurel_r.weight", (64, width)
            yield "laurel_post_norm.weight", (width,)


_ENCODERS = ("bert", "nomic-bert")
_ENCODER_NORMS = ("attn_output_norm", "layer_output_norm")
_BIASED_NORMS = (
    *("starcoder2", "nemotron", "stablelm", "falcon", "phi2", "phimoe", "gptneox", "starcoder", "orion", "codeshell"),
)
_UNGATED = (
    "codeshell",
    "gptneox",
    "starcoder",
    "starcoder2",
    "nemotron_h",
    "nemotron_h_moe",
    "nemotron",
    "arcee",
    "falcon",
    "phi2",
    "bert",
)
_NORMED = (
    *("qwen3", "qwen3moe", "qwen3next", "qwen35", "qwen35moe", "gemma3", "gemma3n", "gemma4", "glm4moe", "lfm2"),
    *("lfm2moe", "exaone4", "laguna", "muse-glimmer", "hunyuan-moe", "bailingmoe2", "dots1"),
    *("hunyuan-dense", "qwen3vl", "qwen3vlmoe", "exaone-moe", "afmoe", "gemma-embedding", "maple", "step35", "mellum"),
    "maincoder",
)
_POST_NORMED = (
    "gemma-embedding",
    "afmoe",
    "gemma2",
    "gemma3",
    "gemma3n",
    "gemma4",
    "olmo2",
    "exaone4",
    "muse-glimmer",
    "glm4",
)
_NO_FFN_NORM = (
    "dbrx",
    "olmo",
    "stablelm",
    "falcon",
    "phi2",
    *_ENCODERS,
    "cohere2",
    "cohere2moe",
    "command-r",
    "olmo2",
    "exaone4",
    "nemotron_h",
    "nemotron_h_moe",
)
_PROBED = (
    "kimi-linear",
    "mimo2",
    "afmoe",
    "lfm2moe",
    "glm4moe",
    "nemotron_h_moe",
    "laguna",
    "bailingmoe2",
    "minimax-m2",
    "dots1",
)


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if key.endswith((".tied", ".exp_probs")):
        return
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)


def _kind(dimensions: tuple[int, ...], wanted: Quant) -> Quant:
    if len(dimensions) == 1 or dimensions[0] < 16:
        return Quant.F32
    return wanted if dimensions[0] % gguf.GGML_QUANT_SIZES[wanted][0] == 0 else Quant.F16


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
