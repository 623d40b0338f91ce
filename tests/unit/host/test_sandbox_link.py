"""A program in a container has code run by its host: what it asks, what it gets, and what it hears without one."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from gridtie.host.sandbox import Execution, Sandbox, SandboxUnavailable
from gridtie.host.sandbox_link import SEPARATOR, LinkedSandbox, answers


class Box(Sandbox):
    """Says what it was given."""

    def run(self, program: str, stdin: str = "") -> Execution:
        return Execution(f"{program}|{stdin}", "timed out", None)


class Host(io.StringIO):
    """Both ends in one process: what is written here is answered at once."""

    def __init__(self, find: Any) -> None:
        super().__init__()
        self._answer = answers(find)
        self.into = io.StringIO()

    def write(self, text: str) -> int:
        assert text.startswith(SEPARATOR)
        at = self.into.tell()
        self.into.seek(0, io.SEEK_END)
        self.into.write(self._answer(text[1:]) + "\n")
        self.into.seek(at)
        return len(text)


def test_a_program_is_run_with_its_input_and_its_end_is_told() -> None:
    host = Host(lambda: Box("image"))
    linked = LinkedSandbox(host, host.into)

    assert linked.run("print('\x1e\n')", "über\n") == Execution("print('\x1e\n')|über\n", "timed out", None)
    assert linked.run("b").stdout == "b|"


def test_a_host_without_a_sandbox_says_so_before_anything_is_asked_of_a_model() -> None:
    def none() -> Sandbox:
        raise SandboxUnavailable("Docker does not answer")

    host = Host(none)
    with pytest.raises(SandboxUnavailable, match="Docker does not answer"):
        LinkedSandbox(host, host.into)


def test_a_host_that_is_gone_is_no_answer() -> None:
    with pytest.raises(SandboxUnavailable, match="has gone"):
        LinkedSandbox(io.StringIO(), io.StringIO())


def test_the_sandbox_is_looked_for_once_and_only_when_it_is_wanted() -> None:
    looked: list[int] = []

    def find() -> Sandbox:
        looked.append(1)
        return Box("image")

    answer = answers(find)
    assert not looked
    assert [json.loads(answer(question)) for question in ("{}", "{}")] == [{}, {}]
    assert looked == [1]
