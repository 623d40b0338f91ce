"""How a model lies partly on one graphics card, as llama.cpp's own fitting lays it (common/fit.cpp). Pure.

Of a mixture all experts go to main memory first, and come back layer by layer from the front as far as there is room;
of what is dense then, layers go from the front, so that those at the back stay on the card. The token embedding lies in
main memory whenever anything does. Read in llama.cpp's sources, not measured: no card was at hand. Sizes are bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Sequence

from .header import Header
from .layers import Layers
from .memory import Need

# The tensors that llama.cpp moves first (LLM_FFN_EXPS_REGEX).
_EXPERTS = re.compile(r"ffn_(up|down|gate_up|gate)_(ch|)exps")
_BLOCK = re.compile(r"blk\.(\d+)\.")


@dataclass(frozen=True)
class Part:
    """One layer's weights: what every token needs, and its experts, of which a token needs `active`."""

    dense: float
    experts: float = 0
    active: float = 0


@dataclass(frozen=True)
class Parts:
    """A model's weights by layer; `output` is what comes after the last, `embedding` what comes before the first."""

    blocks: tuple[Part, ...]
    output: float
    embedding: float = 0

    @property
    def read(self) -> float:
        """Bytes that one token needs."""
        return self.output + sum(block.dense + block.active for block in self.blocks)


@dataclass(frozen=True)
class Offload:
    """`layers` of `of_layers` are on the card (what comes after the last counts as one more), of them
    `without_experts` without their experts. `card` and `memory` are bytes there, `share` the part of what one token
    reads that lies on the card.
    """

    layers: int
    of_layers: int
    without_experts: int
    card: float
    memory: float
    share: float


def parts_of_file(header: Header, model: Layers) -> Parts:
    """The weights of a file by layer, as its header lists them."""
    count = len(model.layers)
    dense, experts, output, embedding = [0] * count, [0] * count, 0, 0
    for name, tensor in header.tensors.items():
        found = _BLOCK.match(name)
        if found and int(found[1]) < count:
            part = experts if _EXPERTS.search(name) else dense
            part[int(found[1])] += tensor.bytes
        elif name.startswith("token_embd."):
            embedding += tensor.bytes
        elif not found:
            output += tensor.bytes
    return Parts(
        tuple(_part(model, each, mixed) for each, mixed in zip(dense, experts)), output or embedding, embedding
    )


def parts_of_layers(model: Layers, weights: int) -> Parts:
    """The weights of a model whose file is not at hand: as many bytes an element everywhere."""
    width, mixture = model.embedding_length, model.mixture
    sizes = []
    for layer in model.layers:
        heads = 2 * width * (layer.queries + layer.kv_heads * layer.key_length) if layer.attends else 0
        inner = model.rule.gates * width * (mixture.shared if layer.mixed and mixture else layer.feed_forward)
        recurrent = width * 4 * model.recurrent.inner if layer.state else 0
        experts = 3 * width * mixture.feed_forward * mixture.count if layer.mixed and mixture else 0
        sizes.append((heads + inner + recurrent, experts))
    output = width * model.vocab_size
    elements = sum(dense + experts for dense, experts in sizes) + output
    each = weights / elements if elements else 0
    blocks = tuple(_part(model, dense * each, experts * each) for dense, experts in sizes)
    return Parts(blocks, output * each)


def _part(model: Layers, dense: float, experts: float) -> Part:
    share = model.mixture.used / model.mixture.count if model.mixture else 0
    return Part(dense, experts, experts * share)


def offload(parts: Parts, needed: Need, available: int) -> Offload:
    """What of the model comes to lie on a card with so many bytes available, where it does not fit as a whole."""
    kept = (needed.kv + needed.state) / max(1, len(parts.blocks))
    room = available - needed.compute - parts.output
    dense = [block.dense + kept for block in parts.blocks]
    if any(block.experts for block in parts.blocks) and sum(dense) <= room:
        full = _fitting([block.experts for block in parts.blocks], room - sum(dense))
        return _laid(parts, needed, range(len(parts.blocks)), range(full), kept)
    back = _fitting(dense[::-1], room) if room >= 0 else 0
    on_card = range(len(parts.blocks) - back, len(parts.blocks))
    mixed = any(block.experts for block in parts.blocks)
    return _laid(parts, needed, on_card, range(0) if mixed else on_card, kept, output=room >= 0)


def lay(parts: Parts, needed: Need, layers: int) -> Offload:
    """What lies where with so many layers on the card, the last ones (llama.cpp's --gpu-layers)."""
    kept = (needed.kv + needed.state) / max(1, len(parts.blocks))
    on_card = range(len(parts.blocks) - max(0, layers - 1), len(parts.blocks))
    return _laid(parts, needed, on_card, on_card, kept, output=layers > 0)


def _fitting(sizes: Sequence[float], room: float) -> int:
    """How many of them fit, one after another."""
    for count, size in enumerate(sizes):
        room -= size
        if room < 0:
            return count
    return len(sizes)


def _laid(parts: Parts, needed: Need, on_card: range, full: range, kept: float, *, output: bool = True) -> Offload:
    blocks = parts.blocks
    card = sum(blocks[at].dense + kept for at in on_card) + sum(blocks[at].experts for at in full)
    read = sum(blocks[at].dense for at in on_card) + sum(blocks[at].active for at in full)
    everything = sum(block.dense + block.experts + kept for block in blocks) + parts.output + parts.embedding
    if output:
        card, read = card + parts.output, read + parts.output
    without = sum(1 for at in on_card if blocks[at].experts and at not in full)
    return Offload(
        layers=len(on_card) + output,
        of_layers=len(blocks) + 1,
        without_experts=without,
        card=card + needed.compute if output else 0,
        memory=everything - card + needed.compute,
        share=read / parts.read if parts.read else 0,
    )
