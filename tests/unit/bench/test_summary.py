"""What requests come to, and how it is told."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest

from gridtie.bench import text
from gridtie.bench.asking import Answer, Engine
from gridtie.bench.lines import Facts, Stopped
from gridtie.bench.plan import BESIDE, ROUTER
from gridtie.bench.profiles import PROFILES
from gridtie.bench.results import Begin, Cold, Done, LeftOut, Request, Results, Run
from gridtie.bench.summary import compared, router_share, summaries

RUN = Run(
    version="1.1.0", started="2026-11-29T10:00:00+00:00", seed="s", endpoint="http://127.0.0.1:8484", target="here/m",
    locality="local", model="here/m", environment="dev", profiles=(PROFILES["chat"],), concurrency=(1,), requests=40,
    rounds=4, ways=(ROUTER, BESIDE),
)  # fmt: skip


def answer(first: float = 0.5, **changes: Any) -> Answer:
    fields: dict[str, Any] = {
        "first_token": first,
        "end": first + 1.98,
        "tokens_in": 400,
        "tokens_out": 100,
        "pieces": 100,
    }
    return Answer(**{**fields, **changes})


def results(*rows: tuple[str, list[Answer]], **done: Any) -> Results:
    """A run with a block for each way and its answers."""
    made = Results(RUN)
    for block, (way, answers) in enumerate(rows):
        made.add(Begin(block=block))
        for each in answers:
            made.add(Request(block=block, profile="chat", concurrency=2, way=way, answer=each))
        made.add(Done(block=block, began=0.0, ended=10.0, **done))
    return made


def spread(seed: int, factor: float = 1.0) -> list[Answer]:
    draw = random.Random(seed)
    return [answer(factor * draw.lognormvariate(-1, 0.1)) for _ in range(40)]


def test_rates_are_the_engines_own_where_it_tells_them() -> None:
    told = Engine(prompt_tokens=300, prompt_s=0.3, answer_tokens=100, answer_s=2.0)
    (row,) = summaries(results((ROUTER, [answer(engine=told)])))

    assert row.spreads["prompt-rate"].middle.value == pytest.approx(1000)
    assert row.spreads["answer-rate"].middle.value == pytest.approx(50)


def test_else_they_are_what_is_seen_from_here_without_what_was_cached() -> None:
    (row,) = summaries(results((ROUTER, [answer(first=0.5, cached=200)])))

    assert row.spreads["prompt-rate"].middle.value == pytest.approx(400)
    assert row.spreads["answer-rate"].middle.value == pytest.approx(50)
    assert row.cached == pytest.approx(0.5)


def test_requests_at_once_add_up() -> None:
    """Two at a time, each with 100 tokens in 2.48 seconds."""
    (row,) = summaries(results((ROUTER, [answer()] * 8)))

    assert row.throughput is not None
    assert row.throughput.value == pytest.approx(2 * 100 / 2.48)


def test_the_first_token_after_reasoning_stands_apart() -> None:
    (row,) = summaries(results((ROUTER, [answer(first_answer=1.5), answer(first_answer=1.7)])))
    (plain,) = summaries(results((ROUTER, [answer(first_answer=0.5)])))

    assert row.spreads["first-token"].middle.value == 0.5
    assert row.spreads["first-answer-token"].middle.value == pytest.approx(1.6)
    assert "first-answer-token" not in plain.spreads
    assert "after reasoning" in text.report(results((ROUTER, [answer(first_answer=1.5)])))


def test_energy_is_power_over_tokens_a_second() -> None:
    """50 W of the processors and 50 W of a card, at 80.6 tokens a second."""
    (row,) = summaries(results((ROUTER, [answer()] * 8), processor_joules=500.0, graphics_joules=500.0))

    assert row.joules_per_token == pytest.approx(100 / (2 * 100 / 2.48))


def test_where_nothing_counts_energy_none_is_told() -> None:
    made = results((ROUTER, [answer()] * 8))

    assert summaries(made)[0].joules_per_token is None
    assert "Energy" not in text.report(made)


def test_what_the_router_adds_is_held_against_the_same_row_beside_it() -> None:
    nothing = router_share(results((ROUTER, spread(1)), (BESIDE, spread(2))))
    much = router_share(results((ROUTER, spread(1, 1.5)), (BESIDE, spread(2))))

    assert {each.measure: each.word for each in nothing}["first-token"] == "same"
    assert {each.measure: each.word for each in much}["first-token"] == "slower"


def test_two_runs_are_compared_over_the_rows_that_both_have() -> None:
    found = compared(results((ROUTER, spread(1)), (BESIDE, spread(2))), results((ROUTER, spread(3, 1.4))))

    assert {each.row for each in found} == {"chat, 2 at once"}
    assert {each.measure: each.word for each in found}["first-token"] == "slower"


class TestText:
    def test_a_run_that_was_killed_says_how_far_it_came(self) -> None:
        made = results((ROUTER, spread(1)), (BESIDE, spread(2)))

        assert "Not finished: 2 of 8 blocks are measured" in text.report(made)
        assert text.document(made)["unfinished"] == "2 of 8 blocks are measured"

    def test_one_that_is_whole_says_nothing_of_the_kind(self) -> None:
        made = results(*[(ROUTER, spread(1)), (BESIDE, spread(2))] * 4)

        assert "Not finished" not in text.report(made)
        assert text.document(made)["unfinished"] is None

    def test_intervals_that_the_values_do_not_close_are_left_open(self) -> None:
        told = text.report(results((ROUTER, spread(1)[:20])))

        assert "or more)" in told

    @pytest.mark.parametrize(
        ("value", "shown"),
        [(0.0, "0"), (0.0000021, "2 us"), (0.00214, "2.14 ms"), (0.314, "314 ms"), (1.5, "1.5 s"), (93.2, "93.2 s")],
    )
    def test_times_are_told_in_the_unit_that_fits(self, value: float, shown: str) -> None:
        assert text.seconds(value) == shown

    def test_what_was_measured_is_named_with_its_engine_and_digest(self) -> None:
        made = results((ROUTER, [answer()]))
        made.add(Facts(engine="ollama", engine_version="0.32.15", digest="sha256:ab"))

        assert "here/m (local), ollama 0.32.15" in text.report(made)
        assert "sha256:ab" in text.report(made)

    def test_a_cold_load_stands_apart_from_warm_requests(self) -> None:
        made = results((ROUTER, [answer()]))
        made.add(Cold(answer=answer(first=3.0, engine=Engine(load_s=2.5))))

        assert (
            "Cold, the model not in memory: first token after 3 s; loading by the engine's account 2.5 s"
            in text.report(made)
        )

    def test_prompts_that_came_out_of_a_cache_are_no_silent_praise(self) -> None:
        assert "which flatters" in text.report(results((ROUTER, [answer(cached=200)])))

    def test_failures_what_was_left_out_and_an_early_end_are_said(self) -> None:
        made = results((ROUTER, [answer()]))
        made.blocks[0].append(Request(block=0, profile="chat", concurrency=2, way=ROUTER, error="503: busy"))
        made.add(LeftOut(profile="agent", why="it takes no tools"))
        made.add(Stopped(why="the router stopped answering"))
        told = text.report(made)

        assert "1 (+1 failed)" in told
        assert "1 failed: 503: busy" in told
        assert "agent: not measured, it takes no tools" in told
        assert "Not finished: the router stopped answering" in told

    def test_memory_is_told_as_the_machine_and_as_the_engine_see_it(self) -> None:
        made = results(
            (ROUTER, [answer()]), resident_bytes=300 << 20, reported_bytes=200 << 20, reported_vram_bytes=50 << 20
        )

        assert "resident at most 300 MiB; by the engine's account 200 MiB, 50 MiB of it on cards" in text.report(made)

    def test_the_document_is_json_with_every_figure(self) -> None:
        made = results((ROUTER, spread(1)), (BESIDE, spread(2)))
        document = json.loads(msgspec.json.encode(text.document(made)))

        assert document["schema"] == 1
        assert [row["beside"] for row in document["rows"]] == [False, True]
        assert document["rows"][0]["measures"]["first-token"]["p50"]["n"] == 40
        assert document["router_share"][0]["verdict"] == "same"
