"""What a scrape says about tokens."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from gridtie.gateway.telemetry import Telemetry
from gridtie.ledger.entry import Entry, Try
from gridtie.routing.outcome import Outcome


def test_what_was_read_from_a_prompt_cache_and_written_to_it_is_counted_apart() -> None:
    """So that the cached share of a target's prompts can be drawn: `cached` over `input`."""
    telemetry = Telemetry(lambda: iter(()))
    tried = Try(target="anthropic/opus", locality="cloud", outcome="ok")
    for cached in (0, 900):
        row = Entry(
            id="r", time=1.0, key="k", environment="dev", surface="openai", asked="coder", status=200, rule="all",
            target="anthropic/opus", locality="cloud", tries=(tried,), input_tokens=1000, output_tokens=10,
            cached_tokens=cached, cache_write_tokens=900 - cached,
        )  # fmt: skip
        telemetry.observe(row, cast("Outcome", SimpleNamespace(gone=False, refusal=None)))

    told = telemetry.render().decode()
    for kind, tokens in (("input", 2000.0), ("output", 20.0), ("cached", 900.0), ("cache_write", 900.0)):
        assert f'gridtie_tokens_total{{kind="{kind}",target="anthropic/opus"}} {tokens}' in told
