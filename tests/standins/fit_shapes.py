"""Shapes of models that people run in 2026 and odd ones beside them, for the dry run of llama.cpp's own server.

Each is a name, an architecture and the metadata of its header without the architecture's prefix. `tied` says that the
output shares the embedding's tensor. Facts are from public configurations; the odd ones vary what a header may vary.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple


class Header(NamedTuple):
    """One header-only model."""

    name: str
    architecture: str
    keys: dict[str, Any]


def _header(
    name: str, architecture: str, blocks: int, width: int, heads: Any, kv: Any, inner: Any, vocabulary: int, **more: Any
) -> Header:
    keys = {
        "block_count": blocks,
        "context_length": 131072,
        "embedding_length": width,
        "feed_forward_length": inner,
        "attention.head_count": heads,
        "attention.head_count_kv": kv,
        "vocab_size": vocabulary,
        "attention.layer_norm_epsilon": 1e-6,
        "attention.layer_norm_rms_epsilon": 1e-6,
    }
    # Python has no dots in names of arguments: two underscores stand for one.
    keys.update({key.replace("__", "."): value for key, value in more.items()})
    return Header(name, architecture, {key: value for key, value in keys.items() if value is not None})


def _lengths(key: int, value: int | None = None, sliding: int | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"attention__key_length": key, "attention__value_length": value or key}
    if sliding:
        found |= {"attention__key_length_swa": sliding, "attention__value_length_swa": sliding}
    return found


def _experts(count: int, used: int, inner: int | None, shared: int = 0, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"expert_count": count, "expert_used_count": used}
    if inner:
        found["expert_feed_forward_length"] = inner
    if shared:
        found["expert_shared_feed_forward_length"] = shared
    return found | more


def _window(size: int, pattern: Any = None) -> dict[str, Any]:
    return {"attention__sliding_window": size} | ({"attention__sliding_window_pattern": pattern} if pattern else {})


def _linear(inner: int, rank: int, groups: int = 16, state: int = 128) -> dict[str, Any]:
    return {
        "ssm__conv_kernel": 4,
        "ssm__inner_size": inner,
        "ssm__state_size": state,
        "ssm__time_step_rank": rank,
        "ssm__group_count": groups,
    }


def _every(number: int, blocks: int, last: bool = True) -> list[bool]:
    """True but for every so-manieth: the layers that slide."""
    return [(at + 1 if last else at) % number != 0 for at in range(blocks)]


_MROPE = {"rope__dimension_sections": [16, 24, 24, 0]}
_SECTIONS = {"rope__dimension_sections": [11, 11, 10, 0]}
# 52 blocks of Nemotron 3 Nano: Mamba, experts, attention.
_NEMOTRON = "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME"


def headers() -> list[Header]:
    """All shapes. `make oracle` records what the server reserves for each."""
    return [*_dense(), *_mixtures(), *_sliding(), *_hybrid(), *_others(), *_encoders(), *_odd()]


def _dense() -> list[Header]:
    return [
        _header("qwen3-8b", "qwen3", 36, 4096, 32, 8, 12288, 151936, **_lengths(128)),
        _header("qwen3-14b", "qwen3", 40, 5120, 40, 8, 17408, 151936, **_lengths(128)),
        _header("qwen2.5-coder-1.5b", "qwen2", 28, 1536, 12, 2, 8960, 151936, tied=True),
        _header("llama3.1-8b", "llama", 32, 4096, 32, 8, 14336, 128256, rope__dimension_count=128),
        _header("llama3.2-1b", "llama", 16, 2048, 32, 8, 8192, 128256, tied=True, rope__dimension_count=64),
        _header("ministral-3-8b", "mistral3", 34, 4096, 32, 8, 14336, 131072, **_lengths(128)),
        _header("devstral-small-2-24b", "mistral3", 40, 5120, 32, 8, 32768, 131072, **_lengths(128)),
        _header("granite4.2-8b", "granite", 40, 4096, 32, 8, 12800, 100352, logit_scale=16.0, tied=True),
        _header("starcoder2-7b", "starcoder2", 32, 4608, 36, 4, 18432, 49152, **_window(4096)),
        _header("phi4-mini", "phi3", 32, 3072, 24, 8, 8192, 200064, tied=True, **_window(262144)),
        _header("glm4-9b", "glm4", 40, 4096, 32, 2, 13696, 151552, **_lengths(128)),
        _header("smollm3-3b", "smollm3", 36, 2048, 16, 4, 11008, 128256, tied=True),
        _header("seed-oss-36b", "seed_oss", 64, 5120, 80, 8, 27648, 155136, **_lengths(128)),
        _header("command-r-35b", "command-r", 40, 8192, 64, 64, 22528, 256000, logit_scale=0.0625, tied=True),
        _header("gemma-7b", "gemma", 28, 3072, 16, 16, 24576, 256000, tied=True, **_lengths(256)),
    ]


def _mixtures() -> list[Header]:
    return [
        _header("qwen3-coder-30b", "qwen3moe", 48, 2048, 32, 4, 6144, 151936, **_lengths(128), **_experts(128, 8, 768)),
        _header("mixtral-8x7b", "llama", 32, 4096, 32, 8, 14336, 32000, **_experts(8, 2, None)),
        _header("granite-moe-3b", "granitemoe", 32, 1536, 24, 8, 512, 49155, logit_scale=6.0, **_experts(40, 8, None)),
        _header("qwen1.5-moe", "qwen2moe", 24, 2048, 16, 16, 5632, 151936, **_experts(60, 4, 1408, 5632)),
        _header("olmoe-7b", "olmoe", 16, 2048, 16, 16, 1024, 50304, **_experts(64, 8, None)),
        _header(
            *("glm-4.5-air", "glm4moe", 47, 4096, 96, 8, 10944, 151552),
            **_lengths(128),
            **_experts(128, 8, 1408, expert_shared_count=1, leading_dense_block_count=1, nextn_predict_layers=1),
        ),
        _header(
            *("glm-4.7-flash", "deepseek2", 47, 2048, 20, 1, 10240, 154880),
            **_lengths(576, 512),
            **_experts(64, 4, 1536, expert_shared_count=1, leading_dense_block_count=1, expert_weights_scale=1.8),
            **_latent(512, 64, 256, 256, 768),
        ),
        _header(
            *("deepseek-v2-lite", "deepseek2", 27, 2048, 16, 16, 10944, 102400),
            **_lengths(192, 128),
            **_experts(64, 6, 1408, expert_shared_count=2, leading_dense_block_count=1, expert_weights_scale=1.0),
            attention__kv_lora_rank=512,
            rope__dimension_count=64,
        ),
        _header(
            "minimax-m2",
            "minimax-m2",
            62,
            3072,
            48,
            8,
            1536,
            200064,
            **_lengths(128),
            **_experts(256, 8, 1536, expert_gating_func=2),
        ),
        _header(
            *("ernie-4.5-21b", "ernie4_5-moe", 28, 2560, 20, 4, 12288, 103424),
            **_lengths(128),
            **_experts(64, 6, 1536, 3072, interleave_moe_layer_step=1, leading_dense_block_count=1),
        ),
    ]


def _latent(rank: int, rope: int, key: int, value: int, queries: int | None = None) -> dict[str, Any]:
    found = {
        "attention__kv_lora_rank": rank,
        "rope__dimension_count": rope,
        "attention__key_length_mla": key,
        "attention__value_length_mla": value,
    }
    return found | ({"attention__q_lora_rank": queries} if queries else {})


def _sliding() -> list[Header]:
    gemma4 = {"embedding_length_per_layer_input": 0, "final_logit_softcapping": 30.0, "tied": True}
    e2b = {**gemma4, "embedding_length_per_layer_input": 256}
    return [
        _header("gemma2-9b", "gemma2", 42, 3584, 16, 8, 14336, 256000, tied=True, **_lengths(256), **_window(4096)),
        _header("gemma3-270m", "gemma3", 18, 640, 4, 1, 2048, 262144, tied=True, **_lengths(256), **_window(512)),
        _header("gemma3-12b", "gemma3", 48, 3840, 16, 8, 15360, 262208, tied=True, **_lengths(256), **_window(1024)),
        _header("gemma3n-e2b", "gemma3n", 30, 2048, 8, 2, 8192, 262400, tied=True, **_lengths(256), **_window(512)),
        _header("gemma3n-e4b", "gemma3n", 35, 2048, 8, 2, 16384, 262400, tied=True, **_lengths(256), **_window(512)),
        _header(
            *("gemma4-e2b", "gemma4", 35, 1536, 8, 1, [6144] * 15 + [12288] * 20, 262144),
            **_lengths(512, 512, 256),
            **_window(512, _every(5, 35)),
            attention__shared_kv_layers=20,
            **e2b,
        ),
        _header(
            *("gemma4-12b", "gemma4", 48, 3840, 16, [8 if s else 1 for s in _every(6, 48)], 15360, 262144),
            **_lengths(512, 512, 256),
            **_window(1024, _every(6, 48)),
            attention__shared_kv_layers=0,
            **gemma4,
        ),
        _header(
            *("gemma4-26b", "gemma4", 30, 2816, 16, [8 if s else 2 for s in _every(6, 30)], 2112, 262144),
            **_lengths(512, 512, 256),
            **_window(1024, _every(6, 30)),
            **_experts(128, 8, 704),
            attention__shared_kv_layers=0,
            **gemma4,
        ),
        _header(
            "gpt-oss-20b",
            "gpt-oss",
            24,
            2880,
            64,
            8,
            2880,
            201088,
            **_lengths(64),
            **_window(128),
            **_experts(32, 4, 2880),
        ),
        _header(
            "gpt-oss-120b",
            "gpt-oss",
            36,
            2880,
            64,
            8,
            2880,
            201088,
            **_lengths(64),
            **_window(128),
            **_experts(128, 4, 2880),
        ),
        _header("command-r7b", "cohere2", 32, 4096, 32, 8, 14336, 256000, tied=True, logit_scale=0.25, **_window(4096)),
        _header(
            *("north-mini-code", "cohere2moe", 49, 2048, 32, 4, 6144, 256000),
            **_lengths(128),
            **_window(4096, _every(4, 49, last=False)),
            **_experts(128, 8, 768, leading_dense_block_count=1),
            logit_scale=0.25,
            tied=True,
        ),
        _header(
            *("llama4-scout", "llama4", 48, 5120, 40, 8, 16384, 202048),
            **_lengths(128),
            **_experts(16, 1, 8192, interleave_moe_layer_step=1),
        ),
        _header(
            *("laguna-xs", "laguna", 40, 2048, 32, 8, 8192, 151936),
            **_lengths(128),
            **_window(512),
            **_experts(256, 8, 512, 512, leading_dense_block_count=1),
        ),
        _header(
            "muse-glimmer-30b",
            "muse-glimmer",
            52,
            5120,
            32,
            2,
            27648,
            200064,
            logit_scale=1.0,
            **_lengths(128),
            **_window(2048, _every(4, 52)),
        ),
        _header("olmo3-7b", "olmo2", 32, 4096, 32, 32, 11008, 100278, **_window(4096)),
        _header("exaone4-32b", "exaone4", 64, 5120, 40, 8, 27392, 102400, **_lengths(128), **_window(4096)),
    ]


def _hybrid() -> list[Header]:
    nemotron_kv = [2 if kind == "*" else 0 for kind in _NEMOTRON]
    nemotron_ff = [1856 if kind == "E" else 0 for kind in _NEMOTRON]
    granite_kv = [8 if at % 10 == 5 else 0 for at in range(40)]
    return [
        _header(
            "qwen3.5-2b",
            "qwen35",
            24,
            2048,
            8,
            2,
            6144,
            248320,
            tied=True,
            **_lengths(256),
            **_linear(2048, 16),
            **_SECTIONS,
        ),
        _header(
            "qwen3.5-9b", "qwen35", 32, 4096, 16, 4, 12288, 248320, **_lengths(256), **_linear(4096, 32), **_SECTIONS
        ),
        _header(
            *("qwen3.6-27b", "qwen35", 65, 5120, 24, 4, 17408, 248320),
            **_lengths(256),
            **_linear(6144, 48),
            **_SECTIONS,
            nextn_predict_layers=1,
        ),
        _header(
            *("qwen3.6-35b-a3b", "qwen35moe", 40, 2048, 16, 2, None, 248320),
            **_lengths(256),
            **_linear(4096, 32),
            **_SECTIONS,
            **_experts(256, 8, 512, 512),
        ),
        _header(
            *("qwen3-coder-next", "qwen3next", 48, 2048, 16, 2, 5120, 151936),
            **_lengths(256),
            **_linear(4096, 32),
            **_experts(512, 10, 512, 512),
        ),
        _header(
            *("granite-4.0-h-small", "granitehybrid", 40, 4096, 32, granite_kv, 768, 100352),
            **_linear(8192, 128, 1),
            **_experts(72, 10, None, 1536),
        ),
        _header(
            *("granite-4.0-h-1b", "granitehybrid", 40, 1536, 12, [4 if k else 0 for k in granite_kv], 4096, 100352),
            **_linear(3072, 48, 1),
            tied=True,
        ),
        _header(
            *("nemotron-3-nano", "nemotron_h_moe", 52, 2688, 32, nemotron_kv, nemotron_ff, 131072),
            **_lengths(128),
            **_linear(4096, 64, 8),
            **_experts(128, 6, 1856, 3712, expert_shared_count=1, expert_weights_scale=2.5),
        ),
        _header(
            *("nemotron-h-8b", "nemotron_h", 52, 4096, 32),
            [8 if at in (7, 18, 29, 40) else 0 for at in range(52)],
            [0 if at in (7, 18, 29, 40) or at % 2 == 0 else 21504 for at in range(52)],
            131072,
            **_lengths(128),
            **_linear(8192, 128, 8),
        ),
        _header(
            *("lfm2-2.6b", "lfm2", 30, 2048, 32, [8 if at % 4 == 2 else 0 for at in range(30)], 10752, 65536),
            shortconv__l_cache=3,
            tied=True,
        ),
        _header(
            *("lfm2-8b-a1b", "lfm2moe", 24, 2048, 32, [8 if at % 4 == 2 else 0 for at in range(24)], 7168, 65536),
            **_experts(32, 4, 1792, leading_dense_block_count=2, expert_gating_func=2),
            shortconv__l_cache=3,
            tied=True,
        ),
        _header(
            "falcon-h1-7b", "falcon-h1", 44, 3072, 12, 2, 12288, 130048, **_lengths(128), **_linear(3072, 24, 1, 256)
        ),
        _header("mamba2-2.7b", "mamba2", 64, 2560, None, None, 0, 50288, **_linear(5120, 80, 1), tied=True),
        _header(
            *("jamba-3b", "jamba", 28, 2560, 20, [1 if at in (7, 21) else 0 for at in range(28)], 8192, 65536),
            ssm__conv_kernel=4,
            ssm__inner_size=5120,
            ssm__state_size=16,
            ssm__time_step_rank=160,
        ),
    ]


def _others() -> list[Header]:
    """Older ones, lesser known ones, and those that look at pictures."""
    return [
        _header("internlm2-7b", "internlm2", 32, 4096, 32, 8, 14336, 92544),
        _header("exaone-7.8b", "exaone", 32, 4096, 32, 8, 14336, 102400),
        _header("minicpm-2b", "minicpm", 40, 2304, 36, 36, 5760, 122753, tied=True),
        _header("baichuan2-7b", "baichuan", 32, 4096, 32, 32, 11008, 125696),
        _header("ernie-4.5-0.3b", "ernie4_5", 18, 1024, 16, 2, 3072, 103424, tied=True, **_lengths(128)),
        _header("qwen2.5-vl-7b", "qwen2vl", 28, 3584, 28, 4, 18944, 152064, **_MROPE),
        _header(
            "qwen3-vl-8b", "qwen3vl", 36, 4096, 32, 8, 12288, 151936, n_deepstack_layers=3, **_lengths(128), **_MROPE
        ),
        _header(
            *("qwen3-vl-30b", "qwen3vlmoe", 48, 2048, 32, 4, 6144, 151936),
            n_deepstack_layers=3,
            **_lengths(128),
            **_experts(128, 8, 768),
            **_MROPE,
        ),
        _header(
            *("deepseek-moe-16b", "deepseek", 28, 2048, 16, 16, 10944, 102400),
            **_experts(64, 6, 1408, expert_shared_count=2, leading_dense_block_count=1, expert_weights_scale=1.0),
        ),
        _header(
            "hunyuan-a13b", "hunyuan-moe", 32, 4096, 32, 8, 3072, 128167, **_lengths(128), **_experts(64, 8, 3072, 3072)
        ),
        _header("hunyuan-7b", "hunyuan-dense", 32, 4096, 32, 8, 14336, 128167, **_lengths(128)),
        _header(
            *("ling-mini-2", "bailingmoe2", 20, 2048, 16, 4, 5120, 157184),
            **_lengths(128),
            **_experts(256, 8, 512, expert_shared_count=1, leading_dense_block_count=1),
            expert_weights_scale=2.5,
            expert_weights_norm=True,
            expert_gating_func=2,
        ),
        _header(
            *("dots1-142b", "dots1", 62, 4096, 32, 32, 10944, 152064),
            **_lengths(128),
            **_experts(128, 6, 1408, expert_shared_count=2, leading_dense_block_count=1),
            expert_weights_scale=2.5,
            expert_weights_norm=True,
            expert_gating_func=2,
        ),
        _header(
            *("exaone-moe-30b", "exaone-moe", 32, 2048, 32, 4, 8192, 102400),
            **_lengths(128),
            **_window(128),
            **_experts(64, 8, 768, 768, leading_dense_block_count=1, expert_gating_func=2),
            expert_weights_scale=1.0,
            expert_weights_norm=True,
        ),
        _header(
            *("afmoe-nano", "afmoe", 56, 1024, 8, 2, 3072, 200192),
            **_lengths(128),
            **_window(2048),
            **_experts(128, 8, 256, expert_shared_count=1, leading_dense_block_count=2),
        ),
        _header("arcee-afm-4.5b", "arcee", 36, 2560, 20, 4, 18432, 128256),
        _header("nemotron-mini-4b", "nemotron", 32, 3072, 24, 8, 9216, 256000, **_lengths(128)),
        _header("olmo-7b", "olmo", 32, 4096, 32, 32, 11008, 50304, attention__clamp_kqv=8.0),
        _header("stablelm-zephyr-3b", "stablelm", 32, 2560, 32, 32, 6912, 50304, use_parallel_residual=False),
        _header("falcon-7b", "falcon", 32, 4544, 71, 1, 18176, 65024, tied=True),
        _header("phi2-2.7b", "phi2", 32, 2560, 32, 32, 10240, 51200),
        _header("phi3.5-moe", "phimoe", 32, 4096, 32, 8, 6400, 32064, **_experts(16, 2, None)),
        _header("pythia-6.9b", "gptneox", 32, 4096, 32, 32, 16384, 50432, use_parallel_residual=True),
        _header("starcoder-7b", "starcoder", 42, 4096, 32, 1, 16384, 49152, tied=True, context_length=8192),
        _header("orion-14b", "orion", 40, 5120, 40, 40, 15360, 84608),
        _header("xverse-7b", "xverse", 32, 4096, 32, 32, 11008, 100534),
        _header(
            "smallthinker-21b",
            "smallthinker",
            52,
            2560,
            28,
            4,
            768,
            151936,
            **_lengths(128),
            **_window(4096),
            **_experts(64, 6, 768, expert_gating_func=2),
        ),
        _header(
            "maple-20b",
            "maple",
            24,
            2880,
            32,
            8,
            2880,
            151936,
            **_lengths(128),
            **_window(1024, _every(4, 24)),
            **_experts(32, 4, 1440),
            swiglu_clamp_exp=7.0,
        ),
        _header(
            "spark2.5-1.7b",
            "spark2_5",
            28,
            2048,
            16,
            4,
            6144,
            131072,
            tied=True,
            **_lengths(128),
            **_window(1024, _every(4, 28)),
        ),
        _header(
            *("mimo2-flash", "mimo2", 48, 4096, 64, [8 if s else 4 for s in _every(6, 48)], 16384, 152576),
            **_lengths(192, 128),
            **_window(128, _every(6, 48)),
            **_experts(64, 8, 2048, leading_dense_block_count=1),
        ),
        _header(
            *("step3.5-flash", "step35", 45, 4096, [96 if s else 64 for s in _every(4, 45)], 8, 11264, 128896),
            **_lengths(128),
            **_window(512, _every(4, 45)),
            **_experts(72, 8, 1280, 1280, leading_dense_block_count=3, expert_gating_func=2),
        ),
        _header(
            *(
                "kimi-linear-48b",
                "kimi-linear",
                27,
                2304,
                32,
                [1 if at % 4 == 3 else 0 for at in range(27)],
                9216,
                163840,
            ),
            **_lengths(576, 512),
            **_latent(512, 64, 192, 128),
            **_experts(256, 8, 1024, expert_shared_count=1, leading_dense_block_count=1, expert_gating_func=2),
            expert_weights_scale=2.446,
            ssm__conv_kernel=4,
            kda__head_dim=128,
        ),
        _header(
            *("nemotron-super-49b", "deci", 24, 8192),
            [0 if at % 5 == 4 else 64 for at in range(24)],
            [0 if at % 5 == 4 else 8 for at in range(24)],
            [0 if at == 7 else 28672 if at % 2 else 14336 for at in range(24)],
            128256,
            **_lengths(128),
        ),
        _header(
            "mellum2-12b",
            "mellum",
            28,
            2304,
            32,
            4,
            7168,
            98304,
            **_lengths(128),
            **_window(1024, _every(4, 28)),
            **_experts(64, 8, 896),
        ),
        _header("maincoder-1b", "maincoder", 32, 1536, 16, 4, 4096, 151936, tied=True, **_lengths(96)),
        _header(
            *("mistral-small-4", "mistral4", 36, 4096, 32, 1, 12288, 131072),
            **_lengths(320, 256),
            **_latent(256, 64, 128, 128, 1024),
            **_experts(128, 4, 2048, expert_shared_count=1, leading_dense_block_count=0, expert_weights_scale=1.0),
        ),
        _header("codeshell-7b", "codeshell", 42, 4096, 32, 8, 16384, 70144),
        _header("dbrx-132b", "dbrx", 40, 6144, 48, 8, 10752, 100352, attention__clamp_kqv=8.0, **_experts(16, 4, None)),
        _header("glm4-9b-chat", "chatglm", 40, 4096, 32, 2, 13696, 151552),
    ]


def _encoders() -> list[Header]:
    """Models for embeddings, which keep nothing of one request for the next."""
    encoder = {"tied": True, "attention__causal": False, "pooling_type": 1, "context_length": 512}
    bert = {**encoder, "tokenizer__ggml__token_type_count": 2}
    return [
        _header("all-minilm-l6", "bert", 6, 384, 12, 12, 1536, 30522, **bert),
        _header("bge-large", "bert", 24, 1024, 16, 16, 4096, 30522, **bert),
        _header("nomic-embed-text", "nomic-bert", 12, 768, 12, 12, 3072, 30522, **{**bert, "context_length": 2048}),
        _header(
            *("embeddinggemma", "gemma-embedding", 24, 768, 3, 1, 1152, 262144),
            **{**encoder, "context_length": 2048},
            **_lengths(256),
            **_window(512),
        ),
    ]


def _odd() -> list[Header]:
    """What a header may vary and no known model does."""
    return [
        _header("odd-values", "llama", 13, 1024, 16, 4, 3000, 32001, **_lengths(64, 64), rope__dimension_count=64),
        _header("odd-narrow-values", "qwen3", 11, 1280, 10, 5, 3456, 20000, **_lengths(160, 160), tied=True),
        _header("odd-one-head", "qwen2", 7, 960, 15, 1, 2560, 70000),
        _header("odd-gemma3-plain", "gemma3", 12, 1152, 4, 1, 6912, 50000, tied=True, **_lengths(256)),
        _header(
            "odd-gemma3-period", "gemma3", 13, 1152, 4, 2, 6912, 50000, tied=True, **_lengths(256), **_window(768, 4)
        ),
        _header(
            "odd-gemma3-array",
            "gemma3",
            10,
            1152,
            4,
            1,
            6912,
            50000,
            tied=True,
            **_lengths(256),
            **_window(700, [False, True] * 5),
        ),
        _header(
            "odd-gpt-oss",
            "gpt-oss",
            9,
            1440,
            24,
            4,
            1440,
            40000,
            **_lengths(64),
            **_window(300),
            **_experts(8, 2, 1440),
        ),
        _header(
            *("odd-gemma4", "gemma4", 11, 1024, 8, [4, 4, 4, 2, 4, 4, 4, 2, 4, 4, 2], 4096, 60000),
            **_lengths(256, 256, 128),
            **_window(640, [True, True, True, False] * 2 + [True, True, False]),
            attention__shared_kv_layers=3,
            embedding_length_per_layer_input=128,
            final_logit_softcapping=30.0,
        ),
        _header(
            *("odd-qwen35", "qwen35", 14, 1536, 12, 3, 4608, 90000),
            **_lengths(128),
            **_linear(3072, 24, 8),
            **_SECTIONS,
            full_attention_interval=7,
        ),
        _header(
            *("odd-granite-hybrid", "granitehybrid", 9, 1024, 16, [0, 0, 2, 0, 0, 4, 0, 0, 2], 2816, 30000),
            **_linear(2048, 32, 2, 64),
        ),
        _header(
            *("odd-dense-first", "deepseek2", 9, 1536, 12, 1, 9216, 50000),
            **_lengths(288, 256),
            **_experts(24, 3, 640, expert_shared_count=2, leading_dense_block_count=3, expert_weights_scale=1.0),
            **_latent(256, 32, 128, 96, 512),
        ),
        _header("odd-lfm2", "lfm2", 10, 1024, 16, [0, 4, 0, 0, 4, 0, 2, 0, 0, 4], 3584, 30000, shortconv__l_cache=5),
    ]


def varied(draw: random.Random) -> Header:
    """One of the shapes with other sizes: what nobody has, and a header could say.

    Feed-forward blocks stay between twice and six times as wide as the embedding, as in all known models, and
    experts together at least as wide.
    """
    base = draw.choice([header for header in headers() if header.architecture in _VARIED])
    keys = dict(base.keys)
    blocks = draw.choice((8, 12, 18, 24, 30))
    head = draw.choice((64, 64, 128, 128, 256))
    heads, share = draw.choice(((8, 2), (12, 3), (16, 4), (16, 2), (20, 5), (24, 8), (32, 8), (16, 16), (12, 1)))
    width = heads * head // draw.choice((1, 1, 1, 2) if base.architecture not in _SQUARE else (1,))
    ratio = draw.uniform(2, 6)
    ahead = keys.get("nextn_predict_layers", 0)
    blocks += ahead
    keys |= {
        "block_count": blocks,
        "embedding_length": width,
        "attention.head_count": heads,
        "attention.key_length": head,
        "attention.value_length": head,
        "vocab_size": draw.choice((32000, 65536, 131072)),
        "feed_forward_length": _like(keys["feed_forward_length"], blocks, int(width * ratio) // 64 * 64)
        if "feed_forward_length" in keys
        else None,
        "attention.head_count_kv": _like(keys["attention.head_count_kv"], blocks, share),
        "tied": keys.get("tied") if base.architecture in _TIED_OR_NOT else draw.random() < 0.5,
    }
    if "rope.dimension_count" in keys:
        keys["rope.dimension_count"] = head
    if "expert_feed_forward_length" in keys:
        keys["expert_used_count"] = draw.choice((2, 4, 8))
        keys["expert_count"] = draw.choice((16, 32, 64))
        keys["expert_feed_forward_length"] = max(128, int(width * ratio / keys["expert_used_count"]) // 64 * 64)
        if "expert_shared_feed_forward_length" in keys:
            keys["expert_shared_feed_forward_length"] = keys["expert_feed_forward_length"]
    if "ssm.inner_size" in keys:
        inner = 2 * width if base.architecture != "qwen3next" and not base.architecture.startswith("qwen35") else width
        keys["ssm.inner_size"] = inner
        keys["ssm.time_step_rank"] = inner // keys["ssm.state_size"] if "qwen" in base.architecture else inner // 64
        keys["ssm.group_count"] = min(keys["ssm.group_count"], keys["ssm.time_step_rank"])
    if "attention.sliding_window" in keys:
        keys["attention.sliding_window"] = draw.choice((128, 500, 1024, 4096))
    pattern = keys.get("attention.sliding_window_pattern")
    if isinstance(pattern, list):
        keys["attention.sliding_window_pattern"] = _every(draw.choice((2, 4, 6)), blocks)
    return Header("varied", base.architecture, {key: value for key, value in keys.items() if value is not None})


# Of the others the sizes hang together, or llama.cpp knows only these.
_VARIED = (
    *("llama", "mistral3", "qwen2", "qwen3", "granite", "smollm3", "seed_oss", "gemma", "glm4", "command-r", "phi3"),
    *("starcoder2", "qwen2moe", "qwen3moe", "granitemoe", "glm4moe", "ernie4_5-moe", "gemma2", "gemma3", "gpt-oss"),
    *("cohere2", "cohere2moe", "laguna", "muse-glimmer", "olmo2", "qwen3next", "qwen35", "qwen35moe"),
    *("granitehybrid", "nemotron_h", "nemotron_h_moe", "lfm2", "lfm2moe"),
)
# llama.cpp does not leave the choice.
_TIED_OR_NOT = ("gpt-oss", "qwen2moe", "olmo2", "muse-glimmer", "gemma", "gemma2", "command-r", "cohere2")
# Attention is as wide as the embedding in these.
_SQUARE = (
    *("qwen2", "qwen2moe", "starcoder2", "phi3", "command-r", "cohere2", "olmo2", "olmoe", "lfm2", "lfm2moe", "llama"),
    *("granite", "granitemoe", "granitehybrid", "smollm3", "gpt-oss"),
)


def _like(value: Any, blocks: int, size: int) -> Any:
    """The size where the known model has one: some layers have none."""
    if not isinstance(value, list):
        return size
    return [size if value[at % len(value)] else 0 for at in range(blocks)]
