"""What a target solved stands beside the money, for what it is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gridtie.bench.lines import Facts
from gridtie.cli import main
from gridtie.quality.command import _document
from gridtie.quality.results import Results, Run, Try
from gridtie.quality.tasks import TASKS
from gridtie.report.figures import report
from gridtie.report.page import page
from gridtie.report.quality import Side, read
from gridtie.report.question import QuestionError
from gridtie.report.text import solved_rows, text
from gridtie.solved.money import Tariff
from standins.ledger import CLOUD, LOCAL, local
from unit.report.conftest import POOLED, QUESTION, Make

NAMES = sorted(TASKS)[:10]


def written(target: str, locality: str, solved: int) -> bytes:
    """What `gridtie quality --json` writes: the first so many of ten tasks are solved."""
    run = Run(
        version="1.1.0",
        started="2026-11-29T10:00:00+00:00",
        target=target,
        locality=locality,
        environment="dev",
        tasks={name: TASKS[name].category for name in NAMES},
        samples=1,
        temperature=0.0,
    )
    results = Results(run=run)
    results.facts = Facts(engine="ollama", engine_version="0.99.1", digest="sha256:" + "a" * 64)
    for at, name in enumerate(NAMES):
        results.tries[name, 0] = Try(task=name, sample=0, why="" if at < solved else "wrong", seconds=1.0)
    return json.dumps(msgspec.to_builtins(_document(results, Tariff()))).encode()


def sides(*targets: tuple[str, str, int]) -> list[Side]:
    return [side for target in targets for side in read(written(*target), "q.json") if isinstance(side, Side)]


def test_two_targets_are_told_over_the_tasks_that_both_were_given(ledger_of: Make) -> None:
    found = report(QUESTION, ledger_of([local("a", duration=1.0)]), sides((LOCAL, "local", 4), (CLOUD, "cloud", 7)))

    assert found["quality"]["pair"] == {
        "local": LOCAL,
        "cloud": CLOUD,
        "tasks": 10,
        "local_solved": 4,
        "cloud_solved": 7,
        "only_local": 0,
        "only_cloud": 3,
    }
    said = found["words"]["headline"]
    assert said.startswith("Net avoided list price: $")
    assert f"of 10 tasks that both were given, {LOCAL} solved 4 (0 of them alone) and {CLOUD} 7 (3)." in said
    assert "saved" not in said
    assert "4 of 10 (17% to 69%)" in page(found)


def test_one_target_alone_is_told_as_compared_with_nothing(ledger_of: Make) -> None:
    found = report(QUESTION, ledger_of([local("a", duration=1.0)]), sides((LOCAL, "local", 4)))

    assert f"Quality: {LOCAL} solved 4 of 10 tasks (17% to 69%); nothing was compared" in found["words"]["headline"]


def test_two_targets_without_a_task_in_common_are_not_compared(ledger_of: Make) -> None:
    here, there = sides((LOCAL, "local", 4), (CLOUD, "cloud", 7))
    other = msgspec.structs.replace(there, solved={f"other-{name}": True for name in there.solved})

    found = report(QUESTION, ledger_of([local("a", duration=1.0)]), [here, other])

    assert found["quality"]["pair"] is None
    assert f"Quality: {LOCAL} solved 4 of 10 tasks" in found["words"]["headline"]


def test_models_that_answered_and_were_never_tried_are_named(ledger_of: Make) -> None:
    rows = [local("a", duration=1.0), local("b", target="pool.gpu/qwen", duration=1.0)]

    found = report(QUESTION, ledger_of(rows), sides((LOCAL, "local", 4)))

    assert any("The quality of pool.gpu/qwen is not known" in line for line in found["words"]["missing"])


@pytest.mark.parametrize(
    ("tried", "known"),
    [
        ((), ", quality unknown"),
        # What was tried is not what answered.
        (((CLOUD, "cloud", 7),), ", quality unknown"),
        ((("station/other", "local", 9),), ", quality unknown"),
        (((LOCAL, "local", 4),), ", quality known in part"),
        (((LOCAL, "local", 4), (POOLED, "local", 4)), ""),
    ],
)
def test_the_net_is_said_to_be_of_known_quality_only_where_what_answered_was_tried(
    ledger_of: Make, tried: tuple[tuple[str, str, int], ...], known: str
) -> None:
    rows = [local("a", duration=1.0), local("b", target=POOLED, duration=1.0)]

    found = report(QUESTION, ledger_of(rows), sides(*tried))

    assert found["words"]["headline"].startswith(f"Net avoided list price{known}: $")
    assert f"<span>net{known}</span>" in page(found)


def test_a_run_that_was_cut_off_is_said_to_be_one(ledger_of: Make) -> None:
    whole = json.loads(written(LOCAL, "local", 4))
    cut = read(json.dumps({**whole, "unfinished": "interrupted"}).encode(), "q.json")

    found = report(QUESTION, ledger_of([local("a", duration=1.0)]), cut)

    assert any(f"The tasks of {LOCAL} were not all tried" in line for line in found["words"]["missing"])


def demo() -> bytes:
    """What `make demo COMPARE=1` writes, as far as a report reads it."""

    def agent(name: str, usd: float) -> dict[str, Any]:
        rate = {"passed": 3, "total": 4, "low": 0.3, "high": 0.95}
        interval = {"value": usd, "low": usd / 2, "high": usd * 2, "n": 4}
        return {"group": name, "rate": rate, "usd": interval, "seconds": {**interval, "value": 2.5}}

    sides = [
        {"target": LOCAL, "locality": "local", "standin": False, "agents": [agent("coder", 0.0001)]},
        {"target": CLOUD, "locality": "cloud", "standin": True, "agents": [agent("coder", 0.002)]},
    ]
    told = {"schema": 1, "started": "2026-11-29T10:00:00+00:00", "tasks": ["is_even"], "seeds": 4, "counted": "65 W"}
    return json.dumps({**told, "sides": sides}).encode()


def test_what_a_solved_task_cost_stands_beside_the_money(ledger_of: Make) -> None:
    given = [*sides((LOCAL, "local", 4), (CLOUD, "cloud", 7)), *read(demo(), "d.json")]
    found = report(QUESTION, ledger_of([local("a", duration=1.0)]), given)

    for told in (text(found, ()), page(found)):
        assert "Cost per solved task" in told
        assert f"{CLOUD}, a stand-in" in told
        assert "$0.000100 ($0.000050 to $0.000200)" in told
        assert "4 of 10 (17% to 69%)" in told
        assert "and no quality" in told
    quality_lines = [line for line in found["quality"]["solved"] if line["of"] == "quality"]
    assert {line["target"] for line in quality_lines} == {LOCAL, CLOUD}
    # The ledger's rows of these tries are not known here, and no price is made up.
    assert {line["usd"] for line in quality_lines} == {None}


@pytest.mark.parametrize(("solved", "said"), [(4, "unknown"), (0, "none solved")])
def test_a_price_that_is_not_known_is_told_apart_from_that_of_nothing_solved(
    ledger_of: Make, solved: int, said: str
) -> None:
    found = report(QUESTION, ledger_of([local("a", duration=1.0)]), sides((LOCAL, "local", solved)))

    line = next(row for row in solved_rows(found) if row[1] == "all")
    assert line[4] == said


def test_a_stand_in_makes_no_quality_known(ledger_of: Make) -> None:
    found = report(QUESTION, ledger_of([local("a", duration=1.0)]), read(demo(), "d.json"))

    assert found["words"]["headline"].startswith("Net avoided list price, quality unknown: $")


def test_no_report_says_saved(ledger_of: Make) -> None:
    rows = [local("a", duration=1.0)]
    for given in ([], sides((LOCAL, "local", 4), (CLOUD, "cloud", 7)), read(demo(), "d.json")):
        found = report(QUESTION, ledger_of(rows), given)
        spoken = page(found).partition("<details>")[0]
        assert not re.search(r"\bsav(ed|ings?|es)\b", text(found, ("model",)) + spoken)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (b"{", "q.json: Input data was truncated"),
        (b'{"schema": 1}', "q.json: Object missing required field"),
        (written(LOCAL, "local", 1).replace(b'"schema": 1', b'"schema": 9', 1), "q.json: schema 9"),
    ],
)
def test_another_file_is_told(document: bytes, says: str) -> None:
    with pytest.raises(QuestionError) as error:
        read(document, "q.json")
    assert says in str(error.value)
    assert "wanted: what `gridtie quality --json FILE` or `make demo COMPARE=1` wrote" in str(error.value)


def test_the_command_reads_a_file_for_each_target(
    ledger_of: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, side in (("l", (LOCAL, "local", 4)), ("c", (CLOUD, "cloud", 7))):
        (tmp_path / f"{name}.json").write_bytes(written(*side))
    config = Path(__file__).parents[3] / "config"
    words = ["--ledger", str(ledger_of()), "--config", str(config), "--since", "2026-11-20", "--until", "2026-11-24"]
    given = ["--quality", str(tmp_path / "l.json"), "--quality", str(tmp_path / "c.json"), "--json"]

    assert main(["report", *words, *given]) == 0

    found: dict[str, Any] = json.loads(capsys.readouterr().out)["quality"]
    assert [target["target"] for target in found["targets"]] == [LOCAL, CLOUD]
    assert main(["report", *words, "--quality", "/nonexistent.json"]) == 2
    assert "/nonexistent.json cannot be read" in capsys.readouterr().err
