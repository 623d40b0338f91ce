"""docs/closeout.md says what files of results say, and names nothing that is gone."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"
MACHINE = {"processor": "AMD EPYC", "cores": 2, "memory_bytes": 24 << 30}
MADE = {
    "command": "x", "date": "2026-11-29T12:00:00+00:00", "machine": MACHINE, "gridtie": "1.1.0", "commit": "abc",
    "exit_status": 0, "seconds": 1.0,
}  # fmt: skip
JUNIT = """<testsuites><testsuite>
<testcase classname="tests.unit.test_a" name="one" time="0.5"/>
<testcase classname="tests.unit.test_a" name="two" time="0.25"><failure/></testcase>
<testcase classname="tests.unit.test_b" name="three" time="1"><skipped/></testcase>
</testsuite></testsuites>"""


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))


@pytest.fixture
def closeout() -> ModuleType:
    import closeout

    return closeout


@pytest.fixture
def results() -> ModuleType:
    import results

    return results


@pytest.fixture
def record() -> ModuleType:
    import record

    return record


def test_the_page_is_up_to_date_and_names_nothing_that_is_gone() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPTS / "closeout.py", "--check"], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tests": ["tests/unit/test_gone.py"]}, "there is no tests/unit/test_gone.py"),
        ({"tests": ["tests/unit/test_closeout.py::test_that_is_gone"]}, "has no test_that_is_gone"),
        ({"pages": ["docs/gone.md"]}, "there is no docs/gone.md"),
        ({"measurements": [{"name": "gone", "says": ""}]}, "no measurement is called gone"),
        ({"open": [{"why": "", "command": "make gone"}]}, "there is no target gone"),
        ({"open": [{"why": "", "command": "gridtie gone"}]}, "invalid choice: 'gone'"),
        ({"open": [{"why": "", "command": "gridtie report --gone"}]}, "unrecognized arguments: --gone"),
        ({"open": [{"why": "", "command": "demo_final.py --gone"}]}, "unrecognized arguments: --gone"),
        ({"open": [{"why": "", "command": "demo_final.py --task gone"}]}, "invalid choice: 'gone'"),
        ({"open": [{"why": "", "command": "scripts/gone.py"}]}, "there is no scripts/gone.py"),
    ],
)
def test_a_command_a_test_or_a_page_that_is_gone_is_named(
    closeout: ModuleType, change: dict[str, Any], said: str
) -> None:
    data = copy.deepcopy(closeout.load())
    data["lines"] = [{"line": "Something", **change}]

    (found,) = closeout.gone(data)

    assert said in found


def test_the_model_that_figures_are_of_is_that_of_the_record(closeout: ModuleType) -> None:
    """`probe` and `coder` lead to what a station has, which is not always the small model."""
    said = [each["says"] for line in closeout.load()["lines"] for each in line.get("measurements") or ()]

    assert [each for each in said if "135M" in each or "smollm2" in each] == []
    assert sum("target}" in each for each in said) == 4


def test_a_line_is_shown_by_tests_that_passed_and_not_by_any_that_failed(
    closeout: ModuleType, results: ModuleType
) -> None:
    counts = {"passed": 3, "failed": 0, "skipped": 0}
    ran = {name: results.Record(name=name, **MADE, result=counts) for name in ("a.py", "b.py")}
    failed = {**ran, "b.py": results.Record(name="b.py", **MADE, result={**counts, "failed": 1})}
    line = {"line": "Something", "tests": ["a.py", "b.py::test_x"]}

    assert closeout.state(line, ran) == closeout.SHOWN
    assert closeout.state({**line, "open": [{"why": "no card", "command": "make site"}]}, ran) == closeout.PARTLY
    assert closeout.state(line, failed) == closeout.PARTLY
    assert closeout.state(line, {}) == closeout.NOT_SHOWN
    assert closeout.state({"line": "Nothing shows it"}, ran) == closeout.NOT_SHOWN


def test_a_test_that_was_skipped_shows_nothing_though_its_file_passed(
    closeout: ModuleType, results: ModuleType
) -> None:
    counts = {"passed": 3, "failed": 0, "skipped": 1}
    named = results.Record(name="a.py", **MADE, result={**counts, "not_passed": ["test_x"]})
    line = {"line": "Something", "tests": ["a.py::test_x"]}

    assert closeout.state(line, {"a.py": named}) == closeout.NOT_SHOWN
    assert closeout.state({**line, "tests": ["a.py::test_y"]}, {"a.py": named}) == closeout.SHOWN
    # Which one it was, nobody kept.
    assert closeout.state(line, {"a.py": results.Record(name="a.py", **MADE, result=counts)}) == closeout.NOT_SHOWN


def test_a_command_without_its_figure_shows_nothing_and_the_page_is_written_all_the_same(
    closeout: ModuleType, results: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that solved nothing has no cost per solved task."""
    ran = results.Record(name="demo", **MADE, result={"usd": None})
    monkeypatch.setattr(closeout, "read", lambda _: ran)
    line = {"line": "Something", "measurements": [{"name": "demo", "says": "{usd.value} USD each"}]}

    (found,) = closeout.evidence(line, {})

    assert (found.passed, found.came_to) == (False, "no figure: there is no usd.value in the result: nothing at value")


def test_what_nobody_recorded_is_said_with_the_command_that_records_it(closeout: ModuleType) -> None:
    told = closeout.open_({"lines": [{"line": "Something", "tests": ["tests/a.py"]}], "measurements": {}}, {})

    assert 'no run is recorded | `make record NAMES="tests/a.py"` |' in told


def test_a_sentence_takes_its_figures_out_of_the_record(results: ModuleType) -> None:
    found = results.Record(name="x", **MADE, result={"verdict": "PASS", "checks": [{}, {}], "rows": [{"speed": 35.27}]})

    assert (
        results.told("{verdict}, {checks.#} checks, {rows.0.speed} tokens/s", found) == "PASS, 2 checks, 35.3 tokens/s"
    )
    with pytest.raises(ValueError, match=r"no rows\.1\.speed"):
        results.told("{rows.1.speed}", found)
    assert found.where == "2026-11-29, AMD EPYC, 2 cores, 24.0 GiB, no graphics card"


def test_the_last_run_of_each_file_of_tests_is_kept(
    record: ModuleType, results: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    junit = tmp_path / "junit.xml"
    for text in (JUNIT, JUNIT.replace("<failure/>", "").replace("test_b", "test_c")):
        junit.write_text(text)
        record.keep_tests(junit, "abc")

    found = results.tests(tmp_path)

    assert {name: each.result for name, each in found.items()} == {
        "tests/unit/test_a.py": {"passed": 2, "failed": 0, "skipped": 0},
        "tests/unit/test_b.py": {"passed": 0, "failed": 0, "skipped": 1, "not_passed": ["three"]},
        "tests/unit/test_c.py": {"passed": 0, "failed": 0, "skipped": 1, "not_passed": ["three"]},
    }
    assert (found["tests/unit/test_a.py"].seconds, found["tests/unit/test_a.py"].commit) == (0.8, "abc")


@pytest.mark.parametrize(("printed", "status"), [("[1, 2]", 0), ("not JSON", 2), ("", 2)])
def test_a_command_is_kept_with_its_json_and_nothing_is_kept_without(
    record: ModuleType, results: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, printed: str, status: int
) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path)

    assert record.run("some", f"echo '{printed}'") == status

    found = results.read("some", tmp_path)
    assert (found.result if found else None) == (json.loads(printed) if status == 0 else None)


@pytest.mark.parametrize(
    ("asked", "ran"),
    [
        (["tests/unit/test_closeout.py", "doctor"], ["doctor", ["tests/unit/test_closeout.py"]]),
        (["doctor", "tests/unit/test_closeout.py", "-x"], ["doctor", ["tests/unit/test_closeout.py", "-x"]]),
        (["doctor", "fit"], ["doctor", "fit"]),
        # Of a part, or of something that is not there, nothing is run.
        (["doctor", "tests/unit/test_closeout.py::test_x"], []),
        (["tests/unit/test_closeout.py", "-k", "x"], []),
        (["gone"], []),
        ([], []),
    ],
)
def test_commands_and_files_of_tests_are_recorded_together_and_files_whole(
    record: ModuleType, monkeypatch: pytest.MonkeyPatch, asked: list[str], ran: list[Any]
) -> None:
    done: list[Any] = []
    monkeypatch.setattr(record, "run", lambda name, _: done.append(name) or 0)
    monkeypatch.setattr(record, "run_tests", lambda words: done.append(words) or 0)
    monkeypatch.setattr(sys, "argv", ["record.py", *asked])

    assert record.main() == (0 if ran else 2)
    assert done == ran


def test_a_file_of_another_schema_is_refused(results: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "some.json").write_text('{"schema": 9}')

    with pytest.raises(ValueError, match="make record NAMES=some"):
        results.read("some", tmp_path)
