"""Make the price snapshot from `genai-prices`, for the models that people route to and measure against."""

from __future__ import annotations

import datetime
import importlib.metadata
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from gridtie.ledger.prices import ModelPrices, PriceFile, PricesError, Tier

# Text models of the current families; old ones, audio, image and search models would only bury them.
# Keys are the provider names that the shipped routing file uses, then genai-prices' own name for the provider.
_FAMILIES = {
    ("openai", "openai"): re.compile(
        r"gpt-(4o(-mini)?|4\.1(-mini|-nano)?|5(\.\d+)?(-mini|-nano|-luna|-terra|-sol|-codex|-codex-mini)?"
        r"|[6-9](\.\d+)?-(luna|terra|sol|astra))|o3|o4-mini"
    ),
    ("anthropic", "anthropic"): re.compile(r"claude-(haiku|sonnet|opus|fable)-(4-[5-9]|[5-9](-\d+)?)"),
    ("gemini", "google"): re.compile(r"gemini-(2\.5|[3-9](\.\d+)?)-(flash|flash-lite|pro|argon)(-preview)?"),
}

# Our field -> genai-prices' field.
_FIELDS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cached_input": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
}


def price_file(today: datetime.date) -> PriceFile:
    """The prices that the installed `genai-prices` holds for `today`. Raises `PricesError` if it is not installed."""
    try:
        from genai_prices.data import providers
    except ImportError as error:
        raise PricesError(
            "genai-prices is not installed here; install the project's `prices` extra (`pip install gridtie[prices]`)"
        ) from error
    by_id = {provider.id: provider for provider in providers}
    noon = datetime.datetime.combine(today, datetime.time(12), tzinfo=datetime.UTC)
    models: dict[str, ModelPrices] = {}
    for (name, source), family in _FAMILIES.items():
        for model in by_id[source].models:
            if family.fullmatch(model.id) and (listed := _listed(model.get_prices(noon))):
                models[f"{name}/{model.id}"] = listed
    return PriceFile(
        schema=1,
        source=f"genai-prices {importlib.metadata.version('genai-prices')}",
        date=today.isoformat(),
        currency="USD",
        unit="million tokens",
        models=dict(sorted(models.items())),
    )


def write(path: Path, fresh: PriceFile) -> list[str]:
    """Replace the price file; returns one line for each model that is new, gone, or priced differently."""
    try:
        before = msgspec.json.decode(path.read_bytes(), type=PriceFile).models
    except (OSError, msgspec.DecodeError):
        before = {}
    text = msgspec.json.format(msgspec.json.encode(fresh), indent=2) + b"\n"
    scratch = path.with_name(path.name + ".new")
    scratch.write_bytes(text)
    scratch.replace(path)
    return [
        _change(ref, before.get(ref), fresh.models.get(ref))
        for ref in sorted({*before, *fresh.models})
        if before.get(ref) != fresh.models.get(ref)
    ]


def _change(ref: str, old: ModelPrices | None, new: ModelPrices | None) -> str:
    def show(listed: ModelPrices | None) -> str:
        return f"{listed.input:g} in, {listed.output:g} out" if listed else "not listed"

    return f"{ref}: {show(old)} -> {show(new)}"


def _listed(price: Any) -> ModelPrices | None:
    """One model's rates; None where it has no price for text in and out."""
    found = {ours: getattr(price, theirs, None) for ours, theirs in _FIELDS.items()}
    if found["input"] is None or found["output"] is None:
        return None
    starts = sorted({tier.start for value in found.values() for tier in getattr(value, "tiers", ())})
    tiers = tuple(Tier(above=start, **_at(found, start)) for start in starts)
    return ModelPrices(**_at(found, 0), tiers=tiers)


def _at(found: dict[str, Any], start: int) -> dict[str, float]:
    """The rates that hold above `start` prompt tokens (0: the base rates)."""
    rates: dict[str, float] = {}
    for name, value in found.items():
        if value is None:
            continue
        amount: Decimal = getattr(value, "base", value)
        for tier in getattr(value, "tiers", ()):
            if tier.start <= start:
                amount = tier.price
        rates[name] = float(amount)
    return rates
