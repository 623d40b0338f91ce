"""The snapshot is what genai-prices says, for the models that matter."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from pathlib import Path

import pytest
from genai_prices.data import providers
from genai_prices.types import Usage as TheirUsage

from gridtie.dialects.types import Usage
from gridtie.ledger import refresh
from gridtie.ledger.prices import Prices

DAY = datetime.date(2026, 11, 22)
NOON = datetime.datetime(2026, 11, 22, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize("tokens", [1_000, 150_000, 300_000])
def test_every_model_costs_what_the_source_computes(tokens: int) -> None:
    """Also above the price tiers, with cached and written tokens."""
    fresh = refresh.price_file(DAY)
    ours = Prices(fresh)
    names = {"gemini": "google"}
    differing = {}
    for ref in ours.refs():
        provider, _, model = ref.partition("/")
        source = next(p for p in providers if p.id == names.get(provider, provider))
        info = next(m for m in source.models if m.id == model)
        writes = tokens // 10 if fresh.models[ref].cache_write is not None else 0
        reads = tokens // 5 if fresh.models[ref].cached_input is not None else 0
        theirs = info.get_prices(NOON).calc_price(
            TheirUsage(input_tokens=tokens, cache_read_tokens=reads, cache_write_tokens=writes, output_tokens=500)
        )["total_price"]
        cost = ours.cost(ref, Usage(input=tokens, output=500, cached=reads, cache_write=writes))
        if cost is None or abs(Decimal(cost) - theirs) > Decimal("1e-9"):
            differing[ref] = (cost, theirs)
    assert not differing


@pytest.mark.parametrize(
    "ref", ["openai/gpt-5.4-mini", "openai/gpt-6-luna", "anthropic/claude-sonnet-5-5", "gemini/gemini-3.8-flash"]
)
def test_current_families_are_in_it(ref: str) -> None:
    assert ref in Prices(refresh.price_file(DAY))


def test_old_and_special_models_are_not() -> None:
    models = refresh.price_file(DAY).models
    assert not [ref for ref in models if "audio" in ref or "image" in ref or "gpt-4-" in ref or "claude-3" in ref]


def test_it_names_source_version_and_day() -> None:
    fresh = refresh.price_file(DAY)
    assert fresh.source.startswith("genai-prices ")
    assert fresh.date == "2026-11-22"


def test_writing_says_what_changed_and_loads_again(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    fresh = refresh.price_file(DAY)
    assert len(refresh.write(path, fresh)) == len(fresh.models)
    content = json.loads(path.read_text())
    content["models"]["openai/gpt-5.4-mini"]["input"] = 9.0
    del content["models"]["openai/gpt-5"]
    path.write_text(json.dumps(content))
    assert refresh.write(path, fresh) == [
        "openai/gpt-5: not listed -> 1.25 in, 10 out",
        "openai/gpt-5.4-mini: 9 in, 4.5 out -> 0.75 in, 4.5 out",
    ]
    assert "openai/gpt-5" in Prices.load(path)


def test_writing_the_same_again_says_nothing_and_changes_no_byte(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    refresh.write(path, refresh.price_file(DAY))
    before = path.read_bytes()
    assert refresh.write(path, refresh.price_file(DAY)) == []
    assert path.read_bytes() == before
