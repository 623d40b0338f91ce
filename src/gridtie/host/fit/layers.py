"""What a model is made of, layer by layer, out of its header's metadata and the rule of its architecture. Pure.

A catalogue entry and a file's header go the same way: an entry's shape is the same metadata by other means.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Mapping, Optional

from ..catalogue import Shape
from .architectures import ALL, BESIDE, INTERVAL, NO_HEADS, NO_HEADS_NO_FEED_FORWARD, RULES, Rule, Sliding
from .header import GgufError, Header, Long

# llama.cpp's own limit (llama-hparams.h, LLAMA_MAX_LAYERS).
MOST_LAYERS = 512
# No model has a longer row, context or vocabulary; beyond it a header is damaged or hostile.
_MOST = 1 << 31


class UnknownArchitecture(GgufError):
    """Nothing is known of this architecture, by us or by the engine's build; the message names it, and who knows."""


@dataclass(frozen=True)
class Layer:
    """One block. Attention that is `cached` keeps keys and values of `kv_heads` heads; `slides`: of a window alone.

    `state` is how many f32 values a sequence keeps in it, 0 where it is not recurrent. `feed_forward` is the width of
    its dense block, `mixed` says that it has experts.
    """

    attends: bool
    slides: bool
    cached: bool
    heads: int
    kv_heads: int
    key_length: int
    value_length: int
    state: int = 0
    feed_forward: int = 0
    mixed: bool = False

    @property
    def queries(self) -> int:
        return self.heads * self.key_length


@dataclass(frozen=True)
class Mixture:
    """`used` of `count` experts work on a token; `shared` is the width of what works on every token."""

    count: int
    used: int
    feed_forward: int
    shared: int = 0


@dataclass(frozen=True)
class Latent:
    """Compressed attention: what a head works with once the shared vector is unfolded, and its part with positions."""

    key_length: int
    value_length: int
    rope_length: int


@dataclass(frozen=True)
class Recurrent:
    """Mamba's and linear attention's sizes in elements; zeros where a layer keeps only a short convolution."""

    kernel: int = 0
    inner: int = 0
    state: int = 0
    groups: int = 0
    rank: int = 0

    @property
    def convolved(self) -> int:
        return self.inner + 2 * self.groups * self.state


@dataclass(frozen=True)
class Layers:
    """A model as memory sees it. `layers` are those that are run, `heads_ahead` next-token heads behind them.

    `latent`: one shared vector a token and layer is cached, and no values (multi-head latent attention). `window` is
    that of sliding layers, 0 where none slides. `per_layer` is the length of embeddings that each layer has of its own,
    `deepstack` how many further embeddings of a picture come in beside a token's.
    """

    architecture: str
    rule: Rule
    context_length: int
    embedding_length: int
    vocab_size: int
    layers: tuple[Layer, ...]
    heads_ahead: tuple[Layer, ...] = ()
    window: int = 0
    latent: Optional[Latent] = None
    mixture: Optional[Mixture] = None
    recurrent: Recurrent = field(default_factory=Recurrent)
    per_layer: int = 0
    deepstack: int = 0

    @property
    def all(self) -> tuple[Layer, ...]:
        return self.layers + self.heads_ahead

    @property
    def attention(self) -> tuple[Layer, ...]:
        """The layers that attend."""
        return tuple(layer for layer in self.layers if layer.attends)


def layers_of(header: Header, build: int) -> Layers:
    """The layers of a file. Raises UnknownArchitecture, or GgufError where the header lacks a value or lies."""
    return layers_of_shape(shape_of(header), build)


def shape_of(header: Header) -> Shape:
    """The shape that a header describes, with all of its own metadata. Raises GgufError."""
    architecture = header.architecture
    start = f"{architecture}."
    own = {key[len(start) :]: value for key, value in header.metadata.items() if key.startswith(start)}
    keys = _Keys(architecture, own)
    if header.metadata.get("split.count", 1) != 1:
        raise GgufError(f"the file is one of {header.metadata['split.count']!r:.20} parts of a model; join them first")
    own.setdefault("vocab_size", _vocabulary(header))
    blocks = keys.number("block_count", least=1, most=MOST_LAYERS)
    heads = keys.each("attention.head_count", blocks, 0)
    kv = keys.each("attention.head_count_kv", blocks, heads)
    plain = keys.number("embedding_length", least=1) // heads[0] if heads[0] else 0
    return Shape(
        architecture=architecture,
        context_length=keys.number("context_length", least=1),
        block_count=blocks,
        embedding_length=keys.number("embedding_length", least=1),
        head_count=max(heads),
        head_count_kv=max(kv),
        key_length=keys.number("attention.key_length", plain),
        value_length=keys.number("attention.value_length", plain),
        vocab_size=keys.number("vocab_size"),
        feed_forward_length=max(keys.each("feed_forward_length", blocks, 0)),
        header=tuple(sorted((key, value) for key, value in own.items() if not isinstance(value, Long))),
    )


def _vocabulary(header: Header) -> int:
    """The tokens of the vocabulary, or the rows of the embedding where there is no vocabulary."""
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    if isinstance(tokens, Long):
        return tokens.length
    if isinstance(tokens, tuple):
        return len(tokens)
    embedding = header.tensors.get("token_embd.weight")
    return embedding.dimensions[-1] if embedding else 0


@lru_cache(maxsize=256)
def layers_of_shape(shape: Shape, build: int) -> Layers:
    """The layers of a catalogue entry or of a header. Raises UnknownArchitecture or GgufError."""
    architecture = shape.architecture
    rule = RULES.get(architecture)
    if rule is None:
        raise UnknownArchitecture(
            f"the memory of the architecture {architecture!r:.60} cannot be predicted: no rule for it was measured "
            f"({len(RULES)} are known, docs/memory-fit.md lists them); llama.cpp's own dry run knows what it needs"
        )
    if build < rule.since:
        raise UnknownArchitecture(
            f"llama.cpp b{build} does not know the architecture {architecture!r:.60}; b{rule.since} does"
        )
    return _Description(architecture, rule, _Keys(architecture, _metadata(shape)), build).layers()


def _metadata(shape: Shape) -> Mapping[str, Any]:
    """The shape as the metadata that a header would have."""
    header = dict(shape.header)
    if "block_count" in header:
        return {"vocab_size": shape.vocab_size, **header}
    keys: dict[str, Any] = {
        "block_count": shape.block_count,
        "context_length": shape.context_length,
        "embedding_length": shape.embedding_length,
        "feed_forward_length": shape.feed_forward_length,
        "attention.head_count": shape.head_count,
        "attention.head_count_kv": shape.head_count_kv,
        "attention.key_length": shape.key_length,
        "attention.value_length": shape.value_length,
        "vocab_size": shape.vocab_size,
    }
    if shape.experts:
        keys["expert_count"] = shape.experts.count
        keys["expert_used_count"] = shape.experts.used
        keys["expert_feed_forward_length"] = shape.experts.feed_forward_length
        keys["expert_shared_count"] = shape.experts.shared
        keys["leading_dense_block_count"] = shape.experts.leading_dense_blocks
    if shape.mla_cache:
        keys["attention.head_count_kv"] = 1
        keys["attention.key_length"] = shape.kv_lora_rank + shape.rope_length
        keys["attention.value_length"] = shape.kv_lora_rank
        keys["attention.key_length_mla"] = shape.key_length
        keys["attention.value_length_mla"] = shape.value_length
        keys["rope.dimension_count"] = shape.rope_length
    return {**keys, **header}


class _Keys:
    """The metadata below an architecture's name, read strictly: what has the wrong type or size is an error."""

    def __init__(self, architecture: str, values: Mapping[str, Any]) -> None:
        self._architecture = architecture
        self._values = values

    def has(self, key: str) -> bool:
        return key in self._values

    def is_array(self, key: str) -> bool:
        return isinstance(self._values.get(key), tuple)

    def number(self, key: str, default: Optional[int] = None, least: int = 0, most: int = _MOST) -> int:
        value = self._values.get(key, default)
        return self._checked(key, value, least, most)

    def each(self, key: str, count: int, default: Any = None) -> tuple[int, ...]:
        """One number a layer: the header has one for all, or an array."""
        value = self._values.get(key, default)
        if not isinstance(value, tuple):
            return (self._checked(key, value, 0, _MOST),) * count
        if len(value) < count:
            raise GgufError(f"{self._name(key)} has {len(value)} values for {count} layers")
        return tuple(self._checked(key, item, 0, _MOST) for item in value[:count])

    def flags(self, key: str, count: int) -> tuple[bool, ...]:
        return tuple(bool(value) for value in self.each(key, count))

    def _checked(self, key: str, value: Any, least: int, most: int) -> int:
        if isinstance(value, bool):
            value = int(value)
        if not isinstance(value, int):
            found = "is missing" if value is None else f"is {value!r:.40}, where a whole number was expected"
            raise GgufError(f"{self._name(key)} {found}")
        if not least <= value <= most:
            raise GgufError(f"{self._name(key)} is {value}, which no model has ({least} to {most} are possible)")
        return value

    def _name(self, key: str) -> str:
        return f"the header's {self._architecture[:60]}.{key}"


class _Description:
    """Makes the layers of one header."""

    def __init__(self, architecture: str, rule: Rule, keys: _Keys, build: int) -> None:
        self.architecture = architecture
        self.rule = rule
        self.keys = keys
        self.build = build
        self.all = keys.number("block_count", least=1, most=MOST_LAYERS)
        self.ahead = keys.number("nextn_predict_layers", 0, most=self.all - 1)
        self.count = self.all - self.ahead
        self.width = keys.number("embedding_length", least=1)
        self.heads = keys.each("attention.head_count", self.all, 0)
        self.kv_heads = keys.each("attention.head_count_kv", self.all, self.heads)
        self.widths = keys.each("feed_forward_length", self.all, 0)
        self.recurrent = self._recurrent()

    def layers(self) -> Layers:
        window = self._window()
        slides = self._slides(window)
        recurs = self._recurs()
        full, sliding = self._lengths()
        cached = self._cached()
        state = self._state() if any(recurs) else 0
        mixture, mixed = self._mixture()
        found = []
        for at in range(self.all):
            key, value = sliding if slides[at] else full
            attends = not recurs[at] or self.rule.recurs == BESIDE
            if self.rule.recurs == NO_HEADS_NO_FEED_FORWARD:
                attends = attends and not self.widths[at]
            found.append(
                Layer(
                    attends=attends,
                    slides=slides[at] and attends,
                    cached=attends and cached[at],
                    heads=self.heads[at],
                    kv_heads=self.kv_heads[at],
                    key_length=key,
                    value_length=value,
                    state=state if recurs[at] else 0,
                    feed_forward=self.widths[at],
                    mixed=mixed[at],
                )
            )
        return Layers(
            architecture=self.architecture,
            rule=self.rule,
            context_length=self.keys.number("context_length", least=1),
            embedding_length=self.width,
            vocab_size=self.keys.number("vocab_size", 0),
            layers=tuple(found[: self.count]),
            heads_ahead=tuple(found[self.count :]),
            window=window if any(slides) else 0,
            latent=self._latent(),
            mixture=mixture,
            recurrent=self.recurrent,
            per_layer=self.keys.number("embedding_length_per_layer_input", 0),
            deepstack=self.keys.number("n_deepstack_layers", 0, most=MOST_LAYERS),
        )

    def _lengths(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Key and value length of a head, in full and in sliding layers."""
        # Where the first layer has no heads llama.cpp reads no lengths at all.
        plain = self.width // self.heads[0] if self.heads[0] else 0
        full = [self.keys.number(f"attention.{part}_length", plain) if plain else 0 for part in ("key", "value")]
        sliding = [
            self.keys.number(f"attention.{part}_length_swa", length) for part, length in zip(("key", "value"), full)
        ]
        return (full[0], full[1]), (sliding[0], sliding[1])

    def _window(self) -> int:
        rule = self.rule.sliding
        if rule is None or (rule.blocks and rule.blocks != self.count):
            return 0
        if self.keys.has("attention.sliding_window"):
            found = self.keys.number("attention.sliding_window")
        elif rule.required:
            raise GgufError(f"the header lacks {self.architecture}.attention.sliding_window")
        else:
            found = rule.size
        return rule.size if rule.fixed and found else found

    def _slides(self, window: int) -> tuple[bool, ...]:
        rule, pattern = self.rule.sliding, "attention.sliding_window_pattern"
        if rule is None or not window:
            return (False,) * self.all
        if self.keys.is_array(pattern):
            if self.build >= rule.arrays_since:
                return self.keys.flags(pattern, self.count) + (False,) * self.ahead
            every = rule.every
        else:
            every = self.keys.number(pattern, rule.every)
        if not rule.every and not every:
            raise GgufError(f"the header lacks {self.architecture}.{pattern}, which says layer by layer what slides")
        return tuple(at < self.count and self._between(at, every, rule) for at in range(self.all))

    @staticmethod
    def _between(at: int, every: int, rule: Sliding) -> bool:
        return every == 0 or at % every != (0 if rule.first else every - 1)

    def _recurs(self) -> tuple[bool, ...]:
        how = self.rule.recurs
        if not how:
            return (False,) * self.all
        if how in (ALL, BESIDE):
            return (True,) * self.all
        if how == INTERVAL:
            if self.keys.has("attention.recurrent_layers"):
                return self.keys.flags("attention.recurrent_layers", self.all)
            interval = self.keys.number("full_attention_interval", self.rule.interval, least=1)
            return tuple(at < self.count and (at + 1) % interval != 0 for at in range(self.all))
        return tuple(
            at < self.count and not self.kv_heads[at] and (how == NO_HEADS or not self.widths[at])
            for at in range(self.all)
        )

    def _latent(self) -> Optional[Latent]:
        parts = ("attention.key_length_mla", "attention.value_length_mla")
        if not all(self.keys.has(part) for part in parts):
            return None
        key, value = (self.keys.number(part) for part in parts)
        return Latent(key, value, self.keys.number("rope.dimension_count", 0, most=max(key, 0)))

    def _recurrent(self) -> Recurrent:
        if not self.rule.recurs or not self.keys.has("ssm.inner_size"):
            return Recurrent()
        sizes = ("conv_kernel", "inner_size", "state_size", "group_count", "time_step_rank")
        return Recurrent(*(self.keys.number(f"ssm.{size}", 0) for size in sizes))

    def _state(self) -> int:
        """f32 values that one sequence keeps in a recurrent layer (`n_embd_r` and `n_embd_s`, llama-hparams.cpp)."""
        if self.keys.has("shortconv.l_cache"):
            return self.width * max(0, self.keys.number("shortconv.l_cache") - 1)
        if self.keys.has("kda.head_dim"):
            head, kernel = self.keys.number("kda.head_dim"), self.keys.number("ssm.conv_kernel", 4)
            return self.heads[0] * head * (3 * max(0, kernel - 1) + head)
        found = self.recurrent
        if not found.inner:
            raise GgufError(f"the header lacks {self.architecture}.ssm.inner_size, which its recurrent layers need")
        return max(0, found.kernel - 1) * found.convolved + found.state * found.inner

    def _cached(self) -> tuple[bool, ...]:
        own = self.count
        if self.rule.shares:
            own = self.all - self.keys.number("attention.shared_kv_layers", 0, most=self.all)
        elif self.rule.shares_after:
            own = min(own, self.rule.shares_after)
        ahead = self.build < self.rule.heads_cached_until
        keeps = self.rule.keeps_cache
        return tuple(keeps and (at < own or (at >= self.count and ahead)) for at in range(self.all))

    def _mixture(self) -> tuple[Optional[Mixture], tuple[bool, ...]]:
        count = self.keys.number("expert_count", 0)
        if not count:
            return None, (False,) * self.all
        inner = max(self.keys.each("expert_feed_forward_length", self.all, 0)) or max(self.widths)
        used = self.keys.number("expert_used_count", least=1, most=count)
        shared = self.keys.number("expert_shared_feed_forward_length", 0)
        shared = shared or inner * self.keys.number("expert_shared_count", 0)
        lead = self.keys.number("leading_dense_block_count", 0)
        step = self.keys.number("interleave_moe_layer_step", 1, least=1)
        mixed = tuple(at >= lead and (at + 1) % step == 0 for at in range(self.all))
        return Mixture(count, used, inner, shared), mixed
