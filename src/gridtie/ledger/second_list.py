"""Another price list beside ours: an alarm that a price has moved, or that one of the two is wrong.

Two formats are read: our own snapshot, and the map of LiteLLM (`model_prices_and_context_window.json`), whose prices
are US dollars per token, without a date.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from gridtie.ledger.prices import PriceFile, PricesError, Rates

# Our field -> LiteLLM's, per token.
_PER_TOKEN = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cached_input": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
}
# Prices per token times a million are off by the last bit.
_SAME = 1e-6


class Move(msgspec.Struct, frozen=True):
    """One rate of one model that the two lists have otherwise. US dollars per million tokens; None: not listed."""

    ref: str
    rate: str
    ours: float | None
    theirs: float | None

    @property
    def change(self) -> float | None:
        """By how much theirs is above ours, as a share of it; None where one of them is not there or is 0."""
        return self.theirs / self.ours - 1 if self.ours and self.theirs is not None else None


class Comparison(msgspec.Struct, frozen=True):
    """What moved, and how many models of ours the other list has at all."""

    moves: list[Move]
    compared: int
    missing: list[str]


def read(text: bytes, name: str) -> dict[str, Rates]:
    """The rates of a list by "provider/model". Raises `PricesError`; `name` is only for messages."""
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise PricesError(f"{name}: {error}; wanted: a prices.json of gridtie, or LiteLLM's map, as JSON") from error
    if isinstance(found, dict) and "models" in found:
        try:
            ours = msgspec.convert(found, PriceFile)
        except msgspec.ValidationError as error:
            raise PricesError(f"{name}: {error}; wanted: a prices.json of gridtie") from error
        return dict(ours.models)
    rates = dict(_per_token(found)) if isinstance(found, dict) else {}
    if not rates:
        raise PricesError(
            f"{name}: no price found; wanted: a prices.json of gridtie, or a map of models that have "
            f"{_PER_TOKEN['input']} and {_PER_TOKEN['output']}"
        )
    return rates


def compare(ours: Mapping[str, Rates], theirs: Mapping[str, Rates]) -> Comparison:
    """Rate by rate, of the models that both have. A rate that theirs leaves out has not moved."""
    both = [ref for ref in sorted(ours) if ref in theirs]
    moves = [
        Move(ref, rate, mine, other)
        for ref in both
        for rate in _PER_TOKEN
        for mine, other in [(getattr(ours[ref], rate), getattr(theirs[ref], rate))]
        if other is not None and (mine is None or not math.isclose(mine, other, rel_tol=_SAME, abs_tol=1e-12))
    ]
    return Comparison(moves, len(both), [ref for ref in sorted(ours) if ref not in theirs])


def _per_token(found: Mapping[str, Any]) -> Iterator[tuple[str, Rates]]:
    for name, listed in found.items():
        if not isinstance(listed, dict):
            continue
        rates = {ours: _million(listed.get(theirs)) for ours, theirs in _PER_TOKEN.items()}
        if rates["input"] is None or rates["output"] is None:
            continue
        # LiteLLM writes some models with their provider before them, and others not.
        provider = str(listed.get("litellm_provider", ""))
        ref = name if "/" in name else f"{provider}/{name}"
        yield ref, Rates(**rates)  # type: ignore[arg-type]


def _million(per_token: Any) -> float | None:
    if not isinstance(per_token, int | float) or isinstance(per_token, bool) or not 0 <= per_token < math.inf:
        return None
    # Twelve places are more than any price has, and what multiplying adds is beyond them.
    return round(per_token * 1e6, 12)
