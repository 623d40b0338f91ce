"""`gridtie quality` from its arguments to its file: a real router, and behind it a stand-in that knows the answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gridtie.host.sandbox import SandboxUnavailable
from gridtie.quality import session
from gridtie.quality.results import read
from gridtie.quality.task import Answer
from gridtie.quality.tasks import TASKS
from standins.scripted import error, vanish, whole
from unit.quality.conftest import Command, completion, model

QUICK = ("coder", "--category", "json", "--category", "tools")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


def test_what_a_target_solves_is_told_by_category_with_intervals(command: Command, file: Path) -> None:
    tried = command(*QUICK, "--out", str(file), local=model(lambda task: task.category == "json"))

    assert tried.status == 0, tried.err
    assert "json      8 of 8 (68% to 100%)" in tried.out
    assert "tools     0 of 8 (0% to 32%)" in tried.out
    assert "all       8 of 16" in tried.out


def test_every_category_goes_its_whole_way(command: Command, file: Path) -> None:
    """Through the router and back, code into its runner and calls into theirs: right answers pass, all of them."""
    tried = command("coder", "--out", str(file))
    results = read(file)

    assert tried.status == 0, tried.err
    assert not {each.task: each.why for each in results.tries.values() if each.why}
    assert len(results.tries) == len(TASKS)


def test_a_set_of_others_is_tried_and_gone_on_with(command: Command, file: Path, tmp_path: Path) -> None:
    row = {"prompt": "def one():\n    ...\n", "entry_point": "one", "test": "def check(f):\n    assert f() == 1\n"}
    rows = [json.dumps({**row, "task_id": f"t/{number}"}) for number in range(4)]
    (tmp_path / "others.jsonl").write_text("\n".join(rows))
    answers = whole(completion(Answer("def one():\n    return 1\n")))

    first = command("coder", "--set", str(tmp_path / "others.jsonl"), "--out", str(file), local=(answers, vanish))
    second = command("--resume", str(file), local=answers)

    assert (first.status, second.status) == (2, 0), second.err
    assert second.asked == 3
    assert "set others  4 of 4" in second.out


def test_requests_are_marked_and_stay_on_the_machine(command: Command, file: Path) -> None:
    tried = command(*QUICK, "--out", str(file))

    assert {(row["purpose"], row["agent"], row["private"]) for row in tried.rows} == {("quality", "gridtie-quality", 1)}


def test_after_a_target_that_died_it_goes_on_where_it_was(command: Command, file: Path) -> None:
    first = command(*QUICK, "--out", str(file), local=(*[model()] * 5, vanish))

    assert first.status == 2
    assert first.err.strip().splitlines()[-1].startswith("gridtie: here/small answers no more")
    assert "5 of 5" in first.out

    second = command("--resume", str(file))

    assert second.status == 0, second.err
    assert second.asked == 11
    assert "16 of 16" in second.out


def test_a_try_without_an_answer_is_no_wrong_answer_and_is_tried_again(command: Command, file: Path) -> None:
    first = command(
        "coder", "--category", "json", "--out", str(file), local=(model(), error("400 Bad Request", "no"), model())
    )

    assert first.status == 2
    assert "7 of 7" in first.out
    assert "1 tries have no answer" in first.err
    assert command("--resume", str(file)).asked == 1
    assert len(read(file).tries) == 8


def test_samples_of_a_task_are_one_task(command: Command, file: Path) -> None:
    tried = command("coder", "--category", "json", "--samples", "3", "--temperature", "0.7", "--out", str(file))

    assert tried.asked == 24
    assert "8 of 8" in tried.out


def test_two_targets_are_held_against_each_other_task_by_task(command: Command, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    command(*QUICK, "--out", str(good))
    command(*QUICK, "--out", str(bad), local=model(lambda task: task.category == "json"))

    worse, better, same = (command("--compare", str(a), str(b)) for a, b in ((good, bad), (bad, good), (good, good)))

    assert (worse.status, better.status, same.status) == (1, 0, 0)
    assert "B is worse" in worse.out
    assert "B is better" in better.out
    assert "no difference beyond chance" in same.out

    command("--compare", str(good), str(bad), "--json", str(tmp_path / "told.json"))
    told = json.loads((tmp_path / "told.json").read_text())
    (tools,) = (line for line in told["categories"] if line["group"] == "tools")
    assert (told["a"]["run"]["target"], tools["only_first"], tools["only_second"]) == ("here/small", 8, 0)


def test_nothing_goes_to_a_cloud_without_a_limit_and_with_one_its_cost_is_told(command: Command, file: Path) -> None:
    refused = command("openai/gpt-5.4-mini", "--category", "json", "--out", str(file))

    assert (refused.status, refused.asked) == (2, 0)
    assert "--spend USD" in refused.err

    paid = command("openai/gpt-5.4-mini", "--category", "json", "--spend", "1", "--out", str(file))

    assert paid.status == 0, paid.err
    assert "Spent at clouds: $0.0" in paid.out
    assert 0 < read(file).spent < 0.01


def test_the_limit_is_not_passed(command: Command, file: Path) -> None:
    tried = command("openai/gpt-5.4-mini", "--category", "json", "--spend", "0.0015", "--out", str(file))

    assert tried.status == 2
    assert 0 < tried.asked < 8
    assert read(file).spent <= 0.0015


def test_without_a_sandbox_no_code_runs_and_the_rest_is_tried(
    command: Command, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: Any, **__: Any) -> None:
        raise SandboxUnavailable("Docker does not answer")

    monkeypatch.setattr(session.sandbox, "find", none)
    tried = command("coder", "--category", "python", "--category", "json", "--out", str(file))

    assert tried.status == 0, tried.err
    assert "Not tried: there is no sandbox (Docker does not answer): python-" in tried.out
    assert "8 of 8" in tried.out


def test_where_the_sandbox_is_gone_meanwhile_nothing_is_asked_that_nobody_could_judge(
    command: Command, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer of a cloud would be paid for all the same."""

    def none(*_: Any, **__: Any) -> None:
        raise SandboxUnavailable("Docker does not answer")

    command("coder", "--category", "python", "--out", str(file), local=(model(), model(), vanish))
    monkeypatch.setattr(session.sandbox, "find", none)
    again = command("--resume", str(file))

    assert (again.status, again.asked) == (2, 0)
    assert "there is no sandbox (Docker does not answer); what was tried is kept, go on with --resume" in again.err
    assert len(read(file).tries) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["here/larger"], "no target 'here/larger'"),
        (["coder", "--category", "pythn"], "no category 'pythn'"),
        (["--show", "/nowhere.jsonl"], "cannot be read"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(command: Command, words: list[str], said: str) -> None:
    tried = command(*words)

    assert (tried.status, tried.err.count("\n"), tried.asked) == (2, 1, 0)
    assert said in tried.err


def test_the_document_has_every_figure(command: Command, file: Path, tmp_path: Path) -> None:
    command(*QUICK, "--out", str(file), "--json", str(tmp_path / "told.json"))
    document = json.loads((tmp_path / "told.json").read_text())

    assert document["unfinished"] is None
    assert {line["group"]: line["rate"]["passed"] for line in document["categories"]} == {
        "json": 8,
        "tools": 8,
        "all": 16,
    }
    assert set(document["solved"].values()) == {True}
