"""What the compute buffer holds for each token of a batch, in bytes. Pure.

llama.cpp reserves the widest moment of its graph. Beside the mask that moment is a feed-forward block, a recurrent
layer or, without flash attention, the scores of all heads. Around it lie copies of the token's embedding: inputs that
are never freed, the residual, and what the allocator cannot fill again. Which, was read in the graphs; how many, was
measured; the coefficients are bytes, four for each float.
"""

from __future__ import annotations

from typing import NamedTuple

from .architectures import CHANGED_IN, PATTERNS_IN
from .layers import Layers

# Bytes of each layer's own embeddings in Gemma 3n (llama-hparams.h, n_embd_altup).
_GEMMA3N_LAYER = 4 * 256
# Positions and the cells that are written, for each cache.
_INDICES = 20
# A quantised cache is rotated first (Hadamard, llama-kv-cache.cpp) where a head's length is a multiple of this; values
# are by matrices of this size.
ROTATED_HEAD = 64


class Batch(NamedTuple):
    """What a graph is made for: `cells` and `sliding_cells` of each stream's caches, `sequences` at once, `tokens`."""

    cells: int
    sliding_cells: int
    sequences: int
    tokens: int
    quantised: bool
    flash_attention: bool
    build: int

    @property
    def changed(self) -> bool:
        return self.build >= CHANGED_IN


def row_bytes(model: Layers, batch: Batch) -> int:
    """Bytes of compute buffer for each token of the batch."""
    caches = (2 if model.window else 1) if model.attention else 0
    masked = batch.cells * bool(caches) + (batch.sliding_cells if model.window else 0)
    widest = max(_feed_forward(model, batch), _recurrent(model, batch))
    inputs = _INDICES * caches + model.deepstack * (16 if batch.changed else 8) * model.embedding_length
    if batch.flash_attention:
        return 2 * masked + inputs + widest
    cached = [layer.kv_heads * layer.value_length for layer in model.all if model.rule.keeps_cache]
    written = 0 if model.latent else 8 * max(cached, default=0)
    return 4 * masked + inputs + written * caches + max(widest, _scores(model, batch))


def fixed_bytes(model: Layers, batch: Batch) -> int:
    """What is there once, however many tokens a batch has: the matrices that rotate a quantised cache."""
    if not _rotates(model, batch) or model.latent:
        return 0
    lengths = {layer.slides: layer.key_length for layer in model.attention}
    return sum(4 * (_power(length) ** 2 + ROTATED_HEAD**2) for length in lengths.values())


def _power(length: int) -> int:
    """The largest power of two that divides it."""
    return length & -length


def _rotates(model: Layers, batch: Batch) -> bool:
    lengths = {layer.key_length for layer in model.attention}
    return batch.quantised and bool(lengths) and all(length and length % ROTATED_HEAD == 0 for length in lengths)


def _output(model: Layers) -> int:
    """The width of what attention gives back."""
    if model.latent:
        return max((layer.heads for layer in model.attention), default=0) * model.latent.value_length
    return max((layer.heads * layer.value_length for layer in model.attention), default=0)


def _copies(model: Layers, batch: Batch) -> int:
    """The copies of the embedding around a feed-forward block, and what attention leaves beside them."""
    width = model.embedding_length
    more = 4 * model.rule.more[batch.changed] * width
    if batch.changed:
        return 20 * width + more
    return 12 * width + 4 * _room(model, batch) + more


def _room(model: Layers, batch: Batch) -> int:
    """Elements of attention's room that the feed-forward block cannot take again, in builds before CHANGED_IN."""
    width, output = model.embedding_length, _output(model)
    if not model.rule.room:
        return width if model.mixture and model.rule.interval else 0
    rotates = _rotates(model, batch)
    if output == width and not model.window and not model.rule.recurs:
        return 0 if rotates or not batch.flash_attention else width
    if model.mixture:
        return min(output, 2 * width)
    if output < width:
        return 2 * output if rotates or not batch.flash_attention else output
    inner = max((layer.feed_forward for layer in model.layers), default=0)
    return output - width if output >= 2 * width and inner <= output + width else output


def _feed_forward(model: Layers, batch: Batch) -> int:
    """A feed-forward block: its gate, up and their product, none in place, and the copies around them."""
    width, gates = model.embedding_length, model.rule.gates
    around = _copies(model, batch)
    if model.per_layer:
        own = 4 * model.per_layer * len(model.layers)
        around += 2 * own if batch.changed else own + 4 * width
    inner = max((layer.feed_forward for layer in model.layers if not layer.mixed), default=0)
    if model.architecture == "gemma3n":
        return _gemma3n(model, inner, batch)
    dense = 4 * gates * inner + around if inner else 0
    if model.mixture is None:
        return dense
    inner, used = model.mixture.feed_forward, model.mixture.used
    # Each expert's output is held as well, where it outweighs what it can lie in: the gate and up vectors.
    output = width if width > (gates - 1) * inner else 0
    shared = 4 * gates * model.mixture.shared + around if model.mixture.shared and gates > 1 else 0
    return max(dense, shared, 4 * used * (gates * inner + output) + around)


def _gemma3n(model: Layers, inner: int, batch: Batch) -> int:
    """Gemma 3n holds four streams of the embedding, and 256 values of each layer (gemma3n.cpp), at first twice."""
    width, own = model.embedding_length, _GEMMA3N_LAYER * len(model.layers)
    block = 12 * inner + own + (42 if batch.changed else 38) * width
    return max(block, 2 * own + (84 if batch.changed else 72) * width)


def _recurrent(model: Layers, batch: Batch) -> int:
    """A recurrent layer: its projections, what is convolved, and the states of all sequences."""
    sizes, width = model.recurrent, model.embedding_length
    if not sizes.inner:
        return 0
    states = 4 * max(layer.state for layer in model.layers) * batch.sequences // max(1, batch.tokens)
    if model.rule.interval:
        # Linear attention. Small states lie in what the convolution left.
        copied = states if batch.changed else 2 * states
        return 12 * sizes.convolved + 12 * width + (copied if states > 4 * sizes.inner else 0)
    if not sizes.groups:
        # Mamba 1 (Jamba): the scan's inputs and outputs.
        return 4 * (2 * sizes.convolved + 4 * sizes.inner) + states
    projected = sizes.inner + sizes.convolved + sizes.rank
    held = 4 * (projected + 2 * sizes.convolved + 3 * sizes.inner)
    # Beside attention it is the wider sum from PATTERNS_IN on, unless the cache is quantised.
    wider = batch.changed or (batch.build >= PATTERNS_IN and bool(model.attention) and not batch.quantised)
    return held + (4 if wider else -4) * width + states


def _scores(model: Layers, batch: Batch) -> int:
    """Without flash attention the scores of every head exist in full, beside queries and copies of the embedding."""
    if not model.attention:
        return 0
    heads = max(4 * layer.heads * (batch.sliding_cells if layer.slides else batch.cells) for layer in model.attention)
    queries = max(layer.queries for layer in model.attention)
    return heads + 12 * model.embedding_length + 8 * queries + _beside_scores(model, queries, batch)


def _beside_scores(model: Layers, queries: int, batch: Batch) -> int:
    """What more lies beside the scores: by the architecture's rule, else by which of queries and embedding is wider."""
    width, changed = model.embedding_length, batch.changed
    if model.architecture == "gemma3n":
        return _GEMMA3N_LAYER * len(model.layers) + 24 * width
    if model.per_layer:
        own = 4 * model.per_layer * len(model.layers)
        return own + 8 * width if changed else 2 * own
    if model.latent:
        heads = max(layer.heads for layer in model.attention)
        unfolded = 4 * heads * (model.latent.key_length - model.latent.rope_length)
        return unfolded + (8 * width if changed else 4 * _output(model))
    if model.rule.at_scores is not None:
        gated = 4 * queries if model.rule.interval and queries > width else 0
        return 4 * model.rule.at_scores[changed] * width + gated
    if queries == width:
        several = bool(model.window or model.rule.recurs)
        return 4 * width * (changed - several)
    if not changed:
        return 0
    return 8 * width if queries > width else 12 * width - 8 * queries
