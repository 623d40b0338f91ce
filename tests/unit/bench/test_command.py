"""`gridtie bench` from its arguments to its file, against a real router with stand-ins behind it."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
import signal
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gridtie.bench.__main__ import parser_of
from gridtie.bench.command import run, unfit
from gridtie.bench.profiles import PROFILES
from gridtie.bench.results import read
from gridtie.bench.target import Route
from standins.bench import Bench, engine
from standins.router import KEY, ROOT
from standins.scripted import Behaviour, Turn, cut, error, event, vanish

QUICK = ("coder", "--profile", "chat", "--concurrency", "1", "--requests", "8", "--rounds", "2")
TRICKLE = engine(10, between=0.005)


def document(bench: Bench) -> Any:
    return json.loads((bench.directory / "told.json").read_text())


class TestMeasuring:
    def test_a_target_is_measured_through_the_router_and_beside_it(self, bench: Bench) -> None:
        status = bench.command(*QUICK, "--json", str(bench.directory / "told.json"), local=[TRICKLE])

        assert status == 0, bench.err
        rows = document(bench)["rows"]
        assert [(row["beside"], row["answers"], row["errors"]) for row in rows] == [(False, 8, {}), (True, 8, {})]
        assert all(row["measures"]["between-tokens"]["p50"]["value"] > 0.004 for row in rows)
        assert "What the router adds" in bench.out
        assert "chat, 1 at once, beside" in bench.out

    def test_requests_are_marked_in_the_ledger_and_kept_on_the_machine(self, bench: Bench) -> None:
        bench.command(*QUICK)

        assert len(bench.rows) == 9
        assert {(row["purpose"], row["agent"], row["private"], row["locality"]) for row in bench.rows} == {
            ("bench", "gridtie-bench", 1, "local")
        }

    def test_so_many_at_once_are_under_way_until_the_last_counted_one_has_ended(self, bench: Bench) -> None:
        under_way, most = 0, 0

        async def play(turn: Turn) -> None:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            try:
                await engine(4, first=0.02)(turn)
            finally:
                under_way -= 1

        words = ("coder", "--profile", "chat", "--concurrency", "4", "--requests", "8", "--rounds", "1")
        assert bench.command(*words, "--direct", "http://127.0.0.1:1", local=[play]) == 0

        assert most == 4
        # The warm-up, the counted ones, and what kept the load up.
        assert len(bench.local.turns) > 9
        assert {request.concurrency for request in read(bench.file).requests} == {4}

    def test_the_cache_is_measured_one_at_a_time_and_its_first_request_apart(self, bench: Bench) -> None:
        words = ("coder", "--profile", "cache", "--concurrency", "4", "--requests", "8", "--rounds", "2")
        bench.command(*words)
        requests = [each for each in read(bench.file).requests if each.way == "router"]

        assert Counter(each.phase for each in requests) == {"first": 2, "again": 6}
        assert {each.concurrency for each in requests} == {1}

    def test_the_models_own_count_sets_the_length_of_prompts(self, bench: Bench) -> None:
        bench.command(*QUICK)
        results = read(bench.file)
        sizes = [each.answer.tokens_in for each in results.requests if each.answer is not None]

        assert all(0.75 * 400 < size < 1.25 * 400 for size in sizes), sizes

    def test_what_is_done_is_said_with_the_time_that_is_left(self, bench: Bench) -> None:
        bench.command(*QUICK)

        assert "chat: warming up" in bench.err
        assert re.search(r"block 4 of 4, about \d+ s left", bench.err)

    def test_a_profile_can_have_another_size_and_leave_its_tools_out(self, bench: Bench) -> None:
        words = ("coder", "--profile", "agent", "--profile", "chat", "--prompt-tokens", "300", "--without-tools")
        bench.command(*words, "--requests", "2", "--rounds", "1", "--concurrency", "1")

        assert {each.profile for each in read(bench.file).requests} == {"agent-without-tools-300", "chat-300"}
        assert not any("tools" in turn.json for turn in bench.local.turns)


class TestFitting:
    """Which profiles a target can be asked."""

    ROUTE = Route("here/small", "local", 8192, "m", "dev")

    def test_one_that_needs_more_context_than_there_is_cannot(self) -> None:
        assert "12,728 tokens of context and the target has 8,192" in unfit(PROFILES["agent"], self.ROUTE)
        assert not unfit(PROFILES["agent"].sized(6_000), self.ROUTE)

    def test_one_with_tools_cannot_be_asked_of_a_model_that_takes_none(self) -> None:
        route = replace(self.ROUTE, context=32_768, tools=False)

        assert "takes no tools" in unfit(PROFILES["agent"], route)
        assert not unfit(PROFILES["agent"].without_tools(), route)
        assert not unfit(PROFILES["chat"], route)


class TestTargets:
    def test_targets_that_hold_leave_the_exit_status_at_0(self, bench: Bench) -> None:
        status = bench.command(*QUICK, "--expect", "first-token p95 < 20 s at 1 in chat", "--expect", "errors < 1 %")

        assert status == 0
        assert "held    first-token p95 < 20 s at 1 in chat" in bench.out

    def test_a_target_that_is_missed_makes_it_1(self, bench: Bench) -> None:
        assert bench.command(*QUICK, "--expect", "between-tokens < 1 ms", local=[TRICKLE]) == 1
        assert "missed  between-tokens < 1 ms" in bench.out

    def test_a_target_that_nothing_was_measured_for_is_missed(self, bench: Bench) -> None:
        assert bench.command(*QUICK, "--expect", "first-token < 9 s at 16") == 1
        assert "nothing was measured" in bench.out

    def test_a_target_that_makes_no_sense_is_said_before_anything_is_sent(self, bench: Bench) -> None:
        assert bench.command(*QUICK, "--expect", "speed > 9000") == 2
        assert "there is no measure 'speed'; there are first-token," in bench.err
        assert not bench.local.turns


class TestWhatGoesWrong:
    def test_a_target_that_is_not_there(self, bench: Bench) -> None:
        assert bench.command("here/larger") == 2
        assert bench.err.count("\n") == 1
        assert "no target 'here/larger'" in bench.err
        assert not bench.file.exists()

    def test_a_router_that_refuses_the_key(self, bench: Bench) -> None:
        assert bench.command(*QUICK, key="gt-" + "x" * 43) == 2
        assert bench.err.count("\n") == 1
        assert not bench.file.exists()

    def test_a_router_that_is_not_there(self, bench: Bench) -> None:
        bench.monkeypatch.setenv("GRIDTIE_CONFIG_DIR", str(bench.directory))
        (bench.directory / "station.key").write_text(KEY)
        (bench.directory / "station.json").write_text('{"schema": 1, "endpoint": "http://127.0.0.1:1"}')

        assert run(parser_of().parse_args(["coder", "--out", str(bench.file)])) == 2
        assert "http://127.0.0.1:1" in bench.capsys.readouterr().err
        assert not bench.file.exists()

    def test_an_engine_that_dies_half_way_keeps_what_was_measured(self, bench: Bench) -> None:
        """Two warm-ups and five requests are answered; then the engine is gone, through the router and beside it."""
        answers: list[Behaviour] = [engine()] * 7
        status = bench.command(*QUICK, local=[*answers, vanish])

        assert status == 2
        assert "stopped answering" in bench.err
        assert f"--resume {bench.file}" in bench.err
        assert "Not finished" in bench.out
        assert sum(each.answer is not None for each in read(bench.file).requests) == 5

    def test_answers_that_break_off_are_counted_and_no_times(self, bench: Bench) -> None:
        broken = cut(event("a"))
        bench.command(
            *QUICK, "--json", str(bench.directory / "told.json"), local=[engine()] * 4 + [broken] + [engine()]
        )
        row, beside = document(bench)["rows"]

        assert row["answers"] + beside["answers"] == 15
        assert sum([*row["errors"].values(), *beside["errors"].values()]) == 1

    def test_being_refused_for_now_ends_nothing(self, bench: Bench) -> None:
        busy = error("429 Too Many Requests", "later", headers="retry-after: 0\r\n")
        status = bench.command(*QUICK, "--direct", "http://127.0.0.1:1", local=[engine(), *[busy] * 4, engine()])

        assert status == 0, bench.err
        assert "beside the router: not measured" in bench.out

    def test_a_profile_that_there_is_not(self, bench: Bench) -> None:
        assert bench.command("coder", "--profile", "chatt") == 2
        assert "there is no profile 'chatt'" in bench.err
        assert not bench.local.turns

    def test_a_file_that_is_there_already_is_not_written_over(self, bench: Bench) -> None:
        bench.file.write_text("mine\n")

        assert bench.command(*QUICK) == 2
        assert "is there already" in bench.err
        assert bench.file.read_text() == "mine\n"


class TestResuming:
    def test_blocks_that_are_whole_are_not_measured_again(self, bench: Bench) -> None:
        bench.command(*QUICK)
        whole = bench.file.read_bytes()
        lines = whole.splitlines(keepends=True)
        third = next(at for at, line in enumerate(lines) if b'"begin"' in line and json.loads(line)["block"] == 2)
        # Killed in the middle of the second request of the third block.
        bench.file.write_bytes(b"".join(lines[: third + 2]) + lines[third + 2][:40])

        assert bench.command("--resume", str(bench.file)) == 0, bench.err

        results = read(bench.file)
        assert bench.file.read_bytes().startswith(b"".join(lines[:third]))
        assert Counter(each.way for each in results.requests) == {"router": 8, "beside": 8}
        # Two warm-ups and two blocks of four.
        assert len(bench.local.turns) == 10

    def test_a_run_that_is_whole_is_told_once_more_and_nothing_is_asked(self, bench: Bench) -> None:
        bench.command(*QUICK)
        first = bench.out

        assert bench.command("--resume", str(bench.file)) == 0
        assert bench.out == first
        assert not bench.local.turns

    def test_after_a_kill_it_goes_on(self, bench: Bench) -> None:
        """The real thing: a process that is killed by SIGKILL while it measures."""

        async def killed(here: Bench) -> None:
            environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "gridtie.bench", *QUICK, "--out", str(here.directory / "killed.jsonl")),
                env=environment,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
            async with asyncio.timeout(30):
                while b'"done"' not in (_bytes(here) or b""):
                    await asyncio.sleep(0.02)
            child.send_signal(signal.SIGKILL)
            await child.wait()

        bench.command("here/nothing", meanwhile=killed, local=[engine(10, between=0.02)])
        path = bench.directory / "killed.jsonl"
        assert len(read(path).done) < 4

        assert bench.command("--resume", str(path)) == 0, bench.err
        assert Counter(each.way for each in read(path).requests) == {"router": 8, "beside": 8}

    def test_two_at_once_do_not_write_one_file(self, bench: Bench) -> None:
        bench.command(*QUICK)
        with bench.file.open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            assert bench.command("--resume", str(bench.file)) == 2

        assert "is being written by another process" in bench.err

    @pytest.mark.parametrize("content", ["", "{}\n", "nonsense\n", '{"kind":"begin","block":1}\n'])
    def test_a_file_of_something_else_is_refused(self, bench: Bench, content: str) -> None:
        bench.file.write_text(content)

        assert bench.command("--resume", str(bench.file)) == 2
        assert bench.err.count("\n") == 1
        assert bench.file.read_text() == content


def _bytes(here: Bench) -> bytes | None:
    path = here.directory / "killed.jsonl"
    return path.read_bytes() if path.exists() else None


class TestMoney:
    CLOUD = ("openai/gpt-5.4-mini", "--profile", "chat", "--concurrency", "1", "--requests", "4", "--rounds", "1")

    def test_nothing_goes_to_a_cloud_unless_a_limit_is_named(self, bench: Bench) -> None:
        assert bench.command(*self.CLOUD) == 2
        assert "--spend USD" in bench.err
        assert not bench.cloud.turns

    def test_what_it_cost_is_told_and_lies_below_the_limit(self, bench: Bench) -> None:
        assert bench.command(*self.CLOUD, "--spend", "1") == 0, bench.err

        results = read(bench.file)
        assert len(bench.cloud.turns) == 5
        assert not bench.local.turns
        assert 0 < results.spent < 0.01
        assert "Spent at clouds: $" in bench.out

    def test_it_stops_before_the_limit_could_be_passed(self, bench: Bench) -> None:
        """A request of the chat profile may cost some $0.0011, half of it for the answer."""
        assert bench.command(*self.CLOUD, "--spend", "0.0015") == 2
        assert "are left" in bench.err
        assert 0 < len(bench.cloud.turns) < 5
        assert read(bench.file).spent <= 0.0015

    def test_what_a_killed_run_may_have_spent_counts_in_the_next(self, bench: Bench) -> None:
        bench.command(*self.CLOUD, "--spend", "0.01")
        lines = bench.file.read_bytes().splitlines(keepends=True)
        begun = next(at for at, line in enumerate(lines) if b'"begin"' in line)
        # A request was reserved for and sent; what it was billed nobody wrote down any more.
        reserved = json.loads(lines[begun + 1])
        assert reserved["kind"] == "money"
        assert "final" not in reserved
        bench.file.write_bytes(b"".join(lines[: begun + 2]))
        before = read(bench.file).spent

        assert before >= reserved["usd"]
        bench.command("--resume", str(bench.file))
        assert read(bench.file).spent > before

    def test_a_local_target_never_ends_at_a_cloud(self, bench: Bench) -> None:
        """The engine fails after the warm-up, and the alias has a cloud behind it."""
        status = bench.command(*QUICK, local=[engine(), engine(), error("500 Internal Server Error", "broken")])

        assert status == 2
        assert not bench.cloud.turns


class TestComparing:
    def measured(self, bench: Bench, name: str) -> Path:
        path = bench.directory / f"{name}.jsonl"
        words = [*QUICK[:-4], "--requests", "16", "--rounds", "2", "--out", str(path)]
        assert bench.command(*words, local=[TRICKLE]) == 0, bench.err
        return path

    def slower(self, path: Path, factor: float) -> Path:
        """The same run on a machine that is so much slower: what other tests do beside this one has no say in it."""
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for line in lines:
            if line["kind"] == "request":
                answer = line["answer"]
                for name in ("first_token", "end"):
                    answer[name] *= factor
        made = path.with_name("slower.jsonl")
        made.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return made

    def test_a_slower_engine_is_found_and_makes_the_exit_status_1(self, bench: Bench) -> None:
        fast = self.measured(bench, "fast")
        slow = self.slower(fast, 10.0)

        assert bench.command("--compare", str(fast), str(slow)) == 1
        assert "slower" in bench.out
        assert bench.command("--compare", str(slow), str(fast)) == 0
        assert "faster" in bench.out
        assert bench.command("--compare", str(fast), str(fast)) == 0
        assert "no difference beyond chance" in bench.out

    def test_runs_without_a_common_row_cannot_be_compared(self, bench: Bench) -> None:
        chat = self.measured(bench, "chat")
        other = bench.directory / "other.jsonl"
        bench.command("coder", "--profile", "batch", "--requests", "2", "--concurrency", "1", "--out", str(other))

        assert bench.command("--compare", str(chat), str(other)) == 2
        assert "no row in common" in bench.err

    def test_a_file_tells_the_same_once_more(self, bench: Bench) -> None:
        path = self.measured(bench, "one")
        first = bench.out

        assert bench.command("--show", str(path)) == 0
        assert bench.out.strip() in first
