"""How much memory a model needs in llama.cpp's server, what fits, and what to choose. Pure: no I/O, no clock.

The formula is the server's own (llama.cpp from mid-2026 on, in Ollama and alone), read from its graph and checked
against its dry run (tests/contract/test_fit_oracle.py): key/value cache exact, total within 2 %. Not covered: CUDA
contexts and scratch pools (the margin is for them), projectors, draft models, sliding-window attention; hybrids are
never predicted. All sizes are bytes; contexts are tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from .catalogue import Experts, Model, Shape

MIB = 1 << 20
GIB = 1 << 30

# Bytes an element takes in the cache: quantised blocks of 32 with their scale (ggml: q8_0 34 bytes, q4_0 18 bytes).
KV_BYTES = {"f16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}

# llama.cpp rounds one sequence's context up to this (llama-context.cpp, GGML_PAD of n_ctx_seq).
CONTEXT_STEP = 256

# Tokens in the cache while a typical answer is written: the estimate of speed counts reading them.
TYPICAL_CHAT = 2048

# What llama.cpp's own fit leaves free on every device (common/fit.cpp, --fit-target).
MARGIN = 1 * GIB

# A CUDA or ROCm context with its scratch pools, which no dry run sees. Estimate.
GPU_CONTEXT = GIB // 2


@dataclass(frozen=True)
class Need:
    """What a server reserves for one model, in bytes. `weights` is the file's size: at most 2 % more than is loaded."""

    weights: int
    kv: int
    compute: int

    @property
    def total(self) -> int:
        return self.weights + self.kv + self.compute


@dataclass(frozen=True)
class Settings:
    """How the server is run. `context` is one sequence's; `parallel` sequences each get that much."""

    context: int
    parallel: int = 1
    kv_type: str = "f16"
    flash_attention: bool = True
    engine: str = "ollama"

    @property
    def ubatch(self) -> int:
        return ubatch_of(self.engine, self.context * self.parallel)


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


def need(shape: Shape, weights: int, settings: Settings, ubatch: Optional[int] = None) -> Need:
    """The memory a server reserves for a model of `shape` with a file of `weights` bytes.

    `ubatch` overrules the engine's own choice. Raises ValueError for a quantised cache without flash attention, which
    llama.cpp refuses to run.
    """
    if settings.kv_type not in KV_BYTES:
        raise ValueError(f"the cache type is {settings.kv_type!r}; known are {', '.join(KV_BYTES)}")
    if settings.kv_type != "f16" and not settings.flash_attention:
        raise ValueError(f"a {settings.kv_type} cache needs flash attention; switch it on or use f16")
    context = padded_context(settings.context)
    tokens = context * settings.parallel
    batch = min(ubatch or settings.ubatch, tokens)
    row = _with_flash_attention(shape, context) if settings.flash_attention else _without(shape, context)
    logits = 4 * shape.vocab_size * settings.parallel
    return Need(weights=weights, kv=kv_bytes(shape, tokens, settings.kv_type), compute=batch * row + logits)


def kv_bytes(shape: Shape, tokens: int, kv_type: str = "f16") -> int:
    """The cache for `tokens` tokens in all. Compressed attention caches one shared vector and no values."""
    if shape.mla_cache:
        per_token = shape.kv_lora_rank + shape.rope_length
    else:
        per_token = shape.head_count_kv * (shape.key_length + shape.value_length)
    return round(shape.block_count * per_token * tokens * KV_BYTES[kv_type])


def _with_flash_attention(shape: Shape, context: int) -> int:
    """Bytes of compute buffer for each token of a batch: the f16 mask row, and what a block holds at its widest.

    Gate, up and their product are three feed-forward-wide floats, none in place; 20 bytes an element of the embedding
    are the inputs, the residual and the allocator's holes.
    """
    return 2 * context + _feed_forward(shape) + 20 * shape.embedding_length


def _without(shape: Shape, context: int) -> int:
    """As above without flash attention: the mask is f32 and the scores of every head exist in full."""
    width, heads = shape.embedding_length, shape.head_count
    queries = heads * shape.key_length
    around = 24 * width if queries <= width else 20 * width + 8 * queries
    scores = 4 * heads * context + around
    return 4 * context + 8 * shape.head_count_kv * shape.value_length + max(_feed_forward(shape) + 20 * width, scores)


def _feed_forward(shape: Shape) -> int:
    dense = 12 * shape.feed_forward_length
    if shape.experts is None:
        return dense
    return max(_mixture(shape.experts, shape.embedding_length), dense if shape.experts.leading_dense_blocks else 0)


def _mixture(experts: Experts, width: int) -> int:
    """Each used expert holds its three inner vectors, and its output where that outweighs the two it can reuse."""
    inner = experts.feed_forward_length
    return experts.used * (12 * inner + (4 * width if width > 2 * inner else 0))


def largest_context(shape: Shape, weights: int, budget: int, settings: Settings) -> int:
    """The largest context (a multiple of 256, at most the trained one) whose need is within `budget`; 0 if none."""
    low, high = 0, shape.context_length // CONTEXT_STEP
    while low < high:
        middle = (low + high + 1) // 2
        candidate = _at(settings, middle * CONTEXT_STEP)
        if need(shape, weights, candidate).total <= budget:
            low = middle
        else:
            high = middle - 1
    return low * CONTEXT_STEP


def tokens_per_second(model: Model, settings: Settings, bandwidth: float) -> float:
    """An ESTIMATE of generation speed: every token reads the active weights once, and the cache of a typical chat.

    `bandwidth` is what the engine can really read, bytes a second. Mixtures read only their active share.
    """
    active = model.active_parameters or model.parameters
    weights = model.file.bytes * active / model.parameters
    cache = kv_bytes(model.shape, min(settings.context, TYPICAL_CHAT), settings.kv_type)
    return bandwidth / (weights + cache)


def _at(settings: Settings, context: int) -> Settings:
    return Settings(context, settings.parallel, settings.kv_type, settings.flash_attention, settings.engine)
