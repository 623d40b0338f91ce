"""Other machines under the same requests: by the report's own arithmetic, against sums done by hand."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from gridtie.config.problems import ConfigError
from gridtie.config.schema import Electricity, Hardware
from gridtie.ledger.prices import ModelPrices
from gridtie.report.assumptions import Assumptions, Candidate, Traffic, parse
from gridtie.report.figures import NothingAskedError
from gridtie.report.question import Other
from gridtie.report.what_if import what_if
from gridtie.report.what_if_told import page, text
from standins.ledger import BASELINE, CLOUD, NOON, cloud, local, refused
from unit.report.conftest import DAY, QUESTION, Make

MINI = Other(ref=BASELINE, prices=ModelPrices(input=0.75, output=4.5, cached_input=0.075))
DEAR = Other(ref=CLOUD, prices=ModelPrices(input=2.5, output=15.0))
# 1000 tokens in at 500 a second and 100 out at 50: 4 s, at 360 W and half a dollar a kWh 0.0002 dollars.
HERE = Candidate(
    name="here",
    prompt_tokens_per_second=500.0,
    tokens_per_second=50.0,
    electricity=Electricity(watts=360.0, usd_per_kwh=0.5),
)
TRAFFIC = Traffic(requests_per_day=100, input_tokens=1000, output_tokens=100, days=10)


def asked(ledger: Any, *candidates: Candidate, traffic: Traffic | None = None, **clouds: Other) -> list[dict[str, Any]]:
    found = what_if(Assumptions(candidates=list(candidates), traffic=traffic), QUESTION, MINI, clouds, ledger)
    assert text(found)
    assert page(found).startswith("<!DOCTYPE html>")
    return list(found["candidates"])


def test_assumed_traffic_costs_what_its_tokens_and_seconds_come_to() -> None:
    (one,) = asked(None, HERE, traffic=TRAFFIC)

    line = one["bottom_line"]
    assert line["days"] == pytest.approx(10)
    assert line["baseline_usd"] == pytest.approx(1000 * 0.0012)
    assert line["cloud_usd"] == 0
    assert line["electricity_usd"] == pytest.approx(1000 * 0.0002)
    assert line["net_usd"] == pytest.approx(1000 * 0.001)
    assert one["busy_hours_per_day"] == pytest.approx(100 * 4 / 3600)


def test_a_share_is_answered_here_and_the_rest_by_the_candidates_cloud() -> None:
    (one,) = asked(None, replace(HERE, local_share=0.7), traffic=TRAFFIC, here=DEAR)

    assert (one["totals"]["local_requests"], one["totals"]["cloud_requests"]) == (700, 300)
    assert one["bottom_line"]["cloud_usd"] == pytest.approx(300 * 0.004)


def test_cached_tokens_are_neither_computed_here_nor_paid_in_full_there() -> None:
    (one,) = asked(None, HERE, traffic=replace(TRAFFIC, cached_share=0.5))

    assert one["bottom_line"]["electricity_usd"] == pytest.approx(1000 * 3 * 0.00005)
    assert one["bottom_line"]["baseline_usd"] == pytest.approx(1000 * (500 * 0.75 + 500 * 0.075 + 450) / 1e6)


def test_hardware_pays_for_itself_or_never_does() -> None:
    hardware = Hardware(usd=730.0, years=2.0)
    cheap = replace(HERE, name="cheap", hardware=hardware)
    dear = replace(HERE, name="dear", hardware=hardware, electricity=Electricity(watts=36_000.0, usd_per_kwh=0.5))

    found = {one["candidate"]["name"]: one["bottom_line"] for one in asked(None, cheap, dear, traffic=TRAFFIC)}

    assert found["cheap"]["amortisation_usd"] == pytest.approx(10)
    assert found["cheap"]["break_even_days"] == pytest.approx(730 / (100 * 0.001))
    assert found["dear"]["break_even_days"] is None


def test_a_machine_that_is_there_is_not_written_off_again_whatever_the_station_cost(ledger_of: Make) -> None:
    question = replace(QUESTION, hardware=Hardware(usd=2400.0))

    (one,) = what_if(Assumptions(candidates=[HERE]), question, MINI, {}, ledger_of([local("a")]))["candidates"]

    assert (one["bottom_line"]["amortisation_usd"], one["bottom_line"]["hardware_usd"]) == (0.0, None)


def test_a_ledgers_requests_are_answered_anew_and_keep_their_tokens_times_and_baselines(ledger_of: Make) -> None:
    rows = [
        local("a", environment="dev"),
        cloud("b", environment="production", time=NOON + 10),
        cloud("secret", environment="production", private=True, time=NOON + 20),
        # In no comparison: not answered, the tool's own, without a baseline, and another station's.
        refused("r"),
        local("own", purpose="demo"),
        local("probe", baseline="", baseline_usd=None),
        local("relayed", environment="relay"),
    ]

    (one,) = asked(ledger_of(rows), replace(HERE, environments=["DEV"]), here=DEAR)

    assert one["totals"]["requests"] == 3
    # What is private stays, whatever a candidate is for.
    assert (one["totals"]["local_requests"], one["totals"]["cloud_requests"]) == (2, 1)
    assert one["totals"]["private_cloud"] == 0
    assert one["bottom_line"]["baseline_usd"] == pytest.approx(3 * 0.0012)
    assert one["bottom_line"]["cloud_usd"] == pytest.approx(0.004)
    assert one["bottom_line"]["electricity_usd"] == pytest.approx(2 * 0.0002)


def test_answers_at_the_same_time_share_the_machine(ledger_of: Make) -> None:
    rows = [local(f"a{at}") for at in range(4)]

    (one,) = asked(ledger_of(rows), HERE)

    assert one["bottom_line"]["electricity_usd"] == pytest.approx(0.0002)


def test_a_machine_that_would_have_to_answer_for_more_than_a_day_a_day_is_told() -> None:
    slow = replace(HERE, tokens_per_second=0.1)
    found = what_if(Assumptions(candidates=[slow], traffic=TRAFFIC), QUESTION, MINI, {}, None)  # type: ignore[arg-type]

    assert "Too slow alone: its answers take 28 hours a day" in text(found)


def test_only_the_traffic_that_was_asked_for_is_copied(ledger_of: Make) -> None:
    ledger = ledger_of([local("a", key="ann"), local("b", key="o'hara"), local("c", key="o'hara", time=NOON - 9 * DAY)])
    question = replace(QUESTION, only={"key": ("o'hara",)})

    found = what_if(Assumptions(candidates=[HERE]), question, MINI, {}, ledger)

    assert found["candidates"][0]["totals"]["requests"] == 1


def test_a_period_without_answers_is_told(ledger_of: Make) -> None:
    with pytest.raises(NothingAskedError, match="no request of a user was answered in the period"):
        what_if(Assumptions(candidates=[HERE]), QUESTION, MINI, {}, ledger_of([refused("r")]))


def test_a_name_in_the_file_is_text_on_the_page() -> None:
    evil = "<script>alert(1)</script>"
    found = what_if(
        Assumptions(candidates=[replace(HERE, name=evil)], traffic=TRAFFIC),
        QUESTION,
        MINI,
        {},
        None,  # type: ignore[arg-type]
    )

    assert "<script" not in page(found)


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("candidates: []", "w.yaml:1: candidates: the list is empty; name at least one"),
        ("candidates: [{name: a, local_share: 90}]", "candidates[0].local_share: found 90, wanted a share, 0 to 1"),
        ("candidates: [{name: a}, {name: a}]", 'candidates[1].name: "a" is there twice'),
        ("candidates: [{name: a, tokens_per_second: 0}]", "found 0, wanted tokens a second"),
        ("candidates: [{name: a, hardware: {usd: 1, years: 0}}]", "hardware.years: found 0"),
        ("candidates: [{name: a, model: 'x y'}]", "it is no name of a model"),
        ("candidates: [{name: a, watts: 3}]", "watts"),
        ("{}", "candidates"),
        (
            "traffic: {requests_per_day: 1000000000, input_tokens: 1, output_tokens: 1}\ncandidates: [{name: a}]",
            "traffic.requests_per_day: found 3e+10, wanted 1 to 2,000,000 in all the days",
        ),
        ("traffic: {requests_per_day: 1, input_tokens: -1, output_tokens: 1}\ncandidates: [{name: a}]", "found -1"),
        ("candidates: [", "w.yaml:1: not YAML"),
    ],
)
def test_a_file_that_makes_no_sense_is_told_with_its_line(file: str, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(file.encode(), "w.yaml")
    assert says in str(error.value)
