"""How much memory a model needs in llama.cpp's server, and the largest settings that fit. Pure: no I/O, no clock.

The formula is the server's own (llama.cpp from mid-2026 on, in Ollama and alone), read from its graph and checked
against its dry run (tests/contract/test_fit_oracle.py): key/value cache exact, total within 2 %. Not covered: CUDA
contexts and scratch pools (the margin is for them), projectors, draft models, sliding-window attention; hybrids are
never predicted. All sizes are bytes; contexts are tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable, Optional

from ..catalogue import Experts, Model, Shape

MIB = 1 << 20
GIB = 1 << 30

# Bytes an element takes in the cache: quantised blocks of 32 with their scale (ggml: q8_0 34 bytes, q4_0 18 bytes).
KV_BYTES = {"f16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}

# llama.cpp rounds one sequence's context up to this (llama-context.cpp, GGML_PAD of n_ctx_seq).
CONTEXT_STEP = 256

# The llama.cpp build whose graph is counted: the one that stations run (config/artefacts.yaml; Ollama 0.32.15 pins
# b10488, whose neighbours b10229 and b10566 agree).
BUILD = 10566

# Since some build after b11063 and up to this one, a batch's embeddings are kept once more than before.
ONE_MORE_COPY_SINCE = 11549

# A quantised cache is rotated first (Hadamard, llama-kv-cache.cpp) where a head's length is a multiple of this. The
# rotated queries are a tensor of their own, and the room of the plain ones is free again for the feed-forward part.
ROTATED_HEAD = 64

# More requests at once than this nobody runs on one machine's engine; the answer "largest parallelism" ends here.
MOST_PARALLEL = 64

# Tokens in the cache while a typical answer is written: the estimate of speed counts reading them.
TYPICAL_CHAT = 2048

# What llama.cpp's own fit leaves free on every device (common/fit.cpp, --fit-target).
MARGIN = 1 * GIB

# A CUDA or ROCm context with its scratch pools, which no dry run sees. Estimate.
GPU_CONTEXT = GIB // 2


@dataclass(frozen=True)
class Need:
    """What a server reserves for one model, in bytes. `weights` are the tensors; the tokenizer is not kept."""

    weights: int
    kv: int
    compute: int

    @property
    def total(self) -> int:
        return self.weights + self.kv + self.compute


@dataclass(frozen=True)
class Settings:
    """How the server is run. `context` is one sequence's; `parallel` sequences each get that much. `build` is
    llama.cpp's."""

    context: int
    parallel: int = 1
    kv_type: str = "f16"
    flash_attention: bool = True
    engine: str = "ollama"
    build: int = BUILD

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
    """The memory a server reserves for a model of `shape` whose tensors take `weights` bytes.

    `ubatch` overrules the engine's own choice. Raises ValueError for a quantised cache without flash attention, which
    llama.cpp refuses to run.
    """
    if settings.kv_type not in KV_BYTES:
        raise ValueError(f"the cache type is {settings.kv_type!r}; known are {', '.join(KV_BYTES)}")
    if settings.kv_type != "f16" and not settings.flash_attention:
        raise ValueError(f"a {settings.kv_type} cache needs flash attention; switch it on or use f16")
    context = padded_context(settings.context)
    # A batch is cut to what was asked for, before the context is rounded up.
    batch = min(ubatch or settings.ubatch, settings.context * settings.parallel)
    row = (_with_flash_attention if settings.flash_attention else _without)(shape, context, settings)
    logits = 4 * shape.vocab_size * settings.parallel
    cache = kv_bytes(shape, context * settings.parallel, settings.kv_type)
    return Need(weights=weights, kv=cache, compute=batch * row + logits)


def kv_bytes(shape: Shape, tokens: int, kv_type: str = "f16") -> int:
    """The cache for `tokens` tokens in all. Compressed attention caches one shared vector and no values."""
    if shape.mla_cache:
        per_token = shape.kv_lora_rank + shape.rope_length
    else:
        per_token = shape.head_count_kv * (shape.key_length + shape.value_length)
    return round(shape.block_count * per_token * tokens * KV_BYTES[kv_type])


def _with_flash_attention(shape: Shape, context: int, settings: Settings) -> int:
    """Bytes of compute buffer for each token of a batch: the f16 mask row, and what a block holds at its widest."""
    return 2 * context + _block(shape, settings)


def _without(shape: Shape, context: int, settings: Settings) -> int:
    """As above without flash attention: the mask is f32 and the scores of every head exist in full."""
    width, heads = shape.embedding_length, shape.head_count
    queries = heads * shape.key_length
    around = 12 * width + 8 * queries
    if settings.build >= ONE_MORE_COPY_SINCE or shape.architecture == "deepseek2":
        around = 24 * width if queries <= width else 20 * width + 8 * queries
    scores = 4 * heads * context + around
    return 4 * context + 8 * shape.head_count_kv * shape.value_length + max(_block(shape, settings), scores)


def _block(shape: Shape, settings: Settings) -> int:
    """A feed-forward block for one token: gate, up and their product are three floats wide, none in place.

    Beside them lie copies of the token's embedding: two inputs that are never freed, the residual, and what the
    allocator cannot fill again.
    """
    width, experts = shape.embedding_length, shape.experts
    dense = 12 * shape.feed_forward_length + 4 * _copies(shape, settings) * width
    if experts is None:
        return dense
    return max(_mixture(experts, width) + 20 * width, dense if experts.leading_dense_blocks else 0)


def _copies(shape: Shape, settings: Settings) -> int:
    """Where the room of the queries is free again in time, one or two copies lie there; wider ones do not fit."""
    wide = shape.head_count * shape.key_length > shape.embedding_length and settings.flash_attention
    if settings.build >= ONE_MORE_COPY_SINCE or wide:
        return 5
    rotated = settings.kv_type != "f16" and shape.key_length % ROTATED_HEAD == 0
    return 3 if rotated or not settings.flash_attention else 4


def _mixture(experts: Experts, width: int) -> int:
    """Each used expert holds its three inner vectors, and its output where that outweighs the two it can reuse."""
    inner = experts.feed_forward_length
    return experts.used * (12 * inner + (4 * width if width > 2 * inner else 0))


def largest_context(shape: Shape, settings: Settings, fits: Callable[[Settings], bool]) -> int:
    """The largest context (a multiple of 256, at most the trained one) with which it `fits`; 0 if none."""
    steps = shape.context_length // CONTEXT_STEP
    return CONTEXT_STEP * _most(steps, lambda step: fits(replace(settings, context=step * CONTEXT_STEP)))


def largest_parallel(settings: Settings, fits: Callable[[Settings], bool]) -> int:
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
    return weights + kv_bytes(model.shape, min(settings.context, TYPICAL_CHAT), settings.kv_type)
