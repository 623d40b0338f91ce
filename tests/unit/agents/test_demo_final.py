"""The demo's exit codes and what it says when it cannot run."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gridtie.agents.client import Client, Reply, RequestFailed
from gridtie.agents.endpoint import Endpoint
from gridtie.agents.judge import Judgement
from gridtie.agents.pipeline import Result
from gridtie.host.sandbox import Sandbox, SandboxUnavailable

# Where Ansible runs and no more: the packages of requirements.txt are there, those of the router's are not.
ELSEWHERE = """
import runpy, sys
for name in ("httptools", "uvloop", "yaml", "cryptography", "prometheus_client", "jsonschema"):
    sys.modules[name] = None
sys.path.insert(0, sys.argv[1] + "/src")
sys.argv = ["demo_final.py", "--list-tasks"]
runpy.run_path(sys.path[0] + "/../demo_final.py", run_name="__main__")
"""
SCRIPT = Path(__file__).parents[3] / "demo_final.py"
REPLY = Reply("planner", "", "stop", 10, 5, 0.1, 0.2, None, "coder", None, None)


@pytest.fixture
def demo() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("demo_final", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(demo: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs the demo with everything there, and `build` in place of the agents."""

    def prepared(options: Any) -> tuple[Client, Sandbox]:
        return Client(Endpoint("http://127.0.0.1:1/v1", "k"), options.model, options.environment), Sandbox("image")

    def go(build: Callable[[], Result], *arguments: str) -> int:
        monkeypatch.setattr(demo, "_prepare", prepared)
        monkeypatch.setattr(demo.pipeline, "build", lambda *_given: build())
        return int(demo.main(list(arguments)))

    return go


def _raise(error: BaseException) -> Callable[[], Result]:
    def build() -> Result:
        raise error

    return build


@pytest.mark.parametrize(
    ("build", "code"),
    [
        (lambda: Result((REPLY,), "source", Judgement(3, 3, ())), 0),
        (lambda: Result((REPLY,), "source", Judgement(2, 3, ("f(1) returned 2",))), 1),
        (lambda: Result((REPLY,), failure="none of 6 tries"), 1),
        (_raise(RequestFailed("the stream was interrupted")), 2),
        (_raise(SandboxUnavailable("the container did not start")), 2),
        (_raise(KeyboardInterrupt()), 130),
    ],
)
def test_the_exit_code_says_how_it_ended(build: Callable[[], Result], code: int, run: Callable[..., int]) -> None:
    """0 only when the hidden tests passed."""
    assert run(build) == code


def test_a_failure_on_a_hard_task_says_what_the_task_takes(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """A small model's failure is reported as what it is."""
    run(lambda: Result((REPLY,), failure="none of 6 tries"), "--task", "merge_intervals")
    shown = capsys.readouterr().out

    assert "FAIL  merge_intervals: none of 6 tries" in shown
    assert "takes a real coding model" in shown


def test_everything_that_is_missing_is_listed_at_once(
    demo: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No router and no Docker: one list, exit code 2, nothing started."""
    monkeypatch.setenv("GRIDTIE_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    code = demo.main([])
    said = capsys.readouterr()

    assert (code, said.out) == (2, "")
    assert "No router was found" in said.err
    assert "`docker` command is not here" in " ".join(said.err.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--task", "nonsense"], "invalid choice: 'nonsense'"),
        (["--seed", "-1"], "wanted a whole number from 0 to 1000000"),
        (["--environment", "staging"], "invalid choice: 'staging'"),
    ],
)
def test_a_wrong_argument_is_a_usage_error(
    arguments: list[str], words: str, demo: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and what was wanted."""
    with pytest.raises(SystemExit) as ended:
        demo.main(arguments)

    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_the_tasks_are_listed_with_the_default(demo: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """One can see what there is without a station."""
    assert demo.main(["--list-tasks"]) == 0
    assert "[tiny] (default)" in capsys.readouterr().out


def test_a_bare_interpreter_is_sent_to_make_demo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the project's environment there is one sentence and no traceback."""
    monkeypatch.setitem(sys.modules, "httpx", None)
    spec = importlib.util.spec_from_file_location("demo_final", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    with pytest.raises(SystemExit) as ended:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))

    assert ended.value.code == 2
    assert "make demo" in capsys.readouterr().err


def test_the_demo_itself_runs_where_there_is_no_more_than_ansibles_packages() -> None:
    command = [sys.executable, "-c", ELSEWHERE, str(SCRIPT.parent)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "tiny" in done.stdout
