"""Checkpoints of safetensors as far as memory fit reads them: configuration, index, headers; the weights are holes."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_BYTES = {"F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1, "I32": 4}

# SmolLM2 135M, as its own config.json has it, and the shapes of all its tensors.
SMOLLM2: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": 8192,
    "vocab_size": 49152,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}


def llama_tensors(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The shapes of a dense model without biases, its output tied to the embedding."""
    wide, inner, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    kept = config["num_key_value_heads"] * config.get("head_dim", wide // heads)
    asked = heads * config.get("head_dim", wide // heads)
    layer = {
        "input_layernorm": (wide,),
        "post_attention_layernorm": (wide,),
        "self_attn.q_proj": (asked, wide),
        "self_attn.k_proj": (kept, wide),
        "self_attn.v_proj": (kept, wide),
        "self_attn.o_proj": (wide, asked),
        "mlp.gate_proj": (inner, wide),
        "mlp.up_proj": (inner, wide),
        "mlp.down_proj": (wide, inner),
    }
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (config["vocab_size"], wide),
        "model.norm.weight": (wide,),
    }
    for number in range(config["num_hidden_layers"]):
        shapes |= {f"model.layers.{number}.{name}.weight": shape for name, shape in layer.items()}
    return shapes


def header(shapes: Mapping[str, Sequence[int]], kind: str = "BF16") -> bytes:
    """The JSON of one file's header."""
    at, tensors = 0, {}
    for name, shape in shapes.items():
        size = math.prod(shape) * _BYTES[kind]
        tensors[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    return json.dumps({"__metadata__": {"format": "pt"}, **tensors}).encode()


def size_of(shapes: Mapping[str, Sequence[int]], kind: str = "BF16") -> int:
    """Bytes of all tensors."""
    return sum(math.prod(shape) * _BYTES[kind] for shape in shapes.values())


def write_file(path: Path, shapes: Mapping[str, Sequence[int]], kind: str = "BF16") -> Path:
    """One file, whose tensors are a hole of their length."""
    text = header(shapes, kind)
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    with path.open("r+b") as file:
        file.truncate(8 + len(text) + size_of(shapes, kind))
    return path


def write(folder: Path, config: Mapping[str, Any], shapes: Mapping[str, Sequence[int]], kind: str = "BF16") -> Path:
    """A checkpoint of one file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    write_file(folder / "model.safetensors", shapes, kind)
    return folder


def write_index(folder: Path, config: Mapping[str, Any], total: object, files: Mapping[str, str]) -> Path:
    """A checkpoint of several files, which are empty."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    document = {"metadata": {"total_size": total}, "weight_map": dict(files)}
    (folder / "model.safetensors.index.json").write_text(json.dumps(document))
    for name in set(files.values()):
        (folder / name).touch()
    return folder
