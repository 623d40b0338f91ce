"""The page stands alone, says what the report says, and shows what clients named as text."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

from msgspec.structs import replace

from gridtie.report.figures import report
from gridtie.report.page import page
from standins.ledger import cloud, local
from unit.report.conftest import DAY, HARDWARE, NANO, QUESTION, ROWS, Make

EVIL = "<img src=http://elsewhere.example/x onerror=alert(1)>"


def read(made: str) -> ET.Element:
    return ET.fromstring(made.removeprefix("<!DOCTYPE html>\n"))


def words(made: str) -> str:
    return " ".join(" ".join(read(made).itertext()).split())


def test_the_page_has_the_headline_the_assumptions_and_what_is_missing(found: dict[str, Any]) -> None:
    said = words(page(found))

    for sentence in (found["words"]["headline"], *found["words"]["assumed"], *found["words"]["missing"]):
        assert " ".join(sentence.split()) in said
    assert "Unknown: no result of gridtie quality was given" in said
    assert NANO in said


def test_every_group_of_every_dimension_is_on_the_page(found: dict[str, Any]) -> None:
    cells = {cell.text for cell in read(page(found)).iter("td")}

    assert {row["group"] or "(none)" for rows in found["by"].values() for row in rows} <= cells


def test_what_a_client_named_is_text_on_the_page(ledger_of: Make) -> None:
    made = page(report(QUESTION, ledger_of([local("a", agent=EVIL, tags=(EVIL,), code=EVIL)])))

    assert "<img" not in made
    assert EVIL in words(made)


def test_an_alarm_stands_at_the_top(ledger_of: Make) -> None:
    made = read(page(report(QUESTION, ledger_of([*ROWS, cloud("leak", private=True)]))))

    alarm = next(each for each in made.iter("p") if each.get("class") == "alarm")
    assert "".join(alarm.itertext()).startswith("ALARM: 1 private requests reached a cloud (leak)")


def test_a_report_without_any_price_is_a_page_too(ledger_of: Make) -> None:
    found = report(QUESTION, ledger_of([local("a", baseline_usd=None), cloud("b", cost_usd=None)]))

    assert "Nothing can be compared" in words(page(found))


def test_only_the_tools_own_traffic_is_a_page_too(ledger_of: Make) -> None:
    found = report(QUESTION, ledger_of([local("a", purpose="demo")]))

    assert "No request of a user was metered" in words(page(found))
    assert "demo 1 requests" in words(page(found))


def test_hardware_is_a_level_that_the_net_is_measured_against(ledger_of: Make) -> None:
    said = words(page(report(replace(QUESTION, hardware=HARDWARE), ledger_of())))

    assert "hardware $1,460.00" in said
    assert "Break-even: after" in said


def test_a_long_period_is_plotted_by_months(ledger_of: Make) -> None:
    rows = [local(f"a{at}", time=QUESTION.since - at * DAY) for at in range(1, 120)]

    made = page(report(replace(QUESTION, since=0.0), ledger_of(rows)))

    assert [each.text for each in read(made).iter("text") if each.text == "2026-08"]


def test_of_a_long_table_the_busiest_lines_are_shown_and_the_others_counted(ledger_of: Make) -> None:
    rows = [local(f"a{key}-{at}", key=f"k{key:03}") for key in range(50) for at in range(2 if key == 49 else 1)]

    said = words(page(report(QUESTION, ledger_of(rows))))

    assert "10 more are in the CSV." in said
    assert "k049" in said
