"""What tokens cost: a dated snapshot of cloud prices, with the routing file's own prices on top.

Pure once loaded. A price that is not known is `None` all the way to the report, never a silent zero.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from gridtie.config.schema import Locality, Price
from gridtie.dialects.types import Usage

# Pairs of a target and a baseline that are kept: far more than a routing file has.
_MOST_KEPT = 4096

# Providers publish dated names for what their price list calls by the family name:
# gpt-5.4-mini-2026-03-17, claude-sonnet-4-5-20250929, claude-haiku-5-5-latest.
_DATED = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8}|latest)$")


class PricesError(ValueError):
    """The price file cannot be used; the message names the file, the fault and the remedy."""


class Rates(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """US dollars per million tokens."""

    input: float
    output: float
    # None: the provider gives no discount, a cached token costs what any other input token does.
    cached_input: float | None = None
    # None: writing to the prompt cache is not billed apart.
    cache_write: float | None = None

    def cost(self, usage: Usage) -> float:
        """US dollars for one answer's tokens."""
        if not usage.cached and not usage.cache_write:
            return (usage.input * self.input + usage.output * self.output) / 1e6
        cached = self.input if self.cached_input is None else self.cached_input
        written = self.input if self.cache_write is None else self.cache_write
        plain = max(0, usage.input - usage.cached - usage.cache_write)
        millionths = (
            plain * self.input + usage.cached * cached + usage.cache_write * written + usage.output * self.output
        )
        return millionths / 1e6


class Tier(Rates, frozen=True, kw_only=True):
    """Rates for the whole request once its prompt has more than `above` tokens (all tokens, not the excess)."""

    above: int


class ModelPrices(Rates, frozen=True, kw_only=True):
    """What tokens cost at one model."""

    tiers: tuple[Tier, ...] = ()

    def rates(self, input_tokens: int) -> Rates:
        """The rates of the highest tier that a prompt of this size reaches."""
        reached: Rates = self
        for tier in self.tiers:  # ascending, as the loader checks
            if input_tokens > tier.above:
                reached = tier
        return reached


class PriceFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The price file as it is on disk."""

    schema: int
    source: str
    # The day the prices were taken, ISO: every figure made from them carries it.
    date: str
    currency: str
    unit: str
    # "provider/model" -> rates.
    models: dict[str, ModelPrices]


class Charge(msgspec.Struct, frozen=True):
    """What one answer cost and what the baseline would have cost; None where no price is known."""

    cost_usd: float | None
    baseline_usd: float | None
    # The rates that both were computed with, as JSON: {"target": rates, "baseline": rates}. A local answer has no
    # target, and what has no price is not in it; "" where nothing has.
    prices: str = ""


class _Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer's tokens cost at its target and at the baseline: worked out once."""

    local: bool
    target: Rates | None
    baseline: Rates | None
    text: str
    # The largest prompt that they hold for; beyond it one of the two has another tier. -1: they are of a tier.
    most_input: float
    # Held, so that no other mapping can have its identity.
    overrides: Mapping[str, Price] | None


class Prices:
    """Look-up over one price file. A reload makes another; nothing of what it says changes. For one thread."""

    def __init__(self, file: PriceFile) -> None:
        self.date = file.date
        self.source = file.source
        self._models = file.models
        # What `charge` was asked before, the identity of the overrides included, and the terms of a prompt in no tier.
        self._usual: dict[tuple[str, str, str, int], _Terms] = {}

    @classmethod
    def load(cls, path: Path) -> Prices:
        """Read a price file. Raises `PricesError`."""
        remedy = "take the file that ships with gridtie, or make a new one with `gridtie prices refresh`"
        try:
            file = msgspec.json.decode(path.read_bytes(), type=PriceFile)
        except OSError as error:
            raise PricesError(f"{path}: cannot be read: {error.strerror}; {remedy}") from error
        except msgspec.DecodeError as error:
            raise PricesError(f"{path}: {error}; {remedy}") from error
        if problem := _problem(file):
            raise PricesError(f"{path}: {problem}; {remedy}")
        return cls(file)

    def __contains__(self, ref: str) -> bool:
        return self._find(ref) is not None

    def refs(self) -> list[str]:
        """Every "provider/model" with a price, sorted."""
        return sorted(self._models)

    def listed(self, ref: str) -> ModelPrices | None:
        """The rates of "provider/model" `ref` with their tiers; None where no price is known."""
        return self._find(ref)

    def cost(self, ref: str, usage: Usage, overrides: Mapping[str, Price] | None = None) -> float | None:
        """US dollars for `usage` at "provider/model" `ref`; None where no price is known.

        `overrides` are the routing file's own prices, keyed as `ref` is; they win, and have no tiers.
        """
        rates = self._rates(ref, usage.input, overrides)
        return None if rates is None else rates.cost(usage)

    def charge(
        self,
        ref: str,
        locality: Locality,
        baseline: str,
        usage: Usage,
        overrides: Mapping[str, Price] | None = None,
    ) -> Charge:
        """Price one answer: its own cost, and that of the same tokens on the baseline model.

        A local answer costs 0 dollars of cloud spend; its electricity is the report's business. Tokens that the local
        engine took from its cache count as cached on the baseline too: the lower of the two possible baselines.
        """
        question = (ref, locality, baseline, id(overrides))
        known = self._usual.get(question)
        if known is None or usage.input > known.most_input:
            known = self._terms(ref, locality, baseline, usage.input, overrides)
            if usage.input <= known.most_input:
                _make_room(self._usual)
                self._usual[question] = known
        cost = 0.0 if known.local else None if known.target is None else known.target.cost(usage)
        return Charge(cost, None if known.baseline is None else known.baseline.cost(usage), known.text)

    def _terms(
        self, ref: str, locality: Locality, baseline: str, input_tokens: int, overrides: Mapping[str, Price] | None
    ) -> _Terms:
        local = locality == "local"
        own = None if local else self._rates(ref, input_tokens, overrides)
        other = self._rates(baseline, input_tokens, overrides) if baseline else None
        told = {name: _plain(each) for name, each in (("target", own), ("baseline", other)) if each is not None}
        return _Terms(
            local=local,
            target=own,
            baseline=other,
            text=msgspec.json.encode(told).decode() if told else "",
            most_input=min(_most_input(own), _most_input(other)),
            overrides=overrides,
        )

    def _rates(self, ref: str, input_tokens: int, overrides: Mapping[str, Price] | None) -> Rates | None:
        """What tokens cost at "provider/model" `ref` for a prompt of this size; None where no price is known."""
        if overrides and (own := overrides.get(ref)) is not None:
            return Rates(input=own.input, output=own.output, cached_input=own.cached_input)
        listed = self._find(ref)
        return None if listed is None else listed.rates(input_tokens)

    def _find(self, ref: str) -> ModelPrices | None:
        return self._models.get(ref) or self._models.get(_DATED.sub("", ref))


def _plain(rates: Rates) -> dict[str, float]:
    """The rates alone: not the tiers of a model, nor where a tier begins."""
    named = {name: getattr(rates, name) for name in Rates.__struct_fields__}
    return {name: rate for name, rate in named.items() if rate is not None}


def _most_input(rates: Rates | None) -> float:
    if isinstance(rates, Tier):
        return -1
    return rates.tiers[0].above if isinstance(rates, ModelPrices) and rates.tiers else math.inf


def _make_room(kept: dict[Any, Any]) -> None:
    if len(kept) >= _MOST_KEPT:
        kept.clear()


def _problem(file: PriceFile) -> str:
    """What is wrong with a well-formed price file; "" if nothing is."""
    if file.schema != 1:
        return f"schema {file.schema} found, 1 wanted"
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", file.date):
        return f"date {file.date!r} found, a day as YYYY-MM-DD wanted"
    if (file.currency, file.unit) != ("USD", "million tokens"):
        return f"{file.currency} per {file.unit} found, USD per million tokens wanted"
    if not file.models:
        return "no models found"
    for ref, listed in file.models.items():
        for rates in (listed, *listed.tiers):
            if min(rates.input, rates.output, rates.cached_input or 0.0, rates.cache_write or 0.0) < 0:
                return f"{ref}: a negative price found"
        starts = [tier.above for tier in listed.tiers]
        if starts != sorted(set(starts)) or (starts and starts[0] <= 0):
            return f"{ref}: tiers at {starts} found, ascending prompt sizes wanted"
    return ""
