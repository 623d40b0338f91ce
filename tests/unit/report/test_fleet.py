"""One bill for several hosts: each request once, each host's own figures, and a month that stays as it was closed."""

from __future__ import annotations

import base64
import csv
import io
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gridtie.config.load import load_routing
from gridtie.config.schema import Provider
from gridtie.report import rows
from gridtie.report.figures import report
from gridtie.report.fleet import Missing, bill
from gridtie.report.fleet_files import keep
from gridtie.report.fleet_told import page, text
from gridtie.report.question import QuestionError
from gridtie.report.rows import OtherSchemaError, handed
from gridtie.report.shared_machines import HERE, MEMBERS, machines_of
from gridtie.report.spreadsheet import spreadsheet
from gridtie.report.words import money
from standins.ledger import NOON, cloud, local
from unit.report.conftest import DAY, HARDWARE, POOLED, QUESTION, ROWS, Make

ROOT = Path(__file__).resolve().parents[3]
ENDS = QUESTION.until
AFTER = ENDS + 3600
LAPTOP = (local("a1", key="alice", project="web"), local("a2", key="alice", target=POOLED), cloud("a3", key="alice"))
SERVER = (
    local("s1", key="bob"),
    # What the laptop's a2 is on the server: another id, the server's own.
    local("s2", environment="relay", key="relay.laptop", baseline="", baseline_usd=None),
)


@pytest.fixture
def told(ledger_of: Make) -> list[tuple[str, bytes]]:
    """What two hosts hand over."""
    ledgers = {"laptop": ledger_of(LAPTOP, "laptop"), "server": ledger_of(SERVER, "server")}
    return [(name, rows.document(QUESTION, path).encode()) for name, path in ledgers.items()]


def made(told: list[tuple[str, bytes]], *missing: Missing, now: float = AFTER) -> dict[str, Any]:
    return bill(told, missing, "2026-11", ENDS, now)


def groups(found: dict[str, Any], dimension: str, *names: str) -> dict[str, Any]:
    return {row["group"]: tuple(row[name] for name in names) for row in found["by"][dimension]}


def test_a_bill_of_one_host_has_the_figures_of_that_hosts_own_report(ledger_of: Make) -> None:
    ledger = ledger_of()
    own = report(QUESTION, ledger)

    found = made([("one", rows.document(QUESTION, ledger).encode())])

    assert {name: pytest.approx(value) for name, value in found["totals"].items()} == own["totals"]
    for dimension in ("environment", "project", "model", "day"):
        assert groups(found, dimension, "requests", "net_usd") == {
            row["group"]: (row["requests"], pytest.approx(row["net_usd"])) for row in own["by"][dimension]
        }
    names = ("baseline_usd", "cloud_usd", "own_usd", "electricity_usd", "idle_usd", "amortisation_usd", "net_usd")
    assert {name: found["bottom_line"][name] for name in names} == {
        name: pytest.approx(own["bottom_line"][name]) for name in names
    }


def test_whose_clock_a_month_goes_by_is_said_with_its_end(told: list[tuple[str, bytes]]) -> None:
    assert any(
        line.endswith("by it the month ends at 2026-11-23T14:00:00+00:00.") for line in made(told)["words"]["assumed"]
    )


def test_a_request_that_went_through_two_routers_is_one(told: list[tuple[str, bytes]]) -> None:
    found = made(told)

    assert groups(found, "host", "requests", "local_requests") == {"laptop": (3, 2), "server": (1, 1)}
    assert groups(found, "person", "requests") == {"alice": (3,), "bob": (1,)}
    assert groups(found, "project", "requests") == {"": (3,), "web": (1,)}
    assert groups(found, "host, person, project", "requests") == {
        "laptop, alice, (none)": (2,),
        "laptop, alice, web": (1,),
        "server, bob, (none)": (1,),
    }


def test_what_a_server_answered_for_a_host_that_is_missing_is_told(told: list[tuple[str, bytes]]) -> None:
    found = made(told[1:], Missing("laptop", "it cannot be reached"))

    assert found["totals"]["requests"] == 1
    assert found["words"]["missing"][:2] == [
        "laptop is not in these figures: it cannot be reached",
        "server answered 1 requests of laptop, whose ledger is not here: they are in no figure",
    ]
    assert "of 1 of 2 hosts" in found["words"]["headline"]


def test_a_request_in_two_ledgers_is_counted_once_and_told(ledger_of: Make) -> None:
    """A machine was cloned, or its ledger restored on another: some rows are in both."""
    first = rows.document(QUESTION, ledger_of(LAPTOP, "first")).encode()
    second = rows.document(QUESTION, ledger_of((*LAPTOP[:2], local("b1")), "second")).encode()

    found = made([("first", first), ("second", second)])

    assert groups(found, "host", "requests") == {"first": (3,), "second": (1,)}
    assert found["twice"] == [{"host": "second", "kept_of": "first", "requests": 2}]
    assert "2 requests lie in the ledgers of first and second" in text({**found, "closed": None})


def test_each_hosts_electricity_is_by_its_own_watts(ledger_of: Make) -> None:
    power = replace(QUESTION.power, watts=QUESTION.power.watts * 2)
    one = rows.document(QUESTION, ledger_of((local("a", duration=10.0),), "one")).encode()
    other = rows.document(replace(QUESTION, power=power), ledger_of((local("b", duration=10.0),), "other")).encode()

    found = groups(made([("one", one), ("other", other)]), "host", "electricity_usd")

    # 360 W for 10 s at $0.50 a kilowatt-hour.
    assert found == {"one": (pytest.approx(0.0005),), "other": (pytest.approx(0.001),)}


PLACES = {"station": HERE, "pool": MEMBERS, "big": "10.0.0.5", "ollama": HERE}
ON_BIG = "big/qwen"


def seconds_charged(ledger_of: Make, **hosts: list[Any]) -> dict[str, float]:
    """What hosts are charged, in seconds of 360 W at $0.50 a kilowatt-hour."""
    told = [(name, rows.document(QUESTION, ledger_of(each, name), PLACES).encode()) for name, each in hosts.items()]
    found = made(told)
    total, lines = found["totals"]["electricity_usd"], groups(found, "host", "electricity_usd")
    assert sum(usd for (usd,) in lines.values()) == pytest.approx(total)
    return {host: round(usd / 0.00005, 3) for host, (usd,) in lines.items()}


@pytest.mark.parametrize("target", [POOLED, ON_BIG])
def test_two_hosts_at_one_server_at_the_same_time_are_charged_its_watts_once(ledger_of: Make, target: str) -> None:
    """5 s of each alone, and 5 s of both."""
    first = [local("a", target=target, duration=10.0)]
    second = [local("b", target=target, duration=12.0, waited=2.0, time=NOON + 3)]

    assert seconds_charged(ledger_of, first=first, second=second) == {"first": 7.5, "second": 7.5}


def test_one_after_the_other_each_is_charged_what_it_asked(ledger_of: Make) -> None:
    first = [local("a", target=POOLED, duration=10.0)]
    second = [local("b", target=POOLED, duration=5.0, time=NOON + 10)]

    assert seconds_charged(ledger_of, first=first, second=second) == {"first": 10, "second": 5}


def test_a_servers_own_person_shares_it_with_those_who_ask_from_elsewhere(ledger_of: Make) -> None:
    asked = [local("a", target=POOLED, duration=10.0)]
    own = [local("b", duration=10.0), local("c", duration=8.0, time=NOON + 100)]

    charged = seconds_charged(ledger_of, laptop=asked, gpu=own)

    assert sum(charged.values()) == pytest.approx(18)
    assert charged["gpu"] > charged["laptop"] > 5


@pytest.mark.parametrize("target", ["station/qwen", "ollama/qwen", "unheard-of/qwen"])
def test_machines_of_their_own_are_charged_each(ledger_of: Make, target: str) -> None:
    """The same provider's name in everybody's routing file is not the same machine."""
    each = {name: [local(name, target=target, duration=10.0)] for name in ("first", "second")}

    assert seconds_charged(ledger_of, **each) == {"first": 10, "second": 10}


def test_one_host_alone_is_charged_as_its_own_report_says(ledger_of: Make) -> None:
    """Also where its answers overlap."""
    both = [local("a", target=POOLED, duration=10.0), local("b", target=POOLED, duration=10.0, time=NOON + 5)]

    assert seconds_charged(ledger_of, only=both, other=[local("c", duration=1.0)]) == {"only": 15, "other": 1}


def test_where_providers_compute_is_read_from_the_routing_file() -> None:
    providers = {
        "station": Provider(type="station", locality="local"),
        "pool": Provider(type="pool", locality="local"),
        "mine": Provider(type="ollama", base_url="http://127.0.0.1:11434", locality="local"),
        "also-mine": Provider(type="openai", base_url="http://[::1]:8000/v1", locality="local"),
        "big": Provider(type="openai", base_url="http://Big.example:8000/v1", locality="local"),
        "cloud": Provider(type="openai", base_url="https://api.example/v1"),
    }
    routing = replace(load_routing(ROOT / "config/llm_routing.yaml"), providers=providers)

    assert machines_of(routing) == {
        "station": HERE,
        "pool": MEMBERS,
        "mine": HERE,
        "also-mine": HERE,
        "big": "big.example",
    }


def test_rows_that_do_not_say_when_they_ran_make_their_host_a_missing_one(ledger_of: Make) -> None:
    content = json.loads(rows.document(QUESTION, ledger_of(LAPTOP)))
    lines = zlib.decompress(base64.b64decode(content["packed"])).splitlines()
    spoilt = b"".join(json.dumps([*json.loads(line)[:-1], None]).encode() + b"\n" for line in lines)
    content["packed"] = base64.b64encode(zlib.compress(spoilt)).decode()

    (missing,) = made([("laptop", json.dumps(content).encode())])["missing"]
    assert missing["why"] == "its rows do not say when they ran"


def test_the_stations_own_keys_are_told_apart_by_host(ledger_of: Make) -> None:
    each = [(name, rows.document(QUESTION, ledger_of((local(name),), name)).encode()) for name in ("one", "two")]

    assert groups(made(each), "person", "requests") == {"station of one": (1,), "station of two": (1,)}


def test_a_host_without_a_request_is_no_missing_one(ledger_of: Make) -> None:
    later = replace(QUESTION, since=QUESTION.until, until=QUESTION.until + DAY)
    found = bill([("idle", rows.document(later, ledger_of()).encode())], [], "2026-12", later.until, later.until + 3600)

    assert (found["totals"]["requests"], found["missing"], found["over"]) == (0, [], True)
    assert "none with known prices" in found["words"]["headline"]
    assert page({**found, "closed": None}).startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "no report"),
        (b"[]", "schema None"),
        (b'{"schema": 7, "version": "9.0.0"}', "schema 7 of gridtie 9.0.0 found, 1 wanted"),
        (b'{"schema": 1}', "no report"),
    ],
)
def test_a_document_of_another_version_makes_its_host_a_missing_one(
    told: list[tuple[str, bytes]], raw: bytes, said: str
) -> None:
    found = made([*told, ("odd", raw)])

    assert found["totals"]["requests"] == 4
    (missing,) = found["missing"]
    assert missing["host"] == "odd"
    assert said in missing["why"]


def test_rows_that_were_cut_off_are_in_no_figure(told: list[tuple[str, bytes]]) -> None:
    name, raw = told[0]
    content = json.loads(raw)
    content["packed"] = base64.b64encode(base64.b64decode(content["packed"])[:-9]).decode()

    found = made([(name, json.dumps(content).encode()), *told[1:]])

    assert found["totals"]["requests"] == 1
    assert [each["host"] for each in found["missing"]] == ["laptop"]


def test_rows_that_name_no_group_are_refused(told: list[tuple[str, bytes]]) -> None:
    content = json.loads(told[0][1])
    content["groups"] = []

    assert made([("laptop", json.dumps(content).encode())])["missing"][0]["why"].startswith(
        "its rows have other columns"
    )


def test_more_rows_than_a_bill_takes_are_refused_with_what_to_do(ledger_of: Make) -> None:
    with pytest.raises(QuestionError, match="at most: take this host's own report"):
        rows.document(QUESTION, ledger_of(), most=3)


def test_what_is_handed_over_names_no_agent_tag_or_error(ledger_of: Make) -> None:
    raw = rows.document(QUESTION, ledger_of((local("a", agent="agent-x", tags=("tag-x",), error="error-x"),)))
    packed = zlib.decompress(base64.b64decode(json.loads(raw)["packed"])).decode()

    assert [word for word in ("agent-x", "tag-x", "error-x") if word in raw or word in packed] == []


def test_a_row_takes_some_fifty_bytes_on_the_way(ledger_of: Make) -> None:
    many = [local(f"{at:032x}", duration=1 + at / 7, input_tokens=900 + at % 97) for at in range(2000)]

    assert len(rows.document(QUESTION, ledger_of(many))) < 2000 * 80


def test_a_private_request_at_a_cloud_is_an_alarm_that_names_the_host(ledger_of: Make) -> None:
    raw = rows.document(QUESTION, ledger_of((cloud("leak", private=True),))).encode()

    assert "leak of laptop" in made([("laptop", raw)])["words"]["alarm"]


def test_money_that_is_in_no_comparison_is_told_all_the_same(ledger_of: Make) -> None:
    """Somebody pays it: an invoice has benchmarks and models without a baseline as well."""
    entries = (
        *LAPTOP,
        cloud("own", purpose="bench", cost_usd=0.75),
        cloud("apart", baseline="openai/unheard-of", baseline_usd=None, cost_usd=2.0),
    )
    found = made([("laptop", rows.document(QUESTION, ledger_of(entries)).encode())])

    assert found["bottom_line"]["cloud_usd"] == pytest.approx(0.004)
    # Of a baseline without a price nobody knows what anything would have cost there.
    assert "unheard-of" not in found["words"]["headline"]
    said = text({**found, "closed": None})
    assert "1 requests have no known price: they are in no comparison; what is known of their cost is $2.00" in said
    assert "in no figure: 1 requests, and $0.7500 for them at clouds, which an invoice has as well." in said


def test_what_may_have_been_billed_is_told_with_its_amount(told: list[tuple[str, bytes]]) -> None:
    name, raw = told[0]
    content = json.loads(raw)
    content["unfinished"] = {"attempts": 2, "reserved_usd": 1.5}

    found = made([(name, json.dumps(content).encode()), *told[1:]])

    assert (
        "2 attempts at a cloud were cut off by a router's end; up to $1.50 may have been billed"
        in (found["words"]["missing"])
    )


def test_one_machine_under_two_names_is_said_to_have_its_hardware_twice(ledger_of: Make) -> None:
    question = replace(QUESTION, hardware=HARDWARE)
    raw = rows.document(question, ledger_of(LAPTOP)).encode()
    once = made([("laptop", raw)])["bottom_line"]["amortisation_usd"]

    found = made([("laptop", raw), ("its-other-name", raw)])

    assert found["bottom_line"]["amortisation_usd"] == pytest.approx(2 * once)
    said = found["words"]["assumed"][0]
    assert f"idle electricity and amortisation are {money(once)} too high" in said


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def bills(tmp_path: Path) -> Path:
    """Where bills are kept; ledgers of the tests are beside it."""
    return tmp_path / "bills"


def contents(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()}


def test_a_month_is_written_as_text_csv_json_and_one_page(told: list[tuple[str, bytes]], bills: Path) -> None:
    keep(made(told, now=ENDS - 1), bills)

    files = contents(bills)
    assert set(files) == {f"2026-11.{kind}" for kind in ("txt", "csv", "html", "json")}
    lines = list(csv.DictReader(io.StringIO(files["2026-11.csv"])))
    assert {line["group"]: line["requests"] for line in lines if line["dimension"] == "host"} == {
        "laptop": "3",
        "server": "1",
    }
    assert json.loads(files["2026-11.json"])["closed"] is None
    assert "the month is not over" in files["2026-11.html"]
    assert "laptop" in files["2026-11.txt"]


def test_a_closed_month_does_not_change_and_late_rows_are_told(ledger_of: Make, bills: Path) -> None:
    early = made([("one", rows.document(QUESTION, ledger_of(LAPTOP, "early")).encode())])
    late_rows = (*LAPTOP, cloud("late", key="alice"))
    late = made([("one", rows.document(QUESTION, ledger_of(late_rows, "late")).encode())])
    first = keep(early, bills)
    before = contents(bills)

    second = keep(late, bills)

    assert (first.written, second.written) == (True, False)
    assert contents(bills) == before
    assert second.bill["totals"]["requests"] == 3
    assert any("one has 4 requests of 2026-11 now ($0.008000 on clouds)" in each for each in second.notices), (
        second.notices
    )


def test_a_month_that_is_made_anew_keeps_what_was_closed_beside_it(ledger_of: Make, bills: Path) -> None:
    early = made([("one", rows.document(QUESTION, ledger_of(LAPTOP, "early")).encode())])
    late = made([("one", rows.document(QUESTION, ledger_of((*LAPTOP, local("x")), "late")).encode())], now=AFTER + 1)
    keep(early, bills)
    closed = (bills / "2026-11.json").read_text()

    keep(late, bills, reopen=True)

    (aside,) = bills.glob("2026-11.closed-*.json")
    assert aside.read_text() == closed
    assert json.loads((bills / "2026-11.json").read_text())["totals"]["requests"] == 4


def test_a_month_with_a_missing_host_is_closed_only_where_somebody_says_so(
    told: list[tuple[str, bytes]], bills: Path
) -> None:
    gone = Missing("gone", "it cannot be reached")

    assert keep(made(told, gone), bills).bill["closed"] is None
    assert keep(made(told, gone), bills, close=True).bill["closed"]


def test_a_month_that_is_not_over_is_never_closed(told: list[tuple[str, bytes]], bills: Path) -> None:
    # What arrived in its last minutes is perhaps being answered.
    for now in (ENDS - 1, AFTER - 1):
        assert keep(made(told, now=now), bills, close=True).bill["closed"] is None
    assert keep(made(told), bills).bill["closed"]


def test_a_bill_without_any_host_says_so_and_is_never_final(bills: Path) -> None:
    found = keep(made([], Missing("a", "it cannot be reached")), bills, close=True).bill

    assert found["closed"] is None
    assert found["words"]["headline"] == "No host told of its requests: there are no figures."
    assert found["bottom_line"]["net_usd"] is None


def test_a_file_that_is_no_bill_is_left_alone(told: list[tuple[str, bytes]], bills: Path) -> None:
    bills.mkdir()
    (bills / "2026-11.json").write_text('{"mine": true}')

    with pytest.raises(QuestionError, match="move it away"):
        keep(made(told), bills)
    assert contents(bills) == {"2026-11.json": '{"mine": true}'}


def test_what_people_named_is_text_in_the_page_and_no_formula_in_the_table(ledger_of: Make) -> None:
    raw = rows.document(QUESTION, ledger_of((local("a", project="=<b>x</b>"),))).encode()
    found = {**made([("one", raw)]), "closed": None}

    assert "<b>x</b>" not in page(found)
    assert "project,'=<b>x</b>" in spreadsheet(found)


def test_rows_of_the_present_form_are_read_back(ledger_of: Make) -> None:
    found = handed(rows.document(QUESTION, ledger_of()).encode())

    users = [row for row in ROWS if not row.purpose and row.environment != "relay"]
    assert sorted(row[1] for row in found.rows) == sorted(row.id for row in users)
    assert found.question["until"] > NOON


def test_something_else_than_a_document_is_refused() -> None:
    with pytest.raises(OtherSchemaError):
        handed(b"not json")
