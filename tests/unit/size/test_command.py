"""`gridtie size`: what it reads, what it says, and what it refuses."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from gridtie.bench.asking import Answer
from gridtie.bench.plan import ROUTER
from gridtie.bench.profiles import PROFILES
from gridtie.bench.results import Begin, Done, Request, Run
from gridtie.ledger import Entry
from gridtie.size.__main__ import parser_of
from gridtie.size.command import run
from standins.ledger import LOCAL, local, open_ledger

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "docs" / "size.yaml"


def example() -> Any:
    return yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))


@dataclass
class Asked:
    """What the command came to."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Asks about a plan, and gives what was said."""

    def ask(plan: Any, *words: str) -> Asked:
        file = tmp_path / "plan.yaml"
        file.write_text(yaml.safe_dump(plan) if not isinstance(plan, str) else plan)
        places = ["--config", str(ROOT / "config"), "--catalogue", str(ROOT / "config" / "models.yaml")]
        status = run(parser_of().parse_args([str(file), *places, *words]))
        said = capsys.readouterr()
        return Asked(status, said.out, said.err)

    return ask


def ledger(directory: Path, rows: Iterable[Entry]) -> Path:
    opened = open_ledger(directory / "state")
    for row in rows:
        opened.record(row)
    opened.close()
    return opened.database


def benchmark(file: Path, concurrency: int = 4, between: float = 0.02) -> Path:
    """A run of so many at once: 400 tokens in half a second, then a token every `between` seconds."""
    answer = Answer(first_token=0.5, end=0.5 + 99 * between, tokens_in=400, tokens_out=100, pieces=100)
    lines: list[Any] = [
        Run(
            version="1.1.0", started="2026-11-29T10:00:00+00:00", seed="s", endpoint="http://127.0.0.1:8484",
            target="here/m", locality="local", model="here/m", environment="dev", profiles=(PROFILES["chat"],),
            concurrency=(concurrency,), requests=20, rounds=1, ways=(ROUTER,),
        ),
        Begin(block=0),
        *(Request(block=0, profile="chat", concurrency=concurrency, way=ROUTER, answer=answer) for _ in range(20)),
        Done(block=0, began=0.0, ended=10.0),
    ]  # fmt: skip
    file.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    return file


def basis(asked: Asked, what: str) -> Any:
    (found,) = [each for each in asked.document["basis"] if each["what"] == what]
    return found


def test_the_text_names_for_each_team_what_to_take_and_what_it_rests_on(size: Any) -> None:
    asked = size(example())

    assert (asked.status, asked.err) == (0, "")
    for words in ("5 developers:", "500 developers:", "one shared server", "Where one outgrows what", "assumed"):
        assert words in asked.out


def test_every_assumption_is_told_with_its_status_and_source(size: Any) -> None:
    asked = size(example(), "--json")

    assert all(each["value"] and each["source"] for each in asked.document["basis"])
    assert basis(asked, "traffic of a developer")["status"] == "assumed"
    assert basis(asked, "tokens/s of the laptops that are there")["status"] == "assumed"
    assert basis(asked, "memory of the laptops that are there")["status"] == "computed"


def test_developers_of_the_command_line_take_the_place_of_the_files(size: Any) -> None:
    asked = size(example(), "--developers", "12,7", "--json")

    assert [team["developers"] for team in asked.document["teams"]] == [7, 12]


def test_what_nobody_knows_the_cost_of_is_null_and_unknown_and_not_nothing(size: Any) -> None:
    plan = example()
    plan["machines"] = plan["machines"][2:]
    del plan["machines"][0]["hardware"]

    assert size(plan, "--json").document["teams"][0]["machines"][0]["cost"]["usd"] is None
    assert "unknown" in size(plan).out


def test_a_cloud_is_priced_by_the_same_tokens(size: Any) -> None:
    asked = size(example(), "--developers", "1", "--json")

    # 8,400 requests of 1,000 fresh tokens at $0.75, 1,000 cached ones at $0.075 and 400 written at $4.50 a million.
    assert asked.document["teams"][0]["cloud_usd"] == pytest.approx(8400 * (0.75 + 0.075 + 1.8) / 1000)


def test_speeds_of_a_benchmark_take_the_place_of_those_that_are_assumed(size: Any, tmp_path: Path) -> None:
    file = benchmark(tmp_path / "bench.jsonl")
    asked = size(example(), "--bench", f"servers of four cards of 48 GB={file}", "--developers", "1", "--json")
    line = basis(asked, "tokens/s of servers of four cards of 48 GB")

    assert line["status"] == "measured"
    assert line["value"] == "800 in, 50.0 out at 4 at once"
    assert "bench.jsonl, profile chat" in line["source"]
    # 1,000 fresh tokens and 400 written.
    assert asked.document["teams"][0]["machines"][-1]["answer_s"] == pytest.approx(1000 / 800 + 400 / 50, abs=0.1)


def test_traffic_and_speeds_of_a_ledger_take_the_place_of_those_that_are_assumed(size: Any, tmp_path: Path) -> None:
    hour = time.time() // 3600 * 3600 - 86_400
    # Two keys ask four times each within an hour: 1000 tokens in 2 s, 100 out in 4 s, after a second in the queue.
    rows = [
        local(f"r{at}", key=f"key{at % 2}", time=hour + 60 * at, waited=1.0, first_token=3.0, duration=7.0)
        for at in range(8)
    ]
    plan = example()
    del plan["traffic"]
    plan["targets"] = {"wait_p95_s": 5, "answer_s": 20}
    plan["machines"] = [{**plan["machines"][0], "measured_as": LOCAL}]
    asked = size(plan, "--ledger", str(ledger(tmp_path, rows)), "--since", "3d", "--json")

    assert (asked.status, asked.err) == (0, "")
    assert basis(asked, "busiest hour")["value"] == "8 requests of all keys"
    assert basis(asked, "a key is a developer")["value"] == "2 keys"
    line = basis(asked, f"tokens/s of {plan['machines'][0]['name']}")
    assert (line["value"], line["status"]) == ("500 in, 25.0 out at 1 at once", "measured")
    # All requests are of one size: an answer takes 6 s, and its wait is half of what random ones have (by Pollaczek
    # and Khinchine): 4 / 3600 * 6 = 0.00667 of the machine is busy.
    load = 4 / 3600 * 6
    found = asked.document["teams"][0]["machines"][0]
    assert found["load"] == pytest.approx(load)
    assert found["wait_mean_s"] == pytest.approx(6 * load / (1 - load) / 2)


def test_a_ledger_without_rows_of_users_is_refused_in_one_sentence(size: Any, tmp_path: Path) -> None:
    plan = example()
    asked = size(plan, "--ledger", str(ledger(tmp_path, [local("b", purpose="bench")])), "--since", "2020-01-01")

    assert asked.status == 2
    assert "no request of a user was answered in the period" in asked.err
    assert (asked.out, asked.err.count("\n")) == ("", 1)


def test_targets_that_nothing_meets_are_refused_with_what_was_found(size: Any) -> None:
    plan = example()
    plan["targets"] = {"answer_s": 0.5}
    asked = size(plan)

    assert asked.status == 2
    assert asked.err.startswith("gridtie: nothing meets the targets: the laptops that are there: an answer takes 25 s")
    assert asked.err.count("\n") == 1


def test_a_model_that_fits_no_card_is_refused_and_one_that_fits_some_is_not_offered_on_the_others(size: Any) -> None:
    plan = example()
    for machine in plan["machines"]:
        machine.update(model="qwen3-coder:30b", memory_gib=8)
    none = size(plan)
    plan["machines"][2]["memory_gib"] = 48
    some = size(plan, "--json")

    assert none.status == 2
    assert none.err.startswith("gridtie: no model fits a card that is named: ")
    assert "qwen3-coder:30b with 8,192 tokens does not fit 8 GiB" in none.err
    assert some.status == 0
    refused = [line["name"] for line in some.document["teams"][0]["machines"] if line["refused"]]
    assert refused == [plan["machines"][0]["name"], plan["machines"][1]["name"]]


def test_more_at_once_than_memory_takes_is_not_counted_on(size: Any) -> None:
    plan = example()
    plan["machines"] = plan["machines"][2:]
    plan["machines"][0].update(memory_gib=24, context=32768)
    asked = size(plan, "--json", "--developers", "5")

    assert asked.document["teams"][0]["machines"][0]["at_once"] == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"machines": []}, "the list is empty"),
        ({"developers": [0]}, "found 0, wanted developers, 1 to 10000"),
        ({"traffic": None}, "name `traffic` in the file, or a ledger by --ledger"),
        ({"cloud": "openai/nothing"}, 'no price of "openai/nothing"'),
        ({"rhythm": {"peak": 0.5}}, "found 0.5, wanted 1 to 24 times a mean hour"),
        ({"rhythm": {"peek": 2}}, "peek"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_with_what_is_wanted(size: Any, change: Any, said: str) -> None:
    asked = size({**example(), **change})

    assert (asked.status, asked.out) == (2, "")
    assert said in asked.err


def test_a_machine_of_unknown_speed_or_unknown_memory_is_refused(size: Any) -> None:
    plan = example()
    del plan["machines"][0]["speeds"]
    assert "nothing is known of the speed of the laptops" in size(plan).err

    plan = example()
    plan["machines"][0]["model"] = "nobodys:7b"
    assert "the catalogue has no nobodys:7b" in size(plan).err


def test_a_benchmark_of_a_machine_that_is_not_there_or_of_no_benchmark_is_refused(size: Any, tmp_path: Path) -> None:
    file = tmp_path / "empty.jsonl"
    file.write_text("")

    assert "which is no machine of the file" in size(example(), "--bench", f"toaster={file}").err
    assert "is empty; wanted" in size(example(), "--bench", f"the laptops that are there={file}").err


def test_a_benchmark_without_timed_answers_says_nothing_of_a_speed_and_is_refused(size: Any, tmp_path: Path) -> None:
    """Answers of one token have no time between tokens."""
    file = benchmark(tmp_path / "bench.jsonl", between=0.0)
    asked = size(example(), "--bench", f"the laptops that are there={file}")

    assert asked.status == 2
    assert "has no row through the router with prompts and answers that were timed" in asked.err
