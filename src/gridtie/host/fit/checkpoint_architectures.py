"""What vLLM keeps between tokens for each architecture of a checkpoint's config.json, as data.

Read in vLLM 0.32.0's sources (vllm/model_executor/models, vllm/v1/kv_cache_interface.py). What is not in the table has
not been looked at, and is never computed by another's rule: recurrent states, chunked attention and sparse indexers
are layers of other kinds.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """One architecture. The defaults are those of attention over the whole context in every layer.

    `sliding`: where the configuration names a window, layers slide: all that its `layer_types` call so; without them
    all but the last of `every`, or for 0 all. `switched`: they do only where `use_sliding_window` says so. `latent`:
    one compressed vector a token (multi-head latent attention). `nested`: the language model's part is `text_config`,
    and what looks at pictures comes on top.
    """

    sliding: bool = False
    every: int = 0
    switched: bool = False
    latent: bool = False
    nested: bool = False


_FULL = Rule()
_SWITCHED = Rule(sliding=True, switched=True)
_ALL_SLIDE = Rule(sliding=True)
_LATENT = Rule(latent=True)

ARCHITECTURES = {
    **dict.fromkeys(
        (
            *("ApertusForCausalLM", "ArceeForCausalLM", "CohereForCausalLM", "Ernie4_5ForCausalLM"),
            *("Ernie4_5_MoeForCausalLM", "GemmaForCausalLM", "Glm4ForCausalLM", "Glm4MoeForCausalLM"),
            *("GraniteForCausalLM", "GraniteMoeForCausalLM", "LlamaForCausalLM", "MiniMaxM2ForCausalLM"),
            *("Olmo2ForCausalLM", "OlmoeForCausalLM", "Qwen3ForCausalLM", "Qwen3MoeForCausalLM"),
            *("SeedOssForCausalLM", "SmolLM3ForCausalLM"),
        ),
        _FULL,
    ),
    **dict.fromkeys(("Qwen2ForCausalLM", "Qwen2MoeForCausalLM"), _SWITCHED),
    **dict.fromkeys(
        ("MistralForCausalLM", "MixtralForCausalLM", "Phi3ForCausalLM", "Starcoder2ForCausalLM"), _ALL_SLIDE
    ),
    "Gemma2ForCausalLM": Rule(sliding=True, every=2),
    "Gemma3ForCausalLM": Rule(sliding=True, every=6),
    "Gemma3ForConditionalGeneration": Rule(sliding=True, every=6, nested=True),
    "GptOssForCausalLM": Rule(sliding=True, every=2),
    "Olmo3ForCausalLM": Rule(sliding=True, every=4),
    "Cohere2ForCausalLM": Rule(sliding=True, every=4),
    "Mistral3ForConditionalGeneration": Rule(sliding=True, nested=True),
    "Qwen3VLForConditionalGeneration": Rule(nested=True),
    "Qwen3VLMoeForConditionalGeneration": Rule(nested=True),
    **dict.fromkeys(("DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM"), _LATENT),
}
