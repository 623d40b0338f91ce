"""What a checkpoint of safetensors is: its layers and widths, out of config.json and its architecture's rule. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence

from .checkpoint_architectures import ARCHITECTURES, Rule
from .layers import MOST_LAYERS
from .safetensors import Index, Tensor
from .vllm_parsers import reasoning_parser, tool_parser

# No model has a longer row, context or vocabulary; beyond it a configuration is damaged or hostile.
_MOST = 1 << 31
# Bytes of an element by the names that config.json has for types.
_DTYPES = {"float32": 4, "bfloat16": 2, "float16": 2}
# What vLLM computes in where the checkpoint is of single precision (its `--dtype auto`), in bytes.
_COMPUTED = 2
_OUTPUT = "lm_head.weight"


class CheckpointError(ValueError):
    """A checkpoint cannot be told of; the message is one sentence that names what was found and wanted."""


class UnknownCheckpoint(CheckpointError):
    """Nothing is known of this architecture, or of something in it."""


@dataclass(frozen=True)
class Kept:
    """What one layer keeps of a token: `kv_heads` heads with a key and a value of so many elements each.

    `window`: of the last so many tokens alone, 0 of all. A compressed vector is one head without a value, which every
    card has whole.
    """

    kv_heads: int
    key_length: int
    value_length: int
    window: int = 0

    @property
    def latent(self) -> bool:
        return not self.value_length


@dataclass(frozen=True)
class Checkpoint:
    """A model as config.json has it. `element_bytes` are those of one element as it is computed with and cached;
    `weights` the bytes of the tensors that vLLM loads.

    `quantisation` is the method's name, "" where there is none; `sees` whether parts beside the language model look at
    pictures; `tools` and `reasoning` which of vLLM's parsers read its calls and its reasoning, "" where none is known.
    """

    name: str
    architecture: str
    layers: tuple[Kept, ...]
    heads: int
    hidden: int
    feed_forward: int
    vocabulary: int
    context_length: int
    element_bytes: int
    weights: int
    quantisation: str = ""
    sees: bool = False
    tools: str = ""
    reasoning: str = ""


def read_config(text: bytes, name: str) -> Mapping[str, Any]:
    """config.json as an object. Raises CheckpointError."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise CheckpointError(f"{name}: its config.json is no JSON that can be read") from None
    if not isinstance(document, dict):
        raise CheckpointError(f"{name}: its config.json is JSON, and no object")
    return document


def checkpoint_of(name: str, config: Mapping[str, Any], stored: Stored, template: str = "") -> Checkpoint:
    """The checkpoint that a configuration and its weights describe; `template` is its chat template.

    Raises CheckpointError; an UnknownCheckpoint where its architecture has no rule.
    """
    architecture, rule = _rule(name, config)
    text = config.get("text_config") if rule.nested else config
    read = _Reader(name, text if isinstance(text, Mapping) else {}, config)
    heads = read.count("num_attention_heads")
    kept = _latent(read) if rule.latent else _heads(read, heads)
    count = read.count("num_hidden_layers", most=MOST_LAYERS)
    layers = tuple(Kept(*kept, window=window) for window in _windows(read, rule, count))
    dtype = str(read.get("dtype") or read.get("torch_dtype") or "bfloat16")
    if dtype not in _DTYPES:
        raise UnknownCheckpoint(f"{name}: its dtype is {dtype!r:.40}; known are {', '.join(_DTYPES)}")
    quantised = config.get("quantization_config") or read.get("quantization_config")
    method = str(quantised.get("quant_method", "unnamed")) if isinstance(quantised, Mapping) else ""
    hidden, vocabulary = read.count("hidden_size"), read.count("vocab_size")
    tied = read.get("tie_word_embeddings") is True
    weights = stored.loaded(tied, vocabulary * hidden * _DTYPES[dtype])
    if _DTYPES[dtype] > _COMPUTED and not method:
        weights = weights * _COMPUTED // _DTYPES[dtype]
    return Checkpoint(
        name=name,
        architecture=architecture,
        layers=layers,
        heads=heads,
        hidden=hidden,
        feed_forward=_feed_forward(read),
        vocabulary=vocabulary,
        context_length=read.count("max_position_embeddings"),
        element_bytes=min(_DTYPES[dtype], _COMPUTED),
        weights=weights,
        quantisation=method,
        sees="vision_config" in config,
        tools=tool_parser(template),
        reasoning=reasoning_parser(template),
    )


@dataclass(frozen=True)
class Stored:
    """The weights as they lie in files: all their bytes, and those of an output of its own, which may be 0 where the
    files do not say them. `has_output` says whether there is one.
    """

    bytes: int
    has_output: bool = False
    output: int = 0

    def loaded(self, tied: bool, embedding: int) -> int:
        """Bytes that vLLM loads: an output that is tied to the embedding, of so many bytes, is passed over."""
        return self.bytes - (self.output or embedding) if tied and self.has_output else self.bytes


def stored_in_file(tensors: Mapping[str, Tensor]) -> Stored:
    """By the header of the only file."""
    output = tensors.get(_OUTPUT)
    return Stored(sum(tensor.bytes for tensor in tensors.values()), output is not None, output.bytes if output else 0)


def stored_in_files(index: Index) -> Stored:
    """By the index over several."""
    return Stored(index.total_bytes, _OUTPUT in index.files)


def _rule(name: str, config: Mapping[str, Any]) -> tuple[str, Rule]:
    named = config.get("architectures")
    architecture = str(named[0]) if isinstance(named, list) and named else ""
    if not architecture:
        raise CheckpointError(f"{name}: its config.json names no architecture (architectures)")
    rule = ARCHITECTURES.get(architecture)
    if rule is None:
        raise UnknownCheckpoint(
            f"{name}: nothing is known of the cache of {architecture!r:.80}, so that its need cannot be told; vLLM "
            "says it when it starts"
        )
    return architecture, rule


class _Reader:
    """Values of the language model's configuration, and of the whole one where it leaves them to that."""

    def __init__(self, name: str, text: Mapping[str, Any], whole: Mapping[str, Any]) -> None:
        self.name, self._text, self._whole = name, text, whole

    def get(self, key: str) -> Any:
        found = self._text.get(key)
        return self._whole.get(key) if found is None else found

    def count(self, key: str, default: Optional[int] = None, most: int = _MOST) -> int:
        """A number from 1 on. Raises CheckpointError for anything else."""
        found = self.get(key)
        value = default if found is None else found
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise CheckpointError(
                f"{self.name}: {key} in its config.json is {found!r:.40}; wanted is a whole number from 1 to {most}"
            )
        return value


def _heads(read: _Reader, heads: int) -> tuple[int, int, int]:
    length = read.count("head_dim", read.count("hidden_size") // heads)
    return read.count("num_key_value_heads", heads), length, length


def _latent(read: _Reader) -> tuple[int, int, int]:
    return 1, read.count("kv_lora_rank") + read.count("qk_rope_head_dim"), 0


def _feed_forward(read: _Reader) -> int:
    """The widest of what works on one token at once: a dense block, or the experts that are asked together."""
    experts = read.get("num_experts_per_tok")
    if not isinstance(experts, int) or read.get("moe_intermediate_size") is None:
        return read.count("intermediate_size")
    mixed = read.count("num_experts_per_tok") * read.count("moe_intermediate_size")
    return max(mixed, read.count("intermediate_size", 1))


def _windows(read: _Reader, rule: Rule, count: int) -> Sequence[int]:
    """The window of each layer, 0 where it keeps everything."""
    if not rule.sliding or read.get("sliding_window") is None:
        return [0] * count
    if rule.switched and read.get("use_sliding_window") is not True:
        return [0] * count
    window = read.count("sliding_window")
    kinds = read.get("layer_types")
    if isinstance(kinds, list):
        return [_window(read.name, kind, window) for kind in _checked(read.name, kinds, count)]
    every = read.count("sliding_window_pattern", rule.every or 1)
    return [0 if every > 1 and (layer + 1) % every == 0 else window for layer in range(count)]


def _checked(name: str, kinds: list[Any], count: int) -> list[Any]:
    if len(kinds) != count:
        raise CheckpointError(f"{name}: its config.json has {len(kinds)} layer_types for {count} layers")
    return kinds


def _window(name: str, kind: Any, window: int) -> int:
    if kind not in ("full_attention", "sliding_attention"):
        raise UnknownCheckpoint(f"{name}: nothing is known of layers of {kind!r:.40} in its config.json")
    return window if kind == "sliding_attention" else 0
