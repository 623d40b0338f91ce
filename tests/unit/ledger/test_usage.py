"""The report against sums done by hand, and against its own SQL."""

from __future__ import annotations

import json
import shlex
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gridtie.ledger import Ledger, Try, UsageError, moment
from standins.ledger import BASELINE, CLOUD, LOCAL, NOON, cloud, local, open_ledger, refused

DAY = 86400.0

ROWS = [
    local("l1"),
    local("l2", agent="tester", key="ci", environment="ci", rule="ci-local", cached_tokens=500),
    local("l3", time=NOON - DAY, estimated=True),
    local("l4", agent=None, baseline_usd=None, baseline="openai/unheard-of"),
    cloud("c1", environment="production", rule="production-cloud"),
    cloud("c2", environment="production", rule="production-cloud", cost_usd=None),
    refused("r1", private=True, tags=("private",), rule="private"),
    local(
        "f1",
        tries=(Try(target=CLOUD, locality="cloud", outcome="busy"), Try(target=LOCAL, locality="local", outcome="ok")),
    ),
    refused("e1", status=502, tries=(Try(target=LOCAL, locality="local", outcome="unreachable"),), error="down"),
    local("b1", complete=False, private=True, tags=("private",)),
    refused("x1", status=499, tries=(Try(target=LOCAL, locality="local", outcome="cancelled"),)),
]


# What another station's router passed on: counted there.
RELAYED = local("p1", environment="relay", rule="relay", key="relay.laptop", baseline="", baseline_usd=None)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(tmp_path)
    for row in (*ROWS, RELAYED):
        opened.record(row)
    yield opened
    opened.close()


def usage(ledger: Ledger, **asked: Any) -> dict[str, Any]:
    return ledger.usage(**({"since": NOON - 30 * DAY, "until": NOON + DAY} | asked))


@pytest.mark.parametrize(
    ("figure", "value"),
    [
        ("requests", 11),
        ("answered", 7),
        ("refused", 1),
        ("failed", 1),
        ("broken_off", 1),
        ("cancelled", 1),
        ("local_requests", 6),
        ("cloud_requests", 2),
        ("local_share_requests", 0.75),
        ("private_requests", 2),
        ("private_cloud", 0),
        ("cloud_attempts_lost", 1),
        ("unpriced", 2),
        ("estimated", 1),
        ("input_tokens", 8000),
        ("output_tokens", 800),
        ("cached_tokens", 500),
        ("cost_usd", 0.004),
        # Seven answers with a known baseline, 0.0012 dollars each.
        ("baseline_usd", 0.0084),
        # Five local ones and one of the cloud have both: 5 x 0.0012 + (0.0012 - 0.004).
        ("saved_usd", 0.0032),
        # Of six answers with both, five local.
        ("local_share_usd", 5 / 6),
    ],
)
def test_a_total_is_the_sum_done_by_hand(ledger: Ledger, figure: str, value: float) -> None:
    assert usage(ledger)["totals"][figure] == pytest.approx(value)


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("day", {"2026-11-21": 1, "2026-11-22": 10}),
        ("key", {"ci": 1, "station": 10}),
        ("agent", {"(none)": 1, "coder": 9, "tester": 1}),
        ("environment", {"ci": 1, "dev": 8, "production": 2}),
        ("model", {"(nothing answered)": 3, CLOUD: 2, LOCAL: 6}),
        ("rule", {"ci-local": 1, "dev-local-first": 7, "private": 1, "production-cloud": 2}),
    ],
)
def test_groups_hold_every_request_once(ledger: Ledger, by: str, groups: dict[str, int]) -> None:
    assert {group["group"]: group["requests"] for group in usage(ledger, by=by)["groups"]} == groups


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
    assert json.loads(json.dumps(usage(ledger, by="day")))["schema"] == 1


def test_a_saving_is_said_with_baseline_date_and_gaps(ledger: Ledger) -> None:
    said = usage(ledger)["statement"]
    assert said.startswith("Saved $0.003200: ")
    assert "2026-11-22. Electricity is not measured" in said
    assert said.endswith("Of 11 requests, 2 without a known price are left out and 1 rest on estimated tokens.")


def test_where_local_is_not_cheaper_it_is_said_plainly(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    ledger.record(cloud("c1"))
    said = usage(ledger)["statement"]
    ledger.close()
    assert said.startswith("Local was not cheaper (saved -$0.002800): $0.004000 of cloud spend")


def test_nothing_priced_means_no_saving_is_stated(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    ledger.record(cloud("c1", cost_usd=None, baseline_usd=None))
    report = usage(ledger)
    ledger.close()
    assert report["totals"]["saved_usd"] is None
    assert report["statement"].startswith("No saving can be stated")


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
        ("1795356000", NOON),
    ],
)
def test_times_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert moment(text, NOON) == seconds


@pytest.mark.parametrize("text", ["", "yesterday", "7 days", "-1d", "2026-13-01"])
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
