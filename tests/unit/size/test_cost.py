"""What machines cost: as `gridtie report --what-if` says of the same machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from gridtie.config.schema import Electricity, Hardware
from gridtie.ledger import Zone
from gridtie.ledger.prices import ModelPrices
from gridtie.report.assumptions import Assumptions, Candidate, Traffic
from gridtie.report.question import Other, Power, Question
from gridtie.report.what_if import what_if
from gridtie.size.cost import cost
from gridtie.size.demand import assumed
from gridtie.size.plan import Machine, Rhythm, Speed

MACHINE = Machine(
    name="card",
    model="m",
    electricity=Electricity(watts=300.0, idle_watts=60.0, usd_per_kwh=0.30),
    hardware=Hardware(usd=2400.0, years=4.0, resale_usd=400.0),
)


def test_one_machine_that_answers_one_after_the_other_costs_what_the_report_says_of_it() -> None:
    traffic = Traffic(requests_per_day=400, input_tokens=2000, output_tokens=400, cached_share=0.5, days=30)
    candidate = Candidate(
        name="card",
        prompt_tokens_per_second=1500.0,
        tokens_per_second=40.0,
        electricity=MACHINE.electricity,
        hardware=MACHINE.hardware,
    )
    question = Question(
        since=0.0,
        until=30 * 86_400.0,
        zone=Zone(),
        power=Power(watts=1, idle_watts=1, usd_per_kwh=1),
        hardware=None,
        others=(),
        price_date="2026-11-22",
        own_prices={},
        only={},
    )
    other = Other(ref="openai/x", prices=ModelPrices(input=1.0, output=1.0))
    told = what_if(Assumptions(candidates=[candidate], traffic=traffic), question, other, {}, Path("none"))
    line = told["candidates"][0]["bottom_line"]

    service_s = assumed(traffic, Rhythm()).service_s(Speed(prompt_tokens_per_second=1500, tokens_per_second=40))
    found = cost(MACHINE, 1, service_s * 400 * 30, 30)

    assert found.electricity_usd == pytest.approx(line["electricity_usd"] + line["idle_usd"])
    assert found.amortisation_usd == pytest.approx(line["amortisation_usd"])


def test_a_card_draws_its_watts_for_no_more_hours_than_there_are() -> None:
    found = cost(replace(MACHINE, electricity=Electricity(watts=1000, usd_per_kwh=1)), 2, 1e9, 1)

    assert found.electricity_usd == pytest.approx(48)


@pytest.mark.parametrize("field", ["electricity", "hardware"])
def test_what_the_file_does_not_say_is_unknown_and_so_is_the_sum(field: str) -> None:
    found = cost(replace(MACHINE, **{field: None}), 1, 3600, 30)

    assert found.usd is None
    assert None in (found.electricity_usd, found.amortisation_usd)
