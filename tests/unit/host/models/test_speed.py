"""Speed is told of several runs, and a drop is one only where chance does not explain it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gridtie.host.models.proof import DoesNotRun
from gridtie.host.models.speed import NotMeasured, Speed, compare, from_document, measure, objection, of_runs, rate_of
from gridtie.host.router import Unreachable
from standins import httpd

MODEL = "gridtie/probe:1m"
STEADY = of_runs(MODEL, [98.0, 99.0, 99.5, 100.0, 100.5, 101.0, 102.0])


def scaled(share: float, speed: Speed = STEADY) -> Speed:
    return Speed(speed.model, speed.runs, speed.median * share, speed.low * share, speed.high * share)


@pytest.fixture
def engine() -> Iterator[httpd.Httpd]:
    with httpd.serving() as server:
        server.answers["/api/generate"] = (200, {"eval_count": 64, "eval_duration": 640_000_000, "response": "x"})
        yield server


def test_the_median_and_the_quartiles_stand_for_the_runs() -> None:
    speed = of_runs(MODEL, [10.0, 40.0, 20.0, 30.0, 50.0])

    assert (speed.median, speed.low, speed.high, speed.runs) == (30.0, 20.0, 40.0, 5)


def test_one_very_slow_run_does_not_move_them() -> None:
    assert of_runs(MODEL, [1.0, 100.0, 100.0, 100.0, 100.0, 100.0, 100.0]).low == 100.0


def test_too_few_runs_are_not_judged() -> None:
    with pytest.raises(NotMeasured, match="4 answers"):
        of_runs(MODEL, [1.0, 2.0, 3.0, 4.0])


def test_the_rate_is_the_engines_own_without_loading_and_reading() -> None:
    content = {"eval_count": 50, "eval_duration": 2_000_000_000, "load_duration": 9e12, "prompt_eval_duration": 9e12}

    assert rate_of(content) == 25.0


@pytest.mark.parametrize("content", [{"eval_count": 15, "eval_duration": 1}, {"eval_count": 64}, {}])
def test_an_answer_that_is_too_short_or_without_times_is_no_measurement(content: dict[str, int]) -> None:
    assert rate_of(content) is None


def test_each_run_asks_something_else_and_the_first_is_not_counted(engine: httpd.Httpd) -> None:
    speed = measure(engine.url, MODEL, 5)

    prompts = [each.body["prompt"] for each in engine.asked]
    assert (speed.median, speed.runs) == (100.0, 5)
    assert len(prompts) == 6
    assert len({prompt[:3] for prompt in prompts}) == 6
    assert {each.body["options"]["temperature"] for each in engine.asked} == {0}


def test_a_model_that_says_too_little_is_asked_again_and_then_given_up(engine: httpd.Httpd) -> None:
    engine.answers["/api/generate"] = (200, {"eval_count": 3, "eval_duration": 30_000_000})

    with pytest.raises(NotMeasured, match="0 answers of at least 16 tokens; wanted 5"):
        measure(engine.url, MODEL, 5)
    assert len(engine.asked) == 11


@pytest.mark.parametrize("runs", [0, 4])
def test_fewer_runs_than_can_be_judged_ask_the_engine_nothing(engine: httpd.Httpd, runs: int) -> None:
    with pytest.raises(NotMeasured, match=rf"{runs} runs were asked for \(gridtie_upgrade_runs\)"):
        measure(engine.url, MODEL, runs)
    assert engine.asked == []


def test_an_engine_that_cannot_generate_is_told_with_its_own_words(engine: httpd.Httpd) -> None:
    engine.answers["/api/generate"] = (500, {"error": "llama-server process has terminated"})

    with pytest.raises(DoesNotRun, match="status 500: llama-server process has terminated"):
        measure(engine.url, MODEL, 5)


def test_one_that_is_not_there_cannot_be_reached() -> None:
    with pytest.raises(Unreachable):
        measure("http://127.0.0.1:9", MODEL, 5)


def test_a_clear_drop_is_slower_and_is_refused_only_below_the_share_that_was_set() -> None:
    assert [compare(STEADY, scaled(0.85), least).refused for least in (0.0, 0.8, 0.9)] == [False, False, True]
    assert all(compare(STEADY, scaled(0.85), least).slower for least in (0.0, 0.8, 0.9))


def test_a_drop_within_the_scatter_is_neither_slower_nor_refused() -> None:
    noisy = of_runs(MODEL, [60.0, 70.0, 85.0, 100.0, 115.0, 130.0, 140.0])
    found = compare(noisy, scaled(0.85, noisy), 0.9)

    assert not found.slower and not found.refused
    assert "too far apart" in found.text


def test_a_small_drop_is_not_worth_saying_however_sure_it_is() -> None:
    exact = of_runs(MODEL, [100.0] * 7)

    assert not compare(exact, scaled(0.96, exact)).slower
    assert compare(exact, scaled(0.95, exact)).slower


def test_faster_is_never_slower() -> None:
    found = compare(STEADY, scaled(1.5), 0.9)

    assert not found.slower and not found.refused
    assert "+50%" in found.text


def test_a_measurement_survives_being_written_down() -> None:
    assert from_document(STEADY.document()) == STEADY
    assert from_document({}) is None


def test_an_engine_that_could_be_measured_and_is_silent_now_is_no_success() -> None:
    assert "now it cannot be reached" in objection(Unreachable("silent"), STEADY, 0.0)


def test_one_that_never_could_be_measured_is_none_either_only_where_a_share_was_asked_for() -> None:
    assert objection(Unreachable("another network"), None, 0.0) == ""
    assert "gridtie_upgrade_min_speed" in objection(Unreachable("another network"), None, 0.9)


def test_too_short_answers_are_told_and_no_failure_unless_a_share_was_asked_for() -> None:
    assert objection(NotMeasured("too short"), STEADY, 0.0) == ""
    assert "too short" in objection(NotMeasured("too short"), STEADY, 0.9)
