"""What is written by position stands in the field of its name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from gridtie.dialects.facts import Facts
from gridtie.dialects.types import Usage
from gridtie.gateway import metering
from gridtie.gateway.claims import Claims
from gridtie.gateway.dispatch import IMAGE_TOKENS, MESSAGE_TOKENS, request_info
from gridtie.gateway.errors import Fault
from gridtie.gateway.keys import Key
from gridtie.gateway.settings import Loaded
from gridtie.ledger.entry import Entry, Try
from gridtie.ledger.prices import Charge
from gridtie.providers.target import Target
from gridtie.routing.outcome import Outcome
from gridtie.routing.plan import Plan, PlannedAttempt, RequestInfo

TARGET = Target(
    id="here/small", provider="here", model="small-q4", locality="cloud", dialect="openai", base_url="http://h/v1",
    engine="ollama", engine_version="0.32.15", digest="sha256:ab",
)  # fmt: skip
INFO = RequestInfo(
    id="r-1", surface="anthropic", alias="coder", environment="dev", key="anna", agent="planner",
    tags=frozenset({"private", "b"}), stream=True, choices=3, purpose="demo",
)  # fmt: skip
TRIED = Try(target="here/small", locality="cloud", outcome="ok", duration=0.5)
LOADED = cast("Loaded", SimpleNamespace(prices=SimpleNamespace(date="2026-11-22"), project="lab", endpoint="http://s"))


def outcome(**changes: Any) -> Outcome:
    planned = PlannedAttempt(target=TARGET, reason="rule", reserve_usd=0.7, output_limit=77)
    plan = Plan(rule="all", baseline="openai/gpt")
    found = Outcome(
        INFO, plan, 1000.5, 2.0, tries=[TRIED], planned=planned, target=TARGET, first_token=0.25, duration=1.5,
        waited=0.125, committed=True,
    )  # fmt: skip
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def entry(found: Outcome, fault: Fault | None = None) -> Entry:
    usage = Usage(input=11, output=12, cached=3, cache_write=4, reasoning=5, estimated=True)
    return metering._entry(found, LOADED, usage, Charge(0.01, 0.02, "rates"), fault)


def test_every_field_of_a_row_holds_what_its_name_says() -> None:
    wanted = Entry(
        id="r-1", time=1000.5, key="anna", environment="dev", surface="anthropic", asked="coder", status=200,
        agent="planner", tags=("b", "private"), private=True, stream=True, rule="all", target="here/small",
        locality="cloud", served="small-q4", tries=(TRIED,), input_tokens=11, output_tokens=12, cached_tokens=3,
        cache_write_tokens=4, estimated=True, complete=True, first_token=0.25, duration=1.5, error="", cost_usd=0.01,
        baseline="openai/gpt", baseline_usd=0.02, price_date="2026-11-22", purpose="demo", code="",
        reasoning_tokens=5, waited=0.125, engine="ollama", engine_version="0.32.15", digest="sha256:ab",
        prices="rates", project="lab", station="http://s", reserved_usd=0.7, choices=3, output_limit=77,
    )  # fmt: skip

    assert entry(outcome()) == wanted


def test_a_failure_is_in_the_row_with_its_code_and_reason() -> None:
    fault = Fault(status=504, code="upstream_timeout", message="no first token within 60 s")
    row = entry(outcome(committed=False), fault)

    assert (row.status, row.code, row.error, row.complete) == (504, "upstream_timeout", fault.message, False)


def test_every_field_of_a_request_holds_what_its_name_says() -> None:
    facts = Facts(
        fields={}, model="coder", stream=True, max_output=9, choices=3, needs=frozenset({"tools"}), text_bytes=101,
        messages=2, images=1, extras=frozenset({"audio"}), caches=True,
    )  # fmt: skip
    key = Key(name="anna", environments=("prod", "dev"), relay=True)
    found = request_info("r-1", "ollama", facts, key, Claims("dev", "planner", frozenset({"private"}), "bench"), "s-1")

    assert found == RequestInfo(
        id="r-1", surface="ollama", alias="coder", environment="dev", key="anna", agent="planner",
        tags=frozenset({"private"}), relayed=True, stream=True, needs=frozenset({"tools"}),
        prompt_tokens=26 + 2 * MESSAGE_TOKENS + IMAGE_TOKENS, text_bytes=101, messages=2, images=1, caches=True,
        max_output=9, choices=3, extras=frozenset({"audio"}), purpose="bench",
        session="s-1",
    )  # fmt: skip
