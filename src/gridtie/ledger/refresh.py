"""Make the price snapshot from `genai-prices`, for the models that people route to and measure against."""

from __future__ import annotations

import datetime
import importlib.metadata
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from gridtie.ledger import price_history
from gridtie.ledger.price_history import Former
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
    noon = _noon(today)
    models = {ref: listed for ref, model in _models() if (listed := _listed(model.get_prices(noon)))}
    return PriceFile(
        schema=1,
        source=f"genai-prices {importlib.metadata.version('genai-prices')}",
        date=today.isoformat(),
        currency="USD",
        unit="million tokens",
        models=dict(sorted(models.items())),
    )


def _models() -> Iterator[tuple[str, Any]]:
    """The source's models of our families, by "provider/model". Raises `PricesError` if it is not installed."""
    try:
        from genai_prices.data import providers
    except ImportError as error:
        raise PricesError(
            "genai-prices is not installed here; install the project's `prices` extra (`pip install gridtie[prices]`)"
        ) from error
    by_id = {provider.id: provider for provider in providers}
    for (name, source), family in _FAMILIES.items():
        for model in by_id[source].models:
            if family.fullmatch(model.id):
                yield f"{name}/{model.id}", model


def _noon(day: datetime.date) -> datetime.datetime:
    return datetime.datetime.combine(day, datetime.time(12), tzinfo=datetime.UTC)


def former_prices(today: datetime.date) -> dict[str, list[Former]]:
    """What the installed `genai-prices` knows of what its models cost before `today`. Raises `PricesError`."""
    told: dict[str, list[Former]] = {}
    for ref, model in _models():
        starts = [
            conditional.constraint.start_date
            for conditional in (model.prices if isinstance(model.prices, list) else ())
            if getattr(conditional.constraint, "start_date", None)
        ]
        for start in sorted(start for start in starts if start <= today):
            before = _listed(model.get_prices(_noon(start - datetime.timedelta(days=1))))
            if before and before != _listed(model.get_prices(_noon(start))):
                told.setdefault(ref, []).append(Former(until=start.isoformat(), **msgspec.structs.asdict(before)))
    return told


def write(path: Path, fresh: PriceFile, told: Mapping[str, Iterable[Former]] = {}) -> list[str]:
    """Replace the price file and continue its history beside it; one line for each model that moved, is new or gone.

    Raises `PricesError` where the history cannot be read (nothing is written then), or one of the two not written.
    """
    try:
        old = msgspec.json.decode(path.read_bytes(), type=PriceFile)
    except (OSError, msgspec.DecodeError):
        old = None
    beside = path.with_name(price_history.NAME)
    history = price_history.continued(price_history.load(beside), old, fresh, told)
    # The history first: where the second is not written, the next refresh finds the same change again.
    _replace(beside, history)
    _replace(path, fresh)
    before = old.models if old else {}
    return [
        _change(ref, before.get(ref), fresh.models.get(ref))
        for ref in sorted({*before, *fresh.models})
        if before.get(ref) != fresh.models.get(ref)
    ]


def _replace(path: Path, content: msgspec.Struct) -> None:
    scratch = path.with_name(path.name + ".new")
    try:
        scratch.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
        scratch.replace(path)
    except OSError as error:
        raise PricesError(f"{path} cannot be written: {error.strerror}; name another place by --out") from None


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
