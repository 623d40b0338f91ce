"""Whatever a model answers is judged: an answer that nobody thought of is wrong, and ends no run."""

from __future__ import annotations

import pytest

from gridtie.host.sandbox import Execution
from gridtie.quality import checks
from gridtie.quality.task import Answer

BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))


def nothing_runs(_program: str, _stdin: str) -> Execution:
    raise AssertionError("this check executes nothing")


@pytest.mark.parametrize(
    "text", ["day: 2026-02-30", "0x_", "n: !!int abc", "!!timestamp x", "9" * 5000, "[" * 800, BOMB]
)
def test_yaml_that_cannot_be_read_is_wrong(text: str) -> None:
    """Asked again at temperature 0 a model says the same: a run that such an answer ends is never whole."""
    assert checks.yaml_value(checks.equals({"day": 1}))(Answer(text), nothing_runs)


def test_yaml_may_use_aliases_as_people_do() -> None:
    assert checks.yaml_value(checks.equals({"a": [1], "b": [1]}))(Answer("a: &a [1]\nb: *a"), nothing_runs) == ""


def test_a_number_of_any_length_is_compared() -> None:
    assert checks.number(7)(Answer("9" * 5000), nothing_runs)
    assert checks.number(7)(Answer("line 7"), nothing_runs) == ""


def test_a_query_that_makes_a_gigabyte_of_nothing_is_wrong() -> None:
    said = checks.query("CREATE TABLE t (a)", [(1,)])(Answer("SELECT zeroblob(1000000000)"), nothing_runs)

    assert said == "the query fails: string or blob too big"


@pytest.mark.parametrize("line", ["null", "[]", "5", '"out"', '{"out": 5}', "no JSON", ""])
def test_what_a_script_puts_in_the_place_of_the_sandboxs_last_word_is_no_result(line: str) -> None:
    def run(_program: str, _stdin: str) -> Execution:
        return Execution(stdout=f"{line}\n", ending="finished", exit_code=0)

    assert checks.shell({}, "5")(Answer("echo 5"), run) == "the sandbox finished"
