"""How much memory vLLM takes for a checkpoint, and what its cache then holds. Pure: no I/O, no clock.

vLLM takes a share of each card (`gpu_memory_utilization`), loads its part of the weights, runs one full batch to see
what computing takes, and makes the cache of all that is left. The cache is vLLM's own arithmetic, read in 0.32.0's
sources (vllm/v1/kv_cache_interface.py, vllm/v1/core/kv_cache_utils.py) and held to them (tests/scale). What computing
takes is an ESTIMATE: vLLM measures it when it starts, and its own report has the last word. All sizes are bytes;
contexts are tokens.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Optional, Sequence

from .checkpoint import Checkpoint, CheckpointError, Kept
from .memory import GIB

# vLLM's own defaults (vllm/config/cache.py, vllm/platforms/cpu.py of 0.32.0).
SHARE = 0.92
BLOCK, BLOCK_ON_PROCESSOR = 16, 128
# Its defaults of --max-num-batched-tokens and --max-num-seqs (vllm/engine/arg_utils.py): the first whose memory a card
# has. An A100 counts with the small ones, a processor has 128 in place of 256 sequences.
_BATCHES = ((160 * GIB, 16384, 1024), (70 * GIB, 8192, 1024), (0, 2048, 256))
_PROCESSORS_SEQUENCES = 128
# Batches that are under way at once, whose tokens a window keeps besides its own: scheduling is asynchronous.
_IN_FLIGHT = 2

# What is there beside weights, cache and a batch. On a processor PyTorch and its libraries in three processes: up to
# 2.4 GiB were measured (docs/memory-fit.md). On a card its context, NCCL's buffers and the captured graphs: an
# ESTIMATE.
PROCESS = 5 * GIB // 2
ON_CARD = 3 * GIB // 4


@dataclass(frozen=True)
class Card:
    """A graphics card, or the processor's memory: all that it has, and what is free of it. Of a processor's memory what
    is free is what vLLM may take, the margin taken off.
    """

    name: str
    total: int
    free: int


@dataclass(frozen=True)
class Settings:
    """How vLLM is run. `context` is `--max-model-len`; 0 takes the trained one. `cache_bytes` of an element, None as
    many as the model computes with; `cards` is `--tensor-parallel-size`. `batched` tokens and `sequences` are computed
    at once, 0 what vLLM takes by itself on such a card.
    """

    context: int = 0
    cards: int = 1
    share: float = SHARE
    cache_bytes: Optional[int] = None
    batched: int = 0
    sequences: int = 0
    on_processor: bool = False

    @property
    def block(self) -> int:
        """Tokens of a block of the cache."""
        return BLOCK_ON_PROCESSOR if self.on_processor else BLOCK


@dataclass(frozen=True)
class Use:
    """What is where on each card. `share` is what vLLM may take, `cache` what is left of it for the cache, `request`
    the cache of one request with the whole context.

    `tokens` are those that the cache holds in all, as vLLM reports them; `at_once` the requests with the whole context
    that it has room for, which may be a fraction; `largest` the longest context of one request.
    """

    share: int
    weights: int
    compute: int
    beside: int
    cache: int
    request: int
    tokens: int
    at_once: float
    largest: int
    context: int

    @property
    def least(self) -> int:
        """What a card must give for one request."""
        return self.weights + self.compute + self.beside + self.request

    @property
    def fits(self) -> bool:
        """Whether one request with the whole context has room."""
        return self.at_once >= 1


@dataclass(frozen=True)
class Cache:
    """The cache's layout: groups of layers share one block table each; all groups are of `layers` layers."""

    groups: tuple[Kept, ...]
    layers: int
    page: int

    def blocks(self, context: int, settings: Settings) -> int:
        """Blocks that one request of this length needs at most."""
        return sum(_blocks(kept, context, settings) for kept in self.groups)

    def holds(self, room: int) -> int:
        """Blocks that `room` bytes make."""
        return max(0, room // (self.page * self.layers))


def used(model: Checkpoint, cards: Sequence[Card], settings: Settings) -> Use:
    """What vLLM makes of these cards. Raises CheckpointError for a number of cards that the model cannot be split over.

    The card with the least counts for all: vLLM gives each the same.
    """
    least = min(cards, key=lambda card: card.total)
    wanted = completed(settings, model, least)
    check_split(model, wanted.cards)
    beside = PROCESS if wanted.on_processor else ON_CARD
    share = least.free if wanted.on_processor else int(least.total * wanted.share)
    weights = -(-model.weights // wanted.cards)
    compute = batch_bytes(model, wanted)
    room = max(0, share - weights - compute - beside)
    cache = cache_of(model, wanted)
    blocks, needed = cache.holds(room), cache.blocks(wanted.context, wanted)
    return Use(
        share=share,
        weights=weights,
        compute=compute,
        beside=beside,
        cache=room,
        request=needed * cache.page * cache.layers,
        tokens=int(blocks / needed * wanted.context),
        at_once=blocks / needed,
        largest=_largest(model, cache, blocks, wanted),
        context=wanted.context,
    )


def completed(settings: Settings, model: Checkpoint, card: Card) -> Settings:
    """The settings with what vLLM takes where nothing is said."""
    small = "A100" in card.name or settings.on_processor
    _, batched, sequences = next(row for row in _BATCHES if (0 if small else card.total) >= row[0])
    return replace(
        settings,
        context=min(settings.context or model.context_length, model.context_length),
        batched=settings.batched or batched,
        sequences=settings.sequences or (_PROCESSORS_SEQUENCES if settings.on_processor else sequences),
    )


def arguments(model: Checkpoint, settings: Settings, use: Use) -> list[str]:
    """vLLM's own options for what was counted with, and for what reads the model's calls and reasoning."""
    words = ["--max-model-len", str(use.context)]
    if settings.cards > 1:
        words += ["--tensor-parallel-size", str(settings.cards)]
    if not settings.on_processor:
        words += ["--gpu-memory-utilization", f"{settings.share:g}"]
    if settings.cache_bytes:
        words += ["--kv-cache-dtype", "fp8"]
    if model.tools:
        words += ["--enable-auto-tool-choice", "--tool-call-parser", model.tools]
    if model.reasoning:
        words += ["--reasoning-parser", model.reasoning]
    return words


def check_split(model: Checkpoint, cards: int) -> None:
    """Raises CheckpointError where vLLM refuses to split a model over so many cards."""
    heads = model.layers[0].kv_heads
    even = heads % cards == 0 or cards % heads == 0 or model.layers[0].latent
    if model.heads % cards or not even:
        good = [n for n in range(1, 17) if not model.heads % n and (not heads % n or not n % heads)]
        raise CheckpointError(
            f"{model.name}: {model.heads} heads and {heads} of keys and values cannot be split over {cards} cards; "
            f"possible are {', '.join(map(str, good))} (gridtie_vllm_model.tensor_parallel, or --tensor-parallel of "
            "the command)"
        )


def cache_of(model: Checkpoint, settings: Settings) -> Cache:
    """How vLLM lays the cache: layers of one kind in groups of the same number, the rest of a group unused."""
    kinds = Counter(model.layers)
    fewest, most = min(kinds.values()), max(kinds.values())
    layers = most if most < fewest * 1.5 else fewest
    groups = tuple(kept for kept, count in kinds.items() for _ in range(-(-count // layers)))
    kept = groups[0]
    heads = 1 if kept.latent else max(1, kept.kv_heads // settings.cards)
    size = settings.cache_bytes or model.element_bytes
    return Cache(groups, layers, settings.block * heads * (kept.key_length + kept.value_length) * size)


def batch_bytes(model: Checkpoint, settings: Settings) -> int:
    """ESTIMATE of what computing a full batch takes: the widest moment of a layer, and the sampler's copies of the
    scores in single precision (as they come, sorted, their places, probabilities and sums).
    """
    tokens = min(settings.batched, settings.sequences * model.context_length)
    row = 4 * model.hidden + 3 * model.feed_forward // settings.cards
    return tokens * row * model.element_bytes + 5 * 4 * settings.sequences * model.vocabulary


def least_share(model: Checkpoint, cards: Sequence[Card], settings: Settings) -> Optional[float]:
    """The smallest share of the cards, in hundredths, with which one request has room; None where none does."""
    shares = (number / 100 for number in range(1, 100))
    return next((share for share in shares if used(model, cards, replace(settings, share=share)).fits), None)


def too_little_free(cards: Sequence[Card], settings: Settings) -> str:
    """Why vLLM would not start: less is free than its share; "" where nothing speaks against it."""
    if settings.on_processor:
        return ""
    short = next((card for card in cards if card.free < card.total * settings.share), None)
    if short is None:
        return ""
    possible = int(100 * short.free / short.total) / 100
    return (
        f"vLLM would not start: its share of {short.name} is {short.total * settings.share / GIB:.1f} GiB, "
        f"{short.free / GIB:.1f} GiB are free; end what holds the rest, or give it at most "
        f"--gpu-memory-utilization {possible:.2f}"
    )


def _blocks(kept: Kept, context: int, settings: Settings) -> int:
    if not kept.window:
        return -(-context // settings.block)
    # A window may begin in the middle of a block, so that it takes one more.
    return -(-min(kept.window - 1 + _IN_FLIGHT * settings.batched, context) // settings.block) + 1


def _largest(model: Checkpoint, cache: Cache, blocks: int, settings: Settings) -> int:
    low, high = 0, model.context_length
    while low < high:
        middle = (low + high + 1) // 2
        if cache.blocks(middle, settings) <= blocks:
            low = middle
        else:
            high = middle - 1
    return low
