"""Where a model's memory comes to lie: in one memory, on one card, over several, or partly in main memory. Pure.

llama.cpp splits a model by layers, each with its share of the cache; what comes after the last layer counts as one
more. Every card that takes part has a compute buffer of its own. Ollama takes one card where one has room, else all. On
one card that has too little, a mixture's experts are the first to go (`offload.py`). Sizes are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from .memory import Need
from .offload import Offload, Parts, lay, offload

# A budget's name where the processor computes.
MAIN_MEMORY = "memory"


@dataclass(frozen=True)
class Device:
    """A graphics card, or the main memory behind cards. `available` is what models may take, its margin taken off.

    `bandwidth` is an estimate in bytes a second, None where nothing is known.
    """

    name: str
    total: int
    available: int
    bandwidth: Optional[float] = None


@dataclass(frozen=True)
class Budget:
    """Where models will live: `total` and `available` bytes of one memory, or of all `cards`, margins taken off.

    `bandwidth` is an estimate in bytes a second, None where nothing is known; `bandwidth_source` says whence.
    `cards` is empty where everything is one memory; `behind` is then what takes the layers that no card has room for.
    `in_use` is what other programs hold, `reclaimable` what the engine's own idle models do, which `available` counts.
    """

    name: str
    total: int
    available: int
    bandwidth: Optional[float] = None
    bandwidth_source: str = ""
    cards: tuple[Device, ...] = ()
    behind: Optional[Device] = None
    in_use: int = 0
    reclaimable: int = 0

    @property
    def on_graphics(self) -> bool:
        """Whether the engine computes models on graphics here, with memory of their own or without."""
        return self.name != MAIN_MEMORY


@dataclass(frozen=True)
class Placement:
    """How a model lies in a budget. `layers` of `of_layers` are where the budget's name says; the rest is behind it,
    and so are the experts of `without_experts` of them.

    `shares` are the parts of the weights by bandwidth of their memory, for the speed. `on_card` and `in_memory` are the
    bytes there of a model that lies partly on one card.
    """

    whole: bool
    layers: int
    of_layers: int
    cards: int = 0
    without_experts: int = 0
    shares: tuple[tuple[float, Optional[float]], ...] = field(default=(), repr=False)
    on_card: int = 0
    in_memory: int = 0

    @property
    def possible(self) -> bool:
        """Whether the model runs at all, be it partly in main memory."""
        return self.whole or bool(self.shares)

    def seconds(self, read: float) -> Optional[float]:
        """An ESTIMATE of how long reading `read` bytes of the model takes; None where a bandwidth is not known."""
        taken = 0.0
        for share, bandwidth in self.shares:
            if not bandwidth:
                return None
            taken += share * read / bandwidth
        return taken or None


def best_placement(needed: Need, parts: Parts, budget: Budget) -> Placement:
    """Where a model lies best, as the engine would choose it."""
    layers = len(parts.blocks) + 1
    if not budget.cards:
        fits = needed.total <= budget.available
        return Placement(fits, layers if fits else 0, layers, shares=((1.0, budget.bandwidth),) if fits else ())
    widest = max(budget.cards, key=lambda card: card.available)
    if needed.total <= widest.available:
        return Placement(True, layers, layers, 1, shares=((1.0, widest.bandwidth),))
    return _split(needed, layers, budget) if len(budget.cards) > 1 else _partly(needed, parts, budget)


def placement_with(needed: Need, parts: Parts, budget: Budget, layers: int) -> Placement:
    """Where a model lies with so many layers on the cards, whatever would be best; what comes after the last layer
    counts as one more. The budget has cards.
    """
    all_layers = len(parts.blocks) + 1
    if layers >= all_layers:
        found = best_placement(needed, parts, budget)
        return found if found.whole else Placement(False, found.layers, all_layers)
    if len(budget.cards) > 1:
        return _split(needed, all_layers, budget, layers)
    laid = lay(parts, needed, layers)
    return _on_both(laid, budget, laid.card <= budget.cards[0].available)


def _partly(needed: Need, parts: Parts, budget: Budget) -> Placement:
    return _on_both(offload(parts, needed, budget.cards[0].available), budget)


def _on_both(laid: Offload, budget: Budget, fits: bool = True) -> Placement:
    card, behind = budget.cards[0], budget.behind
    shares: tuple[tuple[float, Optional[float]], ...] = ()
    if fits and behind is not None and laid.memory <= behind.available:
        shares = ((laid.share, card.bandwidth), (1 - laid.share, behind.bandwidth))
    return Placement(
        False,
        laid.layers,
        laid.of_layers,
        1 if shares else 0,
        laid.without_experts,
        shares,
        on_card=round(laid.card),
        in_memory=round(laid.memory),
    )


def _split(needed: Need, layers: int, budget: Budget, wanted: Optional[int] = None) -> Placement:
    """Over several cards; `wanted` of the layers and no more, where that is given."""
    layer = (needed.weights + needed.kv + needed.state) / layers
    fitting = [max(0, int((card.available - needed.compute) // layer)) for card in budget.cards]
    left, shares, used = layers if wanted is None else wanted, [], 0
    beyond = layers - left
    for card, most in zip(budget.cards, fitting):
        taken = min(left, most)
        left -= taken
        if taken:
            used += 1
            shares.append((taken / layers, card.bandwidth))
    if not left and not beyond:
        return Placement(True, layers, layers, used, shares=tuple(shares))
    if left and wanted is not None:
        return Placement(False, wanted - left, layers, used)
    left += beyond
    # What no card takes is computed by the processor, with a buffer of its own.
    behind = budget.behind
    if behind is None or left * layer + needed.compute > behind.available:
        return Placement(False, layers - left, layers, used)
    return Placement(False, layers - left, layers, used, shares=(*shares, (left / layers, behind.bandwidth)))
