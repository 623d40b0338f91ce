"""The report against sums done by hand, and against its own SQL."""

from __future__ import annotations

import json
import shlex
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gridtie.config.schema import Locality
from gridtie.dialects.types import Usage
from gridtie.ledger import GROUPS, Ledger, Try, UsageError, moment, zone_of
from standins.ledger import BASELINE, CLOUD, LOCAL, NOON, PRICES, cloud, local, open_ledger, refused

DAY = 86400.0
_BROKEN: dict[str, Any] = {"locality": "local", "outcome": "broken"}

ROWS = [
    local("l1"),
    local("l2", agent="tester", key="ci", environment="ci", rule="ci-local", cached_tokens=500, reasoning_tokens=40),
    local("l3", time=NOON - DAY, estimated=True),
    local("l4", agent=None, baseline_usd=None, baseline="openai/unheard-of"),
    # An alias that only proves that the machine works has no baseline: it saves nothing, and no price is missing.
    local("l5", asked="probe", baseline="", baseline_usd=None),
    cloud("c1", environment="production", rule="production-cloud"),
    cloud("c2", environment="production", rule="production-cloud", cost_usd=None),
    cloud("c3", baseline_usd=None, baseline="openai/unheard-of", cost_usd=0.002),
    cloud("c4", reserved_usd=0.003),
    refused("r1", private=True, tags=("private",), rule="private"),
    # Every target was busy, or its budget used up: nothing was sent anywhere.
    refused("r2", status=503, tries=(Try(target=CLOUD, locality="cloud", outcome="skipped"),)),
    local(
        "f1",
        tries=(Try(target=CLOUD, locality="cloud", outcome="busy"), Try(target=LOCAL, locality="local", outcome="ok")),
    ),
    refused("e1", status=502, tries=(Try(target=LOCAL, locality="local", outcome="unreachable"),), error="down"),
    # Declined with what was read of it: a prompt of a million tokens, and money that nobody was billed.
    local(
        "e2",
        status=400,
        input_tokens=1_000_000,
        baseline_usd=0.75,
        estimated=True,
        tries=(Try(target=LOCAL, locality="local", outcome="invalid"),),
    ),
    cloud("e3", status=400, cost_usd=1.0, tries=(Try(target=CLOUD, locality="cloud", outcome="invalid"),)),
    local("b1", complete=False, private=True, tags=("private",), tries=(Try(target=LOCAL, **_BROKEN),)),
    cloud("b2", complete=False, cost_usd=0.001, tries=(Try(target=CLOUD, locality="cloud", outcome="broken"),)),
    cloud("x2", complete=False, cost_usd=0.0005, tries=(Try(target=CLOUD, locality="cloud", outcome="cancelled"),)),
    refused("x1", status=499, tries=(Try(target=LOCAL, locality="local", outcome="cancelled"),)),
]
SERVED_WHOLE = 10

# What another station's router passed on: counted there.
RELAYED = local("p1", environment="relay", rule="relay", key="relay.laptop", baseline="", baseline_usd=None)
OWN = (
    local("o1", purpose="doctor", asked="probe"),
    local("o2", purpose="demo"),
    cloud("o3", purpose="demo"),
    cloud("o4", purpose="verify", status=502, cost_usd=None, target=None, locality=None),
)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(tmp_path)
    for row in (*ROWS, RELAYED, *OWN):
        opened.record(row)
    yield opened
    opened.close()


def usage(ledger: Ledger, **asked: Any) -> dict[str, Any]:
    return ledger.usage(**({"since": NOON - 30 * DAY, "until": NOON + DAY} | asked))


@pytest.mark.parametrize(
    ("figure", "value"),
    [
        ("requests", 19),
        ("answered", SERVED_WHOLE),
        ("refused", 2),
        ("failed", 3),
        ("interrupted", 2),
        ("cancelled", 2),
        # Ten whole answers, of which four by the cloud, and three that did not come to their end.
        ("local_requests", 7),
        ("cloud_requests", 6),
        ("nowhere_requests", 6),
        ("local_share_requests", 7 / 13),
        ("private_requests", 2),
        ("private_cloud", 0),
        ("cloud_attempts_lost", 1),
        # c2 has no cost; l4 and c3 have a baseline that nobody knows the price of.
        ("unpriced", 3),
        ("estimated", 1),
        ("over_reserved", 1),
        ("input_tokens", 13_000),
        ("output_tokens", 1300),
        ("cached_tokens", 500),
        ("cached_share_tokens", 500 / 13_000),
        ("reasoning_tokens", 40),
        # c1, c3, c4 and what broke off or was left: 0.004 + 0.002 + 0.004 + 0.001 + 0.0005.
        ("cost_usd", 0.0115),
        ("uncompared_usd", 0.002),
        # l1, l2, l3, f1, c1, c4: 0.0012 dollars each.
        ("baseline_usd", 0.0072),
        # Four local ones, and two of the cloud; what broke off or was left costs, and saves nothing.
        ("saved_usd", 4 * 0.0012 + 2 * (0.0012 - 0.004) - 0.001 - 0.0005),
        ("local_share_usd", 4 / 6),
    ],
)
def test_a_total_is_the_sum_done_by_hand(ledger: Ledger, figure: str, value: float) -> None:
    assert usage(ledger)["totals"][figure] == pytest.approx(value)


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("day", {"2026-11-21": 1, "2026-11-22": 18}),
        ("key", {"ci": 1, "station": 18}),
        ("agent", {"(none)": 1, "coder": 17, "tester": 1}),
        ("environment", {"ci": 1, "dev": 16, "production": 2}),
        ("model", {"(nothing answered)": 4, CLOUD: 7, LOCAL: 8}),
        ("rule", {"ci-local": 1, "dev-local-first": 15, "private": 1, "production-cloud": 2}),
    ],
)
def test_groups_hold_every_request_once(ledger: Ledger, by: str, groups: dict[str, int]) -> None:
    assert {group["group"]: group["requests"] for group in usage(ledger, by=by)["groups"]} == groups


BECAME = ("answered", "refused", "failed", "interrupted", "cancelled")
WHERE = ("local_requests", "cloud_requests", "nowhere_requests")


@pytest.mark.parametrize("by", [None, *GROUPS])
def test_the_columns_of_every_line_add_up(ledger: Ledger, by: str | None) -> None:
    report = usage(ledger, by=by)
    for line in [report["totals"], *report["groups"]]:
        assert sum(line[name] for name in BECAME) == line["requests"]
        assert sum(line[name] for name in WHERE) == line["requests"]
        if line["saved_usd"] is not None:
            spent = line["cost_usd"] - line["uncompared_usd"]
            assert line["saved_usd"] == pytest.approx(line["baseline_usd"] - spent, abs=1e-12)


@pytest.mark.parametrize("by", GROUPS)
def test_the_lines_of_every_grouping_add_up_to_the_total(ledger: Ledger, by: str) -> None:
    report = usage(ledger, by=by)
    shares = {"local_share_requests", "local_share_usd", "cached_share_tokens"}
    for name, total in report["totals"].items():
        if name not in shares:
            assert sum(group[name] or 0 for group in report["groups"]) == pytest.approx(total, abs=1e-12), name


def test_the_tools_own_traffic_has_a_line_of_its_own_and_is_in_no_other_figure(ledger: Ledger) -> None:
    report = usage(ledger, by="model")
    own = {line.pop("purpose"): line for line in report["own"]}

    assert own["demo"] == {"requests": 2, "input_tokens": 2000, "output_tokens": 200, "cost_usd": 0.004}
    assert (own["doctor"]["requests"], own["verify"]["requests"]) == (1, 1)
    assert sum(group["requests"] for group in report["groups"]) == len(ROWS)


def test_a_fresh_station_claims_no_saving_for_its_own_checks(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    ledger.record(local("o1", purpose="doctor", asked="probe"))
    ledger.record(local("l5", asked="probe", baseline="", baseline_usd=None))
    report = usage(ledger)
    ledger.close()

    assert (report["totals"]["requests"], report["totals"]["saved_usd"]) == (1, 0.0)
    assert "Saved" not in report["statement"]


def charged(target: str, locality: Locality, usage: Usage) -> dict[str, Any]:
    """Fields of a row whose money was computed as the router does."""
    charge = PRICES.charge(target, locality, BASELINE, usage)
    return {
        "input_tokens": usage.input,
        "output_tokens": usage.output,
        "cached_tokens": usage.cached,
        "cache_write_tokens": usage.cache_write,
        "cost_usd": charge.cost_usd,
        "baseline_usd": charge.baseline_usd,
        "prices": charge.prices,
    }


@pytest.fixture
def charges(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger whose rows carry the rates that their money was computed with."""
    opened = open_ledger(tmp_path)
    usages = [Usage(input=1000 + n, output=n, cached=7 * n, cache_write=3 * n) for n in range(40)]
    for n, tokens in enumerate([*usages, Usage(input=10, output=3, cached=20)]):
        opened.record(local(f"l{n}", **charged(LOCAL, "local", tokens)))
        opened.record(cloud(f"c{n}", **charged(CLOUD, "cloud", tokens)))
    opened.record(cloud("u", target="mine/own", **charged("mine/own", "cloud", usages[0])))
    opened.record(cloud("e", status=400, cost_usd=0.0, input_tokens=9, prices="", tries=()))
    yield opened
    opened.close()


def test_sql_alone_recomputes_the_money_of_every_row_from_its_tokens_and_rates(charges: Ledger) -> None:
    charges.flush()
    reader = sqlite3.connect(charges.database)
    rows = reader.execute("SELECT cost_usd, cost_again, baseline_usd, baseline_again FROM repriced").fetchall()
    reader.close()

    assert len(rows) == 2 * 41 + 1
    for cost, again, baseline, baseline_again in rows:
        assert (cost, baseline) == (again, baseline_again)
    assert any(cost is None for cost, *_ in rows)
    assert len({baseline for _, _, baseline, _ in rows}) > 40


def test_a_rate_that_was_changed_afterwards_is_found(charges: Ledger) -> None:
    sql = usage(charges)["sql"]["repriced"]
    writer = sqlite3.connect(charges.database)
    agreeing = writer.execute(sql).fetchone()
    writer.execute("""UPDATE backends SET prices = '{"target":{"input":9,"output":9}}' WHERE prices LIKE '%target%'""")
    changed = writer.execute(sql).fetchone()
    writer.close()

    assert agreeing == (2 * 41 + 1, 0)
    assert changed == (2 * 41 + 1, 41)


# Berlin's clock in 2026: an hour ahead of UTC in winter, two from March to October.
MARCH, OCTOBER = 1_774_746_000, 1_792_890_000
BERLIN = zone_of(f"60,{MARCH}:120,{OCTOBER}:60")


def test_days_are_those_of_whoever_asks(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    midnight = NOON - 14 * 3600
    ledger.record(local("late", time=midnight - 60))
    ledger.record(local("summer", time=OCTOBER - 60 * 86400 + 22.5 * 3600 - 3600))
    mine = {group["group"] for group in usage(ledger, by="day", since=0, zone=BERLIN)["groups"]}
    theirs = {group["group"] for group in usage(ledger, by="day", since=0)["groups"]}
    ledger.close()

    # One minute before midnight, and half an hour before it in summer time.
    assert theirs == {"2026-11-21", "2026-08-26"}
    assert mine == {"2026-11-22", "2026-08-27"}


@pytest.mark.parametrize("by", ["day", "key", "agent", "environment", "model", "rule"])
def test_every_figure_is_what_its_printed_sql_gives(ledger: Ledger, by: str) -> None:
    """With another program's eyes: a plain SQLite connection to the file that the command names."""
    report = usage(ledger, by=by)
    found = {}
    for name, command in report["recompute"].items():
        program, *_, path, sql = shlex.split(command)
        assert program == "sqlite3"
        reader = sqlite3.connect(path)
        reader.row_factory = sqlite3.Row
        found[name] = [dict(row) for row in reader.execute(sql)]
        reader.close()
    assert found["totals"] == [report["totals"]]
    assert found["headline"] == [{name: report["totals"][name] for name in found["headline"][0]}]
    assert found["groups"] == report["groups"]
    assert found["unfinished"] == report["unfinished"]
    assert found["own"] == report["own"]


def test_sums_do_not_depend_on_the_order_of_their_terms(tmp_path: Path) -> None:
    """Adding 0.1 + 0.2 + 0.3 as fractions of two gives another sum backwards."""
    totals = []
    for name, dollars in (("forwards", (0.1, 0.2, 0.3)), ("backwards", (0.3, 0.2, 0.1))):
        ledger = open_ledger(tmp_path / name)
        for number, amount in enumerate(dollars):
            ledger.record(cloud(str(number), cost_usd=amount))
        totals.append(usage(ledger)["totals"]["cost_usd"])
        ledger.close()
    assert totals == [0.6, 0.6]


def test_one_keys_report_holds_nothing_of_others(ledger: Ledger) -> None:
    report = usage(ledger, key="ci", by="key")
    assert [group["group"] for group in report["groups"]] == ["ci"]
    assert report["totals"]["requests"] == 1


def test_a_key_with_quotes_in_its_name_is_a_name(ledger: Ledger) -> None:
    assert usage(ledger, key="x' OR '1'='1")["totals"]["requests"] == 0


def test_a_key_that_no_key_can_be_is_refused(ledger: Ledger) -> None:
    with pytest.raises(UsageError, match="a NUL character found in key"):
        usage(ledger, key="a\0b")


def test_the_period_holds_its_start_and_not_its_end(ledger: Ledger) -> None:
    assert usage(ledger, since=NOON - DAY, until=NOON)["totals"]["requests"] == 1


def test_an_unknown_grouping_names_the_known_ones(ledger: Ledger) -> None:
    with pytest.raises(UsageError, match="wanted one of day, key, agent, environment, model, rule"):
        usage(ledger, by="colour; DROP TABLE requests")


def test_baselines_and_price_dates_are_named(ledger: Ledger) -> None:
    report = usage(ledger)
    assert report["baselines"] == [BASELINE, "openai/unheard-of"]
    assert (report["price_dates"], report["electricity"]) == (["2026-11-22"], {"usd": 0.0, "status": "not measured"})


def test_the_report_is_json(ledger: Ledger) -> None:
    assert json.loads(json.dumps(usage(ledger, by="day")))["schema"] == 2


def test_a_saving_is_said_with_its_baseline_its_date_and_what_is_not_in_it(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    for row in (local("a"), local("b", estimated=True), cloud("c", cost_usd=None), refused("r")):
        ledger.record(row)
    said = usage(ledger)["statement"]
    ledger.close()
    assert said.startswith("Avoided list price, quality unknown: $0.002400; $0.00 of cloud spend")
    assert "2026-11-22. Electricity is not subtracted" in said
    assert said.endswith("Of 4 requests, 1 without a known price are left out and 1 rest on estimated tokens.")


def test_where_local_is_not_cheaper_it_is_said_plainly(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    ledger.record(cloud("c1"))
    said = usage(ledger)["statement"]
    ledger.close()
    assert said.startswith("Local was not cheaper, by $0.002800: $0.004000 of cloud spend")


def test_nothing_priced_means_no_saving_is_stated(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    ledger.record(cloud("c1", cost_usd=None, baseline_usd=None))
    report = usage(ledger)
    ledger.close()
    assert report["totals"]["saved_usd"] is None
    assert report["statement"].startswith("Nothing can be compared")


def test_an_empty_period_says_so(ledger: Ledger) -> None:
    assert usage(ledger, since=0.0, until=1.0)["statement"] == "No request was metered in this period."


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("24h", NOON - DAY),
        ("7d", NOON - 7 * DAY),
        ("2w", NOON - 14 * DAY),
        ("2026-11-22", NOON - 14 * 3600),
        ("2026-11-22T14:00:00Z", NOON),
        ("2026-11-22T15:00:00+01:00", NOON),
        # As a query's `+` arrives where nobody escaped it.
        ("2026-11-22T15:00:00 01:00", NOON),
        ("2026-11-22 15:00 0100", NOON),
        ("2026-11-22 14:00", NOON),
        ("1795356000", NOON),
    ],
)
def test_times_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert moment(text, NOON) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-22", NOON - 15 * 3600),
        ("2026-11-22T15:00", NOON),
        ("2026-11-22T14:00:00Z", NOON),
        ("24h", NOON - DAY),
        ("2026-07-01T02:00", 1_782_864_000.0),
        # The clock shows it twice: the first time.
        ("2026-10-25T02:30", OCTOBER - 1800.0),
        # The clock leaves it out.
        ("2026-03-29T02:30", MARCH + 1800.0),
    ],
)
def test_a_time_without_an_offset_is_one_of_whoever_asks(text: str, seconds: float) -> None:
    assert moment(text, NOON, BERLIN) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "UTC", "Europe/Berlin", "1440", "60,5:99999", "60,9:0,9:60", "60,9:0,8:60", "0" + ",1:1" * 65, "1;DROP"],
)
def test_a_zone_that_is_none_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="wanted minutes east of UTC, such as 120"):
        zone_of(text)


@pytest.mark.parametrize("text", ["", "yesterday", "7 days", "-1d", "2026-13-01", "9" * 400])
def test_a_time_that_is_none_is_refused_with_examples(text: str) -> None:
    with pytest.raises(UsageError, match="wanted 24h, 7d"):
        moment(text, NOON)


def test_what_other_stations_passed_on_is_told_apart_and_in_no_other_figure(ledger: Ledger) -> None:
    report = usage(ledger, by="environment")

    assert report["relayed"] == {
        "requests": 1,
        "input_tokens": RELAYED.input_tokens,
        "output_tokens": RELAYED.output_tokens,
    }
    assert "relay" not in {group["group"] for group in report["groups"]}
