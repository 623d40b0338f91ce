"""What a person reads when a task fails."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from plugins.callback import gridtie as callback


def test_the_message_comes_first_and_output_in_full_up_to_its_last_lines() -> None:
    output = "\n".join(f"line {number}" for number in range(100))

    lines = callback.failure_lines({"msg": "it broke", "stdout": output})

    assert lines[1] == "it broke"
    assert lines[-1] == "  line 99"
    assert "  line 59" not in lines


@pytest.mark.parametrize(
    ("payload", "hint"),
    [
        ({"msg": "Incorrect sudo password"}, "The sudo password was wrong"),
        ({"msg": "dev is not in the sudoers file"}, "may not use sudo"),
        ({"msg": "failed", "stderr": "write: No space left on device"}, "The disk is full"),
    ],
)
def test_known_causes_say_what_to_do(payload: dict[str, Any], hint: str) -> None:
    assert hint in callback.failure_lines(payload)[-1]


class _Task:
    """What the callback asks of a task."""

    _role = None

    def __init__(self, action: str, name: str) -> None:
        self.action, self._name = action, name

    def get_name(self) -> str:
        return self._name


class _Result:
    """A host's result of a task."""

    host = "alice"

    def __init__(self, task: _Task, result: dict[str, Any] | None = None) -> None:
        self.task, self.result = task, result or {}


def test_a_stage_that_may_ask_ends_with_its_note_whether_it_asks_or_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    said: list[str] = []
    module = callback.CallbackModule()
    monkeypatch.setattr(module, "_say", lambda line, color=None: said.append(line))
    stage = callback._Stage("Confirmation")
    module._live.stage = stage

    # Ansible announces a task before it judges its `when`.
    module.v2_playbook_on_task_start(_Task("ansible.builtin.pause", "Ask on the terminal"), False)
    while_asking = module._live.stage
    module.v2_playbook_on_task_start(_Task("ansible.builtin.set_fact", "Say what goes"), False)
    stage.note = "keys: alice"
    module._end_stage()

    assert while_asking is None
    assert len(said) == 1
    assert said[0].endswith("keys: alice")


@pytest.mark.parametrize(
    ("several", "line"), [(False, "  Note: {notice}"), (True, "  Note: alice, bob: {notice}")], ids=["one", "several"]
)
def test_a_notice_is_told_once_for_all_hosts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, several: bool, line: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    said: list[str] = []
    module = callback.CallbackModule()
    monkeypatch.setattr(module, "_say", lambda line, color=None: said.append(line))
    stage = callback._Stage("Preflight")
    stage.notices = {"the lock counts": ["alice", "bob"]}
    module._several_hosts, module._live.stage = several, stage

    module._end_stage()

    assert said[-1] == line.format(notice="the lock counts")
    assert len(said) == 2


def test_a_stage_that_no_host_has_anything_to_do_with_is_not_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    said: list[str] = []
    module = callback.CallbackModule()
    monkeypatch.setattr(module, "_say", lambda line, color=None: said.append(line))
    task = _Task("ansible.builtin.include_role", "Choice of models")

    module.v2_playbook_on_task_start(task, False)
    module.v2_runner_on_skipped(_Result(task))
    module._end_stage()
    assert said == []

    module.v2_playbook_on_task_start(task, False)
    module.v2_runner_on_skipped(_Result(task))
    module.v2_playbook_on_include(None)
    module._end_stage()
    assert [line.split()[:3] for line in said] == [["Choice", "of", "models"]]


@pytest.mark.parametrize(
    "stage", [callback._Stage("Choice of models"), None], ids=["in a stage", "in a play of one's own"]
)
def test_what_is_announced_is_shown_in_full(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stage: callback._Stage | None
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    said: list[str] = []
    module = callback.CallbackModule()
    monkeypatch.setattr(module, "_say", lambda line, color=None: said.append(line))
    module._live.stage = stage

    module.v2_runner_on_ok(_Result(_Task("x", "Decide"), {"announcement": "host   model\nalice  coder:7b"}))
    module._end_stage()

    assert said[-2:] == ["  host   model", "  alice  coder:7b"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.94, "59.9 s"), (61, "1 min 01 s"), (3725, "62 min 05 s")]
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert callback._duration(seconds) == text
