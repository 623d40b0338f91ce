"""How much memory a model needs in llama.cpp's server, and the largest settings that fit. Pure: no I/O, no clock.

The sum is made layer by layer (`layers.py`) and is the server's own (llama.cpp from mid-2026 on, in Ollama and alone),
read from its sources and checked against its dry run (tests/contract/test_fit_oracle.py): cache and state exact, total
within 2 %. Not covered: CUDA contexts and scratch pools (the margin is for them), projectors, draft models. All sizes
are bytes; contexts are tokens.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Callable, Mapping, Optional

from ..catalogue import Model, Shape
from .compute import Batch, fixed_bytes, row_bytes
from .header import Header
from .layers import Layers, layers_of, layers_of_shape

MIB = 1 << 20
GIB = 1 << 30

# Bytes an element takes in the cache: quantised blocks of 32 with their scale (ggml: q8_0 34 bytes, q4_0 18 bytes).
KV_BYTES = {"f16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}
# A quantised row is made of blocks of so many elements.
KV_BLOCK = 32

# llama.cpp rounds one sequence's context up to this (llama-context.cpp, GGML_PAD of n_ctx_seq), and the cells of a
# sliding window's cache (llama-kv-cache-iswa.cpp).
CONTEXT_STEP = 256

# The llama.cpp build whose graph is counted where nothing else is known: that of the wheel that stations fetch
# (config/artefacts.yaml). `builds.py` has those of Ollama's releases; of 0.32.15's b10488 the neighbours b10229 and
# b10566 agree with it in all but what architectures.py says.
BUILD = 11063

# More requests at once than this nobody runs on one machine's engine; the answer "largest parallelism" ends here.
MOST_PARALLEL = 64

# Tokens in the cache while a typical answer is written: the estimate of speed counts reading them.
TYPICAL_CHAT = 2048

# What llama.cpp's own fit leaves free on every device (common/fit.cpp, --fit-target).
MARGIN = 1 * GIB

# A CUDA or ROCm context with its scratch pools, which no dry run sees. Estimate.
GPU_CONTEXT = GIB // 2

# Kinds of what is kept between tokens.
FULL, SLIDING, SHARED_VECTOR = "full attention", "sliding-window attention", "compressed attention"
RECURRENT = "recurrent state"


@dataclass(frozen=True)
class Need:
    """What a server reserves for one model, in bytes. `weights` are the tensors; the tokenizer is not kept.

    `kv` is the cache, which grows with the context; `state` is what recurrent layers keep, whatever the context.
    `projector` is the file that turns pictures into embeddings, which no dry run counts: not measured, and its own
    compute buffer comes on top. `kinds` are cache and state by the kind of layer, the largest first.
    """

    weights: int
    kv: int
    compute: int
    state: int = 0
    projector: int = 0
    kinds: tuple[tuple[str, int], ...] = field(default=(), compare=False)

    @property
    def total(self) -> int:
        return self.weights + self.kv + self.state + self.compute + self.projector


@dataclass(frozen=True)
class Settings:
    """How the server is run. `context` is one sequence's; `parallel` sequences each get that much.

    `batch` overrules the engine's own ubatch, `build` is llama.cpp's. `unified`: one cache for all sequences instead of
    one each (--kv-unified). `swa_full`: sliding layers keep the whole context (--swa-full). `draft_tokens` are those
    that a draft proposes at once: recurrent layers keep a state for each.
    """

    context: int
    parallel: int = 1
    kv_type: str = "f16"
    flash_attention: bool = True
    engine: str = "ollama"
    build: int = BUILD
    batch: Optional[int] = None
    unified: bool = False
    swa_full: bool = False
    draft_tokens: int = 0

    @property
    def ubatch(self) -> int:
        return self.batch or ubatch_of(self.engine, self.context * self.parallel)

    @property
    def tokens(self) -> int:
        """Tokens of a batch: it is cut to what was asked for, before the context is rounded up."""
        return min(self.ubatch, self.context * self.parallel)

    @property
    def streams(self) -> int:
        return 1 if self.unified else self.parallel

    @property
    def cells(self) -> int:
        """Cells of one stream of the cache."""
        return padded_context(self.context * (self.parallel if self.unified else 1))

    def sliding_cells(self, window: int) -> int:
        """Cells of one stream where only a window is kept."""
        if self.swa_full:
            return self.cells
        kept = window * (self.parallel if self.unified else 1) + self.tokens
        return padded_context(min(self.cells, kept))


def ubatch_of(engine: str, total_context: int) -> int:
    """Tokens worked on at once. Ollama picks it by the whole context (server/sched.go), llama-server's default is 512.

    Ollama takes a smaller one when a GPU has little room left, so this is the upper end.
    """
    if engine != "ollama" or total_context <= 4096:
        return 512
    return 1024 if total_context <= 32768 else 2048


def padded_context(context: int) -> int:
    """The context that is really reserved for a sequence."""
    return -(-context // CONTEXT_STEP) * CONTEXT_STEP


def need(shape: Shape, weights: int, settings: Settings) -> Need:
    """The memory a server reserves for a model of `shape` whose tensors take `weights` bytes.

    Raises UnknownArchitecture or another GgufError (both are ValueErrors) where it cannot be told, and ValueError for a
    cache that llama.cpp refuses to run.
    """
    return need_of(layers_of_shape(shape, settings.build), weights, settings)


def need_of_file(header: Header, settings: Settings) -> Need:
    """As `need`, of a file by its own header alone."""
    return need_of(layers_of(header, settings.build), weights_of(header, settings.build), settings)


def need_of(model: Layers, weights: int, settings: Settings) -> Need:
    """As `need`, of layers."""
    check_cache(model, settings)
    kept = kept_by_kind(model, settings)
    state = kept.get(RECURRENT, 0)
    # An encoder looks at its batch alone.
    keeps = model.rule.keeps_cache
    batch = Batch(
        cells=settings.cells if keeps else settings.tokens,
        sliding_cells=settings.sliding_cells(model.window) if keeps else settings.tokens,
        sequences=settings.parallel,
        tokens=settings.tokens,
        quantised=settings.kv_type != "f16",
        flash_attention=settings.flash_attention,
        build=settings.build,
    )
    logits = 4 * model.vocab_size * settings.parallel
    compute = settings.tokens * row_bytes(model, batch) + fixed_bytes(model, batch) + logits
    kv = sum(kept.values()) - state
    kinds = tuple(sorted(kept.items(), key=lambda item: -item[1]))
    return Need(weights=weights, kv=kv, compute=compute, state=state, kinds=kinds)


def weights_of(header: Header, build: int) -> int:
    """Bytes of the tensors that are loaded: all but those of next-token heads, and tied embeddings twice where the
    engine does so.
    """
    model = layers_of(header, build)
    ahead = tuple(f"blk.{number}." for number in range(len(model.layers), len(model.all)))
    loaded = sum(tensor.bytes for name, tensor in header.tensors.items() if not (ahead and name.startswith(ahead)))
    if model.rule.tied_twice and "output.weight" not in header.tensors and "token_embd.weight" in header.tensors:
        loaded += header.tensors["token_embd.weight"].bytes
    return loaded


def kept_by_kind(model: Layers, settings: Settings) -> Mapping[str, int]:
    """What is kept between tokens, by the kind of layer that keeps it."""
    kept: Counter[str] = Counter()
    # Without flash attention all layers' values are as wide as the widest's (llama-kv-cache.cpp, v_trans).
    widest = 0 if settings.flash_attention else max(layer.kv_heads * layer.value_length for layer in model.all)
    sliding = settings.sliding_cells(model.window)
    for layer in model.all:
        if layer.cached:
            values = 0 if model.latent else widest or layer.kv_heads * layer.value_length
            elements = layer.kv_heads * layer.key_length + values
            cells = (sliding if layer.slides else settings.cells) * settings.streams
            kind = SLIDING if layer.slides else SHARED_VECTOR if model.latent else FULL
            kept[kind] += round(elements * cells * KV_BYTES[settings.kv_type])
        if layer.state:
            kept[RECURRENT] += 4 * layer.state * settings.parallel * (1 + settings.draft_tokens)
    return kept


def check_cache(model: Layers, settings: Settings) -> None:
    """Raises ValueError for a type of cache that llama.cpp refuses to run this model with."""
    if settings.kv_type not in KV_BYTES:
        raise ValueError(f"the cache type is {settings.kv_type!r}; known are {', '.join(KV_BYTES)}")
    if settings.kv_type == "f16":
        return
    if not settings.flash_attention:
        raise ValueError(f"a {settings.kv_type} cache needs flash attention; switch it on or use f16")
    lengths = [length for layer in model.all if layer.cached for length in (layer.key_length, layer.value_length)]
    odd = next((length for length in lengths if length % KV_BLOCK), None)
    if odd:
        raise ValueError(
            f"a {settings.kv_type} cache needs heads whose length is a multiple of {KV_BLOCK}, these have {odd}; "
            "use f16 (gridtie_models_kv_type)"
        )


def max_context(shape: Shape, settings: Settings, fits: Callable[[Settings], bool]) -> int:
    """The largest context (a multiple of 256, at most the trained one) with which it `fits`; 0 if none."""
    steps = shape.context_length // CONTEXT_STEP
    return CONTEXT_STEP * _most(steps, lambda step: fits(replace(settings, context=step * CONTEXT_STEP)))


def max_parallel(settings: Settings, fits: Callable[[Settings], bool]) -> int:
    """The most requests at once, each with the whole context, with which it `fits`; 0 if none."""
    return _most(MOST_PARALLEL, lambda count: fits(replace(settings, parallel=count)))


def _most(high: int, fits: Callable[[int], bool]) -> int:
    """The largest number up to `high` that fits, where every smaller one does as well; 0 if none."""
    low = 0
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle):
            low = middle
        else:
            high = middle - 1
    return low


def read_per_token(model: Model, settings: Settings) -> float:
    """Bytes that the engine reads to generate one token: the active weights once, and the cache of a typical chat."""
    active = model.active_parameters or model.parameters
    weights = model.file.tensors * active / model.parameters
    chat = replace(settings, context=min(settings.context, TYPICAL_CHAT), parallel=1, batch=1)
    return weights + sum(kept_by_kind(layers_of_shape(model.shape, settings.build), chat).values())
