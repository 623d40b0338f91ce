"""Settings of an engine that follow from the hardware, where nobody chose them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

GIB = 1 << 30

# Memory of cards from which several requests are answered at once. Each gets the whole context: for a 7B model at 32K
# that is 1.8 GiB (Qwen 2.5 Coder) to 4 GiB (Llama 3.1). On a processor two requests only slow each other down.
_AT_ONCE = ((40 * GIB, 4), (16 * GIB, 2))
# A machine with less gives the memory of an idle model back soon: somebody works on it.
_SMALL = 16 * GIB
# NVIDIA chips before Volta have no flash attention worth having; Ollama's own `auto` leaves it off there, too.
_FLASH_FROM = (7, 0)


def tuned(machine: Mapping[str, Any], choice: Mapping[str, Any], listens: str, gpu: Any) -> dict[str, Any]:
    """`parallel` (requests that a model answers at once), `keep_alive` (of an idle model) and `flash_attention`.

    ``machine`` and ``choice`` are the facts of the preflight, ``listens`` is gridtie_listen: other machines' models
    stay in memory. A build from packages computes on the processor, whatever is built in.
    """
    off = str(gpu).lower() in ("off", "false", "no")
    # An Ollama that was here before keeps its own settings.
    on_cards = choice.get("engine") == "ollama" and choice.get("source") == "release" and not off
    graphics = machine.get("graphics") or {}
    cards = [card for card in graphics.get("cards") or [] if on_cards and graphics.get("backend") and card["expected"]]
    memory = sum(card.get("memory") or 0 for card in cards)
    small = not cards and machine["memory"]["total"] < _SMALL
    return {
        "parallel": next((number for least, number in _AT_ONCE if memory >= least), 1),
        "keep_alive": "-1" if listens else ("5m" if small else "30m"),
        "flash_attention": all(_flash(card) for card in cards),
    }


def _flash(card: Mapping[str, Any]) -> bool:
    if card.get("vendor") != "NVIDIA" or not card.get("target"):
        return True
    return tuple(int(part) for part in str(card["target"]).split(".")[:2]) >= _FLASH_FROM


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        """Name to function."""
        return {"gridtie_tuned": tuned}
