"""The report against sums done by hand."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import pytest
from msgspec.structs import replace

from gridtie.ledger import Zone
from gridtie.report.figures import recomputed, report
from gridtie.report.question import DIMENSIONS
from standins.ledger import BASELINE, CLOUD, LOCAL, NOON, cloud, local
from unit.report.conftest import DAY, HARDWARE, NANO, POOLED, PRICED, QUESTION, ROWS, Make

# l1, l2, p1, g1, e1 and f1 avoid the baseline; c1 is compared too.
COMPARED = 7 * 0.0012
OWN = 1000 * 0.1e-6 + 100 * 0.4e-6
# 360 W at half a dollar a kWh are 0.00005 dollars a second. The station answered for 15, 5, 3 and 2 s; the pool for 6.
ELECTRICITY = (25 + 6) * 0.00005
NET = COMPARED - 0.004 - OWN - ELECTRICITY


@pytest.mark.parametrize(
    ("figure", "value"),
    [
        ("requests", 11),
        ("answered", 9),
        ("refused", 1),
        ("interrupted", 1),
        ("local_requests", 7),
        ("cloud_requests", 3),
        ("private_requests", 1),
        ("private_cloud", 0),
        ("cloud_attempts_lost", 1),
        ("unpriced", 2),
        ("estimated", 1),
        ("input_tokens", 10_000),
        ("output_tokens", 1000),
        # 10 + 10 + 6 + 30 + 5 + 3 + 2, each as if it had been alone.
        ("local_seconds", 66),
        ("cloud_usd", 0.006),
        ("uncompared_usd", 0.002),
        ("baseline_usd", COMPARED),
        ("avoided_usd", COMPARED - 0.004),
        ("own_usd", OWN),
        ("electricity_usd", ELECTRICITY),
        ("net_usd", NET),
        ("net_share", NET / COMPARED),
        ("cached_share_tokens", 0),
        ("local_share_requests", 7 / 10),
        ("local_share_tokens", 7 / 10),
        ("local_share_usd", 6 / 7),
    ],
)
def test_a_total_is_the_sum_done_by_hand(found: dict[str, Any], figure: str, value: float) -> None:
    assert found["totals"][figure] == pytest.approx(value)


@pytest.mark.parametrize("dimension", [name for name in DIMENSIONS if name != "tag"])
@pytest.mark.parametrize("figure", ["requests", "cloud_usd", "baseline_usd", "electricity_usd", "net_usd"])
def test_the_lines_of_a_table_add_up_to_the_total(found: dict[str, Any], dimension: str, figure: str) -> None:
    lines = found["by"][dimension]

    assert sum(line[figure] or 0.0 for line in lines) == pytest.approx(found["totals"][figure])


@pytest.mark.parametrize(
    ("dimension", "groups"),
    [
        ("environment", ["dev", "production", "test"]),
        ("key", ["bob", "station"]),
        ("agent", ["(none)", "coder"]),
        ("project", ["", "web"]),
        ("tag", ["api", "private", "shop"]),
        ("model", ["(nothing answered)", PRICED, CLOUD, "openai/new", POOLED, LOCAL]),
        ("day", ["2026-11-21", "2026-11-22"]),
        ("month", ["2026-11"]),
    ],
)
def test_there_is_a_line_for_each(found: dict[str, Any], dimension: str, groups: list[str]) -> None:
    assert [line["group"] for line in found["by"][dimension]] == groups


def test_a_request_is_in_the_line_of_each_of_its_tags(found: dict[str, Any]) -> None:
    assert {line["group"]: line["requests"] for line in found["by"]["tag"]} == {"api": 1, "private": 1, "shop": 2}


def test_answers_at_the_same_time_share_the_watts_of_their_machine(ledger_of: Make) -> None:
    together = [local(f"r{at}", duration=10.0, key=f"k{at}") for at in range(4)]

    alone = report(QUESTION, ledger_of(together[:1], "alone"))
    four = report(QUESTION, ledger_of(together, "four"))

    assert four["totals"]["electricity_usd"] == pytest.approx(alone["totals"]["electricity_usd"])
    assert [line["electricity_usd"] for line in four["by"]["key"]] == pytest.approx([10 * 0.00005 / 4] * 4)


def test_a_reading_of_a_meter_takes_the_place_of_the_watts(ledger_of: Make) -> None:
    measured = replace(QUESTION, power=replace(QUESTION.power, measured_kwh=2.0, idle_watts=500.0))

    found = report(measured, ledger_of())

    assert found["totals"]["electricity_usd"] == pytest.approx(1.0)
    assert (found["bottom_line"]["electricity_usd"], found["bottom_line"]["idle_usd"]) == (pytest.approx(1.0), 0.0)
    assert found["question"]["power"]["status"] == "measured"
    assert "2 kWh, as measured" in found["words"]["assumed"][0]


def test_a_machine_that_waits_costs_its_idle_watts_from_the_ledgers_first_row_on(ledger_of: Make) -> None:
    idle = replace(QUESTION, since=0.0, power=replace(QUESTION.power, idle_watts=100.0))

    found = report(idle, ledger_of())["bottom_line"]

    # From the first row, the day before, to the end: two days, less 31 s.
    assert found["days"] == pytest.approx(2.0)
    assert found["idle_usd"] == pytest.approx((2 * DAY - 31) / 3600 * 0.1 * 0.5)


def test_hardware_is_written_off_by_the_day_and_pays_for_itself_by_what_local_answers_avoid(ledger_of: Make) -> None:
    line = report(replace(QUESTION, hardware=HARDWARE), ledger_of())["bottom_line"]

    earned = (6 * 0.0012 - OWN - ELECTRICITY) / 2
    assert line["amortisation_usd"] == pytest.approx(2 * 1460 / (4 * 365))
    assert line["net_usd"] == pytest.approx(NET - line["amortisation_usd"])
    assert line["earned_usd_per_day"] == pytest.approx(earned)
    assert line["break_even_days"] == pytest.approx(1460 / earned)


def test_hardware_that_costs_more_electricity_than_it_avoids_never_pays_for_itself(ledger_of: Make) -> None:
    dear = replace(QUESTION, hardware=HARDWARE, power=replace(QUESTION.power, watts=36_000.0))

    found = report(dear, ledger_of())

    assert found["bottom_line"]["break_even_days"] is None
    assert found["words"]["headline"].startswith("Dearer than the baseline, by $2.")


def test_each_baseline_has_a_line_for_the_same_requests(found: dict[str, Any]) -> None:
    nano = 7 * (1000 * 0.4 + 100 * 2.5) / 1e6  # of its tier, since the prompts are above 999 tokens
    dear = 7 * 0.004
    spent = 0.004 + OWN + ELECTRICITY

    lines = {line["ref"]: line for line in found["baselines"]}

    assert {ref: line["baseline_usd"] for ref, line in lines.items()} == pytest.approx(
        {"": COMPARED, NANO: nano, CLOUD: dear}
    )
    assert {ref: line["net_usd"] for ref, line in lines.items()} == pytest.approx(
        {"": COMPARED - spent, NANO: nano - spent, CLOUD: dear - spent}
    )


def test_cached_tokens_cost_on_another_baseline_what_it_takes_for_cached_ones(ledger_of: Make) -> None:
    rows = [local("a", cached_tokens=400, cache_write_tokens=100)]

    told = report(QUESTION, ledger_of(rows))
    lines = {line["ref"]: line["baseline_usd"] for line in told["baselines"]}

    assert told["totals"]["cached_share_tokens"] == pytest.approx(0.4)
    assert lines[CLOUD] == pytest.approx((500 * 2.5 + 400 * 0.25 + 100 * 2.5 + 100 * 15) / 1e6)


def test_each_row_is_as_sure_as_what_its_money_rests_on(found: dict[str, Any]) -> None:
    assert {line["confidence"]: line["requests"] for line in found["confidence"]} == {
        "local": 6,
        "estimated": 1,
        "priced from tokens": 1,
        "unknown": 2,
        "nothing to pay": 1,
    }


def test_what_has_no_price_is_named(found: dict[str, Any]) -> None:
    assert found["unpriced"] == [
        {"model": CLOUD, "baseline": "openai/unheard-of", "requests": 1, "tokens": 1100},
        {"model": "openai/new", "baseline": BASELINE, "requests": 1, "tokens": 1100},
    ]


def test_fallbacks_and_what_was_not_answered_have_their_reasons(found: dict[str, Any]) -> None:
    assert found["fallbacks"] == [
        {"meant_for": CLOUD, "reason": "busy", "answered_by": "local", "requests": 1, "cloud_usd": 0.0}
    ]
    assert found["unanswered"] == [
        {"reason": "broken", "refused": 0, "failed": 0, "interrupted": 1, "cancelled": 0},
        {"reason": "private_needs_local", "refused": 1, "failed": 0, "interrupted": 0, "cancelled": 0},
    ]


def test_the_tools_own_traffic_stands_apart(found: dict[str, Any]) -> None:
    assert [(line["purpose"], line["requests"], line["cloud_usd"]) for line in found["own"]] == [
        ("bench", 1, 0.0),
        ("demo", 1, 0.004),
    ]
    said = "bench 1, demo 1 requests, and $0.004000 for them at clouds, which an invoice has as well."
    assert any(line.endswith(said) for line in found["words"]["assumed"])


def test_percentiles_are_those_of_the_nearest_rank(ledger_of: Make) -> None:
    rows = [local(f"a{at}", first_token=at / 100, duration=at / 10, output_tokens=9) for at in range(1, 101)]

    (line,) = report(QUESTION, ledger_of(rows))["latency_by_place"]

    assert (line["group"], line["answers"]) == ("local", 100)
    assert (line["first_token_p50"], line["first_token_p95"]) == (0.50, 0.95)
    assert (line["duration_p50"], line["duration_p95"]) == (5.0, 9.5)
    assert line["output_tokens_per_second"] == pytest.approx(900 / (505 - 50.5))


def test_only_the_traffic_that_was_asked_for_is_in_it_and_it_is_named(ledger_of: Make) -> None:
    found = report(replace(QUESTION, only={"environment": ("dev", "test")}), ledger_of())

    assert found["totals"]["requests"] == 8
    assert found["totals"]["cloud_usd"] == 0
    assert "8 requests of users with environment dev or test; environments: dev, test" in found["words"]["traffic"]
    assert "dev-local-first (8)" in found["words"]["traffic"]


def test_days_are_those_of_the_readers_zone(ledger_of: Make) -> None:
    late = [local("a", time=NOON + 9.5 * 3600)]  # 23:30 in UTC

    found = report(replace(QUESTION, zone=Zone(60)), ledger_of(late))

    assert [line["group"] for line in found["by"]["day"]] == ["2026-11-23"]


def test_a_private_request_at_a_cloud_is_an_alarm_that_names_it(ledger_of: Make) -> None:
    found = report(QUESTION, ledger_of([*ROWS, cloud("leak", private=True, tags=("private",))]))

    assert found["words"]["alarm"].startswith("1 private requests reached a cloud (leak)")
    assert [line["id"] for line in found["private_at_a_cloud"]] == ["leak"]


def test_sqlite3_alone_gets_every_figure_by_the_sql_of_the_report(ledger_of: Make) -> None:
    file = ledger_of()
    question = replace(QUESTION, hardware=HARDWARE, only={"key": ("station", "o'hara")})
    found = report(question, file)
    sql = dict(found["sql"])
    prepare = "".join(f"{sql.pop(name)};" for name in ("traffic", "machines", "latencies"))

    alone = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    alone.row_factory = sqlite3.Row
    alone.executescript(prepare)
    for name, statement in sql.items():
        stated = found["by"].get(name, found.get(name))
        rows = [dict(row) for row in alone.execute(statement)]
        assert rows == (stated if isinstance(stated, list) else [stated]), name
    alone.close()


def test_a_saved_report_that_says_something_else_than_the_ledger_is_found_out(ledger_of: Make) -> None:
    file = ledger_of()
    saved = json.loads(json.dumps(report(QUESTION, file)))
    assert recomputed(saved, file) == []

    saved["totals"]["net_usd"] += 1
    saved["by"]["key"][0]["requests"] = 99

    assert [line.partition(":")[0] for line in recomputed(saved, file)] == ["totals  net_usd", "key bob requests"]


def test_sql_of_a_saved_report_can_only_read(ledger_of: Make) -> None:
    file = ledger_of()
    saved = json.loads(json.dumps(report(QUESTION, file)))
    saved["sql"]["totals"] = f"ATTACH '{file.parent}/new.sqlite' AS other"

    with pytest.raises(Exception, match="not authorized"):
        recomputed(saved, file)
    assert not (file.parent / "new.sqlite").exists()


def test_a_row_whose_money_is_not_what_its_tokens_come_to_is_found_out(ledger_of: Make) -> None:
    rates = '{"baseline":{"input":0.75,"output":4.5}}'
    file = ledger_of([local("right", prices=rates), local("wrong", prices=rates, baseline_usd=0.5)])

    found = report(QUESTION, file)

    assert found["repriced"] == {"rows": 2, "differing": 1}
    assert recomputed(found, file) == ["1 rows cost something else than their tokens at the rates in them"]


def test_where_local_is_dearer_it_says_so_also_when_all_together_is_not(ledger_of: Make) -> None:
    # 40 s of a machine of 360 W are 0.002 dollars, where the baseline is 0.0012; the cloud was cheap.
    rows = [local("a", duration=40.0), *(cloud(f"c{at}", cost_usd=0.0001) for at in range(3))]

    said = report(QUESTION, ledger_of(rows))["words"]["headline"]

    assert said.startswith("Net avoided list price, quality unknown: $0.00")
    assert "Local was dearer than the same tokens on the baseline, by $0.000800." in said


def test_nothing_is_stated_where_no_price_is_known(ledger_of: Make) -> None:
    found = report(QUESTION, ledger_of([local("a", baseline_usd=None), cloud("b", cost_usd=None)]))

    assert found["bottom_line"]["net_usd"] is None
    assert found["words"]["headline"].startswith("Nothing can be compared")


@pytest.mark.parametrize("told", ["headline", "traffic", "assumed", "missing"])
def test_nothing_is_called_saved_while_quality_is_not_known(found: dict[str, Any], told: str) -> None:
    assert "saved" not in str(found["words"][told]).lower()
    assert "quality unknown" in found["words"]["headline"]
