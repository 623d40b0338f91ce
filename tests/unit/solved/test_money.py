"""Money of single requests: what the report says of the same ones, to the last digit."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from gridtie.config.schema import Electricity
from gridtie.ledger import Entry
from gridtie.ledger.prices import Rates
from gridtie.report.figures import report
from gridtie.report.tariff import power_of
from gridtie.solved.money import Tariff, money
from standins.ledger import LOCAL, NOON, cloud, local, open_ledger
from standins.router import routing
from unit.report.conftest import QUESTION

TARIFF = Tariff(power_of(Electricity(watts=200.0, usd_per_kwh=0.25)), {"gpu-server/m": Rates(input=1.0, output=2.0)})
ROWS = [
    local("a", duration=10.0),
    local("b", time=NOON + 5, duration=10.0, agent="coder"),
    # In the queue for 4 s, which cost nothing.
    local("c", time=NOON + 100, duration=9.0, waited=4.0),
    local("d", time=NOON + 200, target="gpu-server/m", duration=30.0),
    cloud("e", time=NOON + 300),
    # Broke off: its electricity was used all the same.
    local("f", time=NOON + 400, duration=3.0, complete=False, code="broken"),
]


def own(rows: list[Entry]) -> list[Entry]:
    """As the tool's own traffic, which the report leaves out."""
    return [replace(row, purpose="demo") for row in rows]


def test_requests_cost_what_the_report_says_of_the_same_ones(tmp_path: Path) -> None:
    found = money(own(ROWS), TARIFF)
    ledger = open_ledger(tmp_path)
    for row in ROWS:
        ledger.record(row)
    ledger.close()
    told = report(replace(QUESTION, power=TARIFF.power, own_prices=TARIFF.own_prices), ledger.database)
    line = told["bottom_line"]

    assert sum(usd or 0.0 for usd in found.values()) == pytest.approx(
        line["cloud_usd"] + line["own_usd"] + line["electricity_usd"], rel=1e-9
    )
    assert line["electricity_usd"] > 0 < line["own_usd"]


def test_each_has_its_own() -> None:
    found = money(own(ROWS[2:]), TARIFF)

    # 9 s less 4 s in the queue, at 200 W and $0.25 a kilowatt-hour.
    assert found["c"] == pytest.approx(5 / 3600 * 0.2 * 0.25, rel=1e-6)
    # 1000 tokens in and 100 out at $1 and $2 a million, and no electricity.
    assert found["d"] == pytest.approx(0.0012)
    assert found["e"] == pytest.approx(0.004)


def test_answers_at_the_same_time_share_the_watts() -> None:
    found = money(own(ROWS[:2]), TARIFF)

    # 10 s each, of which 5 s at once: the machine answered for 15 s.
    assert found["a"] == found["b"] == pytest.approx(7.5 / 3600 * 0.2 * 0.25, rel=1e-6)


def test_what_has_no_known_price_is_unknown_and_not_0() -> None:
    assert money([cloud("a", cost_usd=None, target="openai/new")], TARIFF) == {"a": None}
    assert money([], TARIFF) == {}


def test_a_tariff_is_the_routing_files_and_else_said_to_be_assumed(tmp_path: Path) -> None:
    rules = routing(local="http://127.0.0.1:9/v1", use="[local]")
    (tmp_path / "llm_routing.yaml").write_text(rules + "costs: {electricity: {watts: 65, usd_per_kwh: 0.4}}\n")

    assert Tariff.read(tmp_path).words == "65 W while answering at $0.40 a kilowatt-hour, as set"
    (tmp_path / "llm_routing.yaml").write_text(rules)
    assumed = "300 W while answering at $0.30 a kilowatt-hour, assumed, since "
    assert Tariff.read(tmp_path).words == f"{assumed}costs.electricity is not set"
    nowhere = tmp_path / "nowhere"
    assert Tariff.read(nowhere).words == f"{assumed}{nowhere / 'llm_routing.yaml'} cannot be read here"


def test_local_answers_are_priced_at_the_models_own_name() -> None:
    assert money([local("a", target=LOCAL, duration=3600.0)], TARIFF)["a"] == pytest.approx(0.05)
