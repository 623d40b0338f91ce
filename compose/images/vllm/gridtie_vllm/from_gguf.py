"""A checkpoint of safetensors out of a GGUF of a Llama: from_gguf.py FILE DIRECTORY

For the small model that every station can have from a package index, so that vLLM can be tried without a hub. The
weights are those of the GGUF, quantised as they were: it answers as Ollama's does, and no better.

llama.cpp stores queries and keys with the halves of each head interleaved (its `convert_hf_to_gguf.py`,
`LlamaModel.permute`); transformers wants them one after the other.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy
import torch
from gguf import GGUFReader
from gguf.quants import dequantize
from safetensors.torch import save_file
from transformers import AutoTokenizer

_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_BLOCK = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def transformers_name(name: str) -> str:
    """What transformers calls a tensor of llama.cpp's. Raises KeyError for one that no plain Llama has."""
    if name in _NAMES:
        return _NAMES[name]
    _, block, part, _ = name.split(".")
    return f"model.layers.{block}.{_BLOCK[part]}.weight"


def uninterleaved(weights: Any, heads: int) -> Any:
    """Rows of queries or keys as transformers has them: of each head one half after the other."""
    rows, columns = weights.shape
    return weights.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def configuration(field: Any) -> dict[str, Any]:
    """config.json, by the GGUF's metadata; `field` gives a value by its key, None where there is none."""
    heads, wide = field("llama.attention.head_count"), field("llama.embedding_length")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": wide,
        "intermediate_size": field("llama.feed_forward_length"),
        "num_hidden_layers": field("llama.block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": field("llama.attention.head_count_kv") or heads,
        "head_dim": field("llama.attention.key_length") or wide // heads,
        "max_position_embeddings": field("llama.context_length"),
        "rms_norm_eps": field("llama.attention.layer_norm_rms_epsilon"),
        "rope_theta": field("llama.rope.freq_base") or 10000.0,
        "vocab_size": len(field("tokenizer.ggml.tokens")),
        "bos_token_id": field("tokenizer.ggml.bos_token_id"),
        "eos_token_id": field("tokenizer.ggml.eos_token_id"),
        "torch_dtype": "bfloat16",
    }


def convert(source: Path, target: Path) -> None:
    """Write the checkpoint; `target` appears when it is whole. Raises ValueError for another architecture."""
    reader = GGUFReader(source)

    def field(key: str) -> Any:
        found = reader.get_field(key)
        return None if found is None else found.contents()

    if field("general.architecture") != "llama":
        raise ValueError(f"{source}: its architecture is {field('general.architecture')}, and only llama is known here")
    config = configuration(field)
    scratch = target.with_name(f"{target.name}.part")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    tensors = {}
    for tensor in reader.tensors:
        weights = dequantize(tensor.data, tensor.tensor_type)
        for part, heads in (("attn_q.", "num_attention_heads"), ("attn_k.", "num_key_value_heads")):
            if f".{part}" in tensor.name:
                weights = uninterleaved(weights, config[heads])
        copied = torch.from_numpy(numpy.array(weights, dtype=numpy.float32))
        tensors[transformers_name(tensor.name)] = copied.to(torch.bfloat16)
    config["tie_word_embeddings"] = "lm_head.weight" not in tensors
    save_file(tensors, scratch / "model.safetensors", metadata={"format": "pt"})
    (scratch / "config.json").write_text(json.dumps(config, indent=2))
    AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(scratch)
    for path in scratch.iterdir():
        # safetensors writes for its own user alone.
        path.chmod(0o644)
    shutil.rmtree(target, ignore_errors=True)
    scratch.rename(target)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
