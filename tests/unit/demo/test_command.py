"""`make demo COMPARE=1` from its arguments to its files: a real router, and stand-ins that have the answers."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gridtie.agents.task import Task
from gridtie.demo import command
from gridtie.demo.results import Broken, read
from gridtie.host.sandbox import SandboxUnavailable
from gridtie.report.quality import Demo
from gridtie.report.quality import read as read_document
from standins.behaviour import Behaviour, Refusal
from standins.bench import place
from standins.demo_cloud import DemoCloud, configured
from standins.router import ROOT, Station
from standins.router import run as run_loop
from standins.trusted import trusted_run

CLOUD = "openai/gpt-5.4-mini"
TWO = ("--task", "is_even", "--task", "reverse_string")
CUT = Behaviour(exact=True, text="A plan of many words that never comes to its end.", cut_after=3)
GONE = Behaviour(refusal=Refusal(400, "invalid", "it went away"))


class _Box:
    run = staticmethod(trusted_run)


@dataclass
class Compared:
    status: int
    out: str
    err: str
    rows: list[Any]
    asked_local: int
    asked_cloud: int


Command = Callable[..., Compared]


@pytest.fixture
def compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `demo_final.py --compare WORDS`; what a stand-in wrote is the project's own and needs no sandbox."""
    monkeypatch.setattr(command.sandbox, "find", lambda *_, **__: _Box)
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("demo_final", ROOT / "demo_final.py")
    assert spec is not None
    assert spec.loader is not None
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    calls = iter(range(100))

    def call(
        *words: str, knows: Callable[[Task], bool] = lambda _: True, local: tuple[Behaviour, ...] = ()
    ) -> Compared:
        async def work() -> Compared:
            async with AsyncExitStack() as stack:
                here, there = DemoCloud(knows), DemoCloud()
                here.script(*local)
                for cloud in (here, there):
                    await stack.enter_async_context(cloud)
                directory = tmp_path / f"router-{next(calls)}"
                urls = (cloud.base_url("openai", "127.0.0.1") for cloud in (there, here))
                station = await stack.enter_async_context(Station(directory, configured(directory, *urls)))
                place(station)
                monkeypatch.setenv("GRIDTIE_CONFIG_DIR", str(station.config))
                status = await asyncio.to_thread(demo.main, ["--compare", "--seeds", "1", *words])
                rows = await station.rows(0)
                return Compared(status, *capsys.readouterr(), rows, len(here.requests), len(there.requests))

        return run_loop(work, 100.0)

    return call


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "demo.jsonl"


def document(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.with_suffix(".json").read_text())
    return found


def agents(side: dict[str, Any]) -> dict[str, Any]:
    return {line["group"]: line for line in side["agents"]}


def test_each_agents_part_in_a_solved_task_is_told_in_money_and_time_on_both_sides(
    compare: Command, file: Path
) -> None:
    compared = compare(*TWO, "--spend", "1", "--out", str(file))

    assert compared.status == 0, compared.err
    told = document(file)
    here, there = told["sides"]
    assert (here["target"], there["target"], there["standin"]) == ("here/small", CLOUD, False)
    for side in (here, there):
        found = agents(side)
        assert list(found) == ["planner", "coder", "tester", "reviewer", "documenter", "all"]
        assert found["all"]["rate"]["passed"] == 2
        for of in ("usd", "seconds"):
            values = {name: line[of]["value"] for name, line in found.items()}
            assert values.pop("all") == pytest.approx(sum(values.values()))
            assert min(values.values()) > 0
    billed = sum(row["cost_usd"] for row in compared.rows if row["locality"] == "cloud")
    assert agents(there)["all"]["usd"]["value"] == pytest.approx(billed / 2)
    assert read(file).spent == pytest.approx(billed)
    assert told["unfinished"] is None


def test_its_requests_are_marked_and_the_local_ones_stay_on_the_machine(compare: Command, file: Path) -> None:
    compared = compare(*TWO, "--spend", "1", "--out", str(file))

    assert {row["purpose"] for row in compared.rows} == {"demo"}
    assert {(row["locality"], row["private"]) for row in compared.rows} == {("local", 1), ("cloud", 0)}


def test_a_try_that_failed_is_in_the_price_of_the_task_that_it_was_for(compare: Command, file: Path) -> None:
    """The local side never gets one of two tasks right: six tries of the coder, for nothing."""
    compared = compare(*TWO, "--spend", "1", "--out", str(file), knows=lambda task: task.name == "is_even")
    here, there = document(file)["sides"]
    failed = next(each for each in read(file).built.values() if not each.passed)

    assert compared.status == 0, compared.err
    assert (agents(here)["coder"]["rate"]["passed"], agents(there)["coder"]["rate"]["passed"]) == (1, 2)
    assert failed.tries == 6
    asked = [each for built in read(file).built.values() if built.side == 0 for each in built.asked]
    assert agents(here)["coder"]["seconds"]["value"] == pytest.approx(
        sum(each.seconds for each in asked if each.agent == "coder")
    )
    assert "B alone 1" in compared.out


def test_nothing_goes_to_a_cloud_without_a_limit(compare: Command, file: Path) -> None:
    refused = compare(*TWO, "--out", str(file))

    assert (refused.status, refused.asked_local, refused.asked_cloud) == (2, 0, 0)
    assert "--spend USD" in refused.err
    assert not file.exists()


def test_the_limit_is_not_passed_and_more_may_be_spent_later(compare: Command, file: Path) -> None:
    short = compare(*TWO, "--spend", "0.003", "--out", str(file))

    assert short.status == 2
    assert short.asked_cloud > 0
    assert read(file).spent <= 0.003
    assert "of $0.003 are left" in short.err
    assert document(file)["unfinished"]

    again = compare("--resume", str(file), "--spend", "1")

    assert again.status == 0, again.err
    assert document(file)["unfinished"] is None


def test_a_run_that_broke_off_is_done_again_and_its_price_counts(compare: Command, file: Path) -> None:
    first = compare(*TWO, "--spend", "1", "--out", str(file), local=(Behaviour(exact=True, text="{}"), *[GONE] * 2))
    assert first.status == 2
    assert "2 runs were interrupted" in first.err
    second = compare("--resume", str(file))

    assert second.status == 0, second.err
    assert isinstance(read(file).broken[0], Broken)
    assert read(file).broken[0].asked
    here = document(file)["sides"][0]
    asked = [each for built in read(file).built.values() if built.side == 0 for each in built.asked]
    assert agents(here)["all"]["seconds"]["value"] * 2 == pytest.approx(
        sum(each.seconds for each in [*asked, *(each for broken in read(file).broken for each in broken.asked)])
    )


def test_a_request_that_failed_or_broke_off_is_in_the_price_of_its_task(compare: Command, file: Path) -> None:
    """The planner's answer breaks off: electricity was used, and a cloud would have billed it."""
    first = compare(*TWO, "--spend", "1", "--out", str(file), local=(CUT, GONE))
    assert first.status == 2
    cut, gone = ([each.entry for each in broken.asked] for broken in read(file).broken)

    assert [entry.complete for entry in cut] == [False]
    assert [entry.status >= 400 for entry in gone] == [True]
    assert compare("--resume", str(file)).status == 0
    here = agents(document(file)["sides"][0])["planner"]
    asked = [
        each for run in read(file).built.values() if run.side == 0 for each in run.asked if each.agent == "planner"
    ]
    asked += [each for broken in read(file).broken for each in broken.asked]
    assert len(asked) == 4
    assert here["seconds"]["value"] * 2 == pytest.approx(sum(each.seconds for each in asked))
    assert here["usd"]["value"] > 0


def test_a_stand_in_is_called_one_and_the_station_knows_nothing_of_it(compare: Command, file: Path) -> None:
    compared = compare("--task", "is_even", "--standin", "--out", str(file))

    assert compared.status == 0, compared.err
    there = document(file)["sides"][1]
    assert (there["target"], there["standin"]) == (CLOUD, True)
    assert agents(there)["all"]["usd"]["value"] > 0
    assert f"{CLOUD}, a stand-in (cloud)" in compared.out
    assert "says nothing of any model's quality" in compared.out
    assert {row["locality"] for row in compared.rows} == {"local"}
    assert compared.asked_cloud == 0


def test_the_report_reads_what_it_wrote(compare: Command, file: Path) -> None:
    compare("--task", "is_even", "--standin", "--out", str(file))
    (found,) = read_document(file.with_suffix(".json").read_bytes(), "demo.json")

    assert isinstance(found, Demo)
    assert found.sides[1].standin


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--cloud", "here/small", "--spend", "1"), "which is no cloud"),
        (("--model", "nothing"), "no target 'nothing'"),
        (("--resume", "/nowhere.jsonl"), "cannot be read"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(compare: Command, words: tuple[str, ...], said: str) -> None:
    compared = compare(*words)

    assert (compared.status, compared.err.count("\n"), compared.asked_local) == (2, 1, 0)
    assert said in compared.err


@pytest.mark.parametrize("words", [("--out", "x.json"), ("--out", "x.jsonl", "--json", "x.jsonl")])
def test_what_they_come_to_is_never_written_over_the_runs_themselves(
    compare: Command, tmp_path: Path, words: tuple[str, ...]
) -> None:
    compared = compare("--task", "is_even", "--standin", *words)

    assert (compared.status, compared.asked_local) == (2, 0)
    assert "would be overwritten" in compared.err
    assert not list(tmp_path.glob("x.*"))


def test_without_a_sandbox_nothing_is_asked(compare: Command, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: Any, **__: Any) -> None:
        raise SandboxUnavailable("Docker does not answer")

    monkeypatch.setattr(command.sandbox, "find", none)
    compared = compare(*TWO, "--spend", "1", "--out", str(file))

    assert (compared.status, compared.asked_local, compared.asked_cloud) == (2, 0, 0)
    assert "Docker does not answer" in compared.err


def test_it_ends_with_a_stand_in_that_does_not_start(
    compare: Command, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    compared = compare("--task", "is_even", "--standin", "--out", str(file))

    assert compared.status == 2
    assert "the stand-in does not start" in compared.err
