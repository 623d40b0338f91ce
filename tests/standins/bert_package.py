"""A sentence-transformers model in a zip file: BERT of one block with a vocabulary of nine words and random weights."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np

FOLDER = "tiny/model"
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "##ing", "é", "[x]")
WIDTH, INNER, POSITIONS = 8, 16, 12
CONFIG = {
    "model_type": "bert",
    "num_hidden_layers": 1,
    "max_position_embeddings": POSITIONS,
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "num_attention_heads": 2,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
}
MEAN = {"word_embedding_dimension": WIDTH, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}

_SHAPES = {
    "embeddings.word_embeddings.weight": (len(WORDS), WIDTH),
    "embeddings.position_embeddings.weight": (POSITIONS, WIDTH),
    "embeddings.token_type_embeddings.weight": (2, WIDTH),
    "embeddings.LayerNorm.weight": (WIDTH,),
    "embeddings.LayerNorm.bias": (WIDTH,),
    "encoder.layer.0.attention.self.query.weight": (WIDTH, WIDTH),
    "encoder.layer.0.attention.self.query.bias": (WIDTH,),
    "encoder.layer.0.intermediate.dense.weight": (INNER, WIDTH),
    "encoder.layer.0.output.dense.weight": (WIDTH, INNER),
    "encoder.layer.0.output.LayerNorm.bias": (WIDTH,),
    "pooler.dense.weight": (WIDTH, WIDTH),
}


def tensors() -> dict[str, Any]:
    """The weights by their names in the package; always the same."""
    random = np.random.default_rng(1)
    return {name: random.standard_normal(shape).astype("<f4") for name, shape in _SHAPES.items()}


def archive(**changes: Any) -> zipfile.ZipFile:
    """The package, opened; changes as for `packed`."""
    return zipfile.ZipFile(io.BytesIO(packed(**changes)))


def packed(**changes: Any) -> bytes:
    """The package. `config` and `pooling` replace those files, `tensors` the weights; `cut` takes bytes off their end,
    `claims` is the length that their header claims.
    """
    weights = changes.get("tensors", tensors())
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = np.arange(POSITIONS, dtype="<i8").tobytes()
    header["embeddings.position_ids"] = {"dtype": "I64", "shape": [1, POSITIONS], "data_offsets": [0, len(body)]}
    for name, values in weights.items():
        kind = {"<f4": "F32", "<f2": "F16"}[values.dtype.str]
        end = len(body) + values.nbytes
        header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": [len(body), end]}
        body += values.tobytes()
    described = json.dumps(header).encode()
    stored = changes.get("claims", len(described)).to_bytes(8, "little") + described + body
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as written:
        written.writestr(f"{FOLDER}/config.json", json.dumps(changes.get("config", CONFIG)))
        written.writestr(f"{FOLDER}/1_Pooling/config.json", json.dumps(changes.get("pooling", MEAN)))
        written.writestr(f"{FOLDER}/vocab.txt", "\n".join(WORDS) + "\n")
        written.writestr(f"{FOLDER}/README.md", "---\nlicense: apache-2.0\n---\n\n# Tiny\n")
        written.writestr(f"{FOLDER}/model.safetensors", stored[: len(stored) - changes.get("cut", 0)])
    return buffer.getvalue()
