"""What a scrape says, and what it costs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from gridtie.gateway.telemetry import RENDER_BURST_S, RENDER_SHARE, Telemetry
from gridtie.ledger.entry import Entry, Try
from gridtie.routing.outcome import Outcome
from gridtie.routing.plan import Refusal

LOCAL, CLOUD = "here/small", "anthropic/opus"


def row(target: str | None = CLOUD, **more: Any) -> Entry:
    locality = {LOCAL: "local", CLOUD: "cloud"}.get(target or "")
    tries = () if target is None else (Try(target=target, locality=locality or "", outcome="ok"),)
    fields: dict[str, Any] = {
        "id": "r", "time": 1.0, "key": "k", "environment": "dev", "surface": "openai", "asked": " CODER ",
        "status": 200, "rule": "all", "target": target, "locality": locality, "tries": tries,
    }  # fmt: skip
    return Entry(**{**fields, **more})


def observe(telemetry: Telemetry, entry: Entry, *, refusal: Refusal | None = None, relayed: bool = False) -> None:
    outcome = SimpleNamespace(gone=False, refusal=refusal, info=SimpleNamespace(relayed=relayed))
    telemetry.observe(entry, cast("Outcome", outcome), "coder")


def told(*entries: Entry) -> str:
    telemetry = Telemetry(lambda: iter(()))
    for entry in entries:
        observe(telemetry, entry)
    return telemetry.render().decode()


def test_what_was_read_from_a_prompt_cache_and_written_to_it_is_counted_apart() -> None:
    """So that the cached share of a target's prompts can be drawn: `cached` over `input`."""
    text = told(
        *(
            row(input_tokens=1000, output_tokens=10, cached_tokens=cached, cache_write_tokens=900 - cached)
            for cached in (0, 900)
        )
    )

    for kind, tokens in (("input", 2000.0), ("output", 20.0), ("cached", 900.0), ("cache_write", 900.0)):
        assert f'gridtie_tokens_total{{kind="{kind}",target="anthropic/opus"}} {tokens}' in text


def test_time_between_tokens_is_of_whole_streamed_answers_with_counted_tokens() -> None:
    """The first token's own time is not in it: ten more tokens took the second that followed."""
    counted = {"stream": True, "first_token": 0.5, "duration": 1.5, "output_tokens": 11}

    text = told(
        row(**counted),
        row(**{**counted, "stream": False}),
        row(**counted, estimated=True),
        row(**counted, complete=False),
        row(**{**counted, "output_tokens": 1}),
    )

    name = "gridtie_time_per_output_token_seconds"
    assert f'{name}_count{{target="anthropic/opus"}} 1.0' in text
    assert f'{name}_bucket{{le="0.1",target="anthropic/opus"}} 1.0' in text
    assert f'{name}_bucket{{le="0.075",target="anthropic/opus"}} 0.0' in text


def test_only_requests_that_waited_are_in_the_time_in_queues() -> None:
    text = told(row(), row(waited=0.3))

    assert 'gridtie_queue_seconds_count{target="anthropic/opus"} 1.0' in text
    assert 'gridtie_queue_seconds_sum{target="anthropic/opus"} 0.3' in text


def test_an_answer_of_another_target_than_the_first_is_a_fallback_with_its_reason() -> None:
    tries = (
        Try(target=LOCAL, locality="local", outcome="unreachable"),
        Try(target=CLOUD, locality="cloud", outcome="ok"),
    )
    again = (Try(target=CLOUD, locality="cloud", outcome="broken"), tries[1])

    text = told(row(tries=tries), row(tries=again), row(tries=tries[:1], complete=False))

    fallback = 'gridtie_fallbacks_total{answered_by="anthropic/opus",reason="unreachable",target="here/small"} 1.0'
    assert [line for line in text.splitlines() if line.startswith("gridtie_fallbacks_total")] == [fallback]


def test_what_was_asked_is_counted_under_the_name_of_the_routing_file() -> None:
    """However a client wrote it, and whatever environments another station has."""
    telemetry = Telemetry(lambda: iter(()))
    observe(telemetry, row(LOCAL))
    observe(telemetry, row(LOCAL, environment="of another station"), relayed=True)
    observe(telemetry, row(CLOUD))

    lines = [line for line in telemetry.render().decode().splitlines() if line.startswith("gridtie_answers_total")]
    assert lines == [
        'gridtie_answers_total{alias="coder",environment="dev",locality="local"} 1.0',
        'gridtie_answers_total{alias="coder",environment="relayed",locality="local"} 1.0',
        'gridtie_answers_total{alias="coder",environment="dev",locality="cloud"} 1.0',
    ]


def test_refusals_have_their_rule_and_the_code_that_the_client_was_told() -> None:
    telemetry = Telemetry(lambda: iter(()))
    refusal = Refusal(status=503, code="busy", message="")
    observe(telemetry, row(None, status=503, complete=False), refusal=refusal)

    assert 'gridtie_refusals_total{code="busy",rule="all"} 1.0' in telemetry.render().decode()


def test_a_private_request_at_a_cloud_would_be_seen() -> None:
    assert "gridtie_private_to_cloud_total 0.0" in told(row(CLOUD), row(LOCAL, private=True))
    assert "gridtie_private_to_cloud_total 1.0" in told(row(CLOUD, private=True, complete=False))


@pytest.mark.parametrize(("outcome", "seen"), [("unreachable", 1.0), ("timeout", 1.0), ("skipped", 0.0)])
@pytest.mark.parametrize("answering", [None, LOCAL])
def test_a_private_request_that_was_sent_to_a_cloud_in_vain_would_be_seen(
    answering: str | None, outcome: str, seen: float
) -> None:
    """The cloud has the prompt, whoever answered in the end."""
    tries = (Try(target=CLOUD, locality="cloud", outcome=outcome),)

    text = told(row(answering, private=True, complete=answering is not None, tries=tries))

    assert f"gridtie_private_to_cloud_total {seen}" in text


class Scraped:
    """A router whose clock goes on by what a render takes."""

    def __init__(self, render_s: float) -> None:
        self.now = 0.0
        self.renders = 0
        self._render_s = render_s
        self.telemetry = Telemetry(self._readings, clock=lambda: self.now)

    def _readings(self) -> Any:
        self.renders += 1
        self.now += self._render_s
        yield "gridtie_connections", (), self.renders

    def value(self) -> float:
        lines = self.telemetry.render().decode().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("gridtie_connections "))


def test_a_scrape_every_100_ms_is_told_how_things_are_now() -> None:
    router = Scraped(render_s=0.004)
    for expected in range(1, 600):
        assert router.value() == expected
        router.now += 0.1


def test_who_scrapes_a_thousand_times_a_second_takes_a_twentieth_of_the_loops_time() -> None:
    """And is told what the last one was told meanwhile."""
    router = Scraped(render_s=0.004)
    while router.now < 20.0:
        assert router.value() == router.renders
        router.now += 0.001

    assert router.renders * 0.004 <= RENDER_BURST_S + 20 * RENDER_SHARE + 0.01
    assert router.renders * 0.004 >= 20 * RENDER_SHARE * 0.9
