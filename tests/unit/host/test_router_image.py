"""A container that asks between its words: a command in Docker's place, which runs the program itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridtie.host.router_image import Mount, RouterImage
from standins.docker import STATION, place_docker

ASKS = """
import sys
print("first")
print("\\x1e" + "question", flush=True)
print("got " + sys.stdin.readline().strip())
sys.stderr.write("aside\\n")
sys.exit(7)
"""


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Gives the file that has its command lines."""
    path, asked = place_docker(tmp_path)
    monkeypatch.setenv("PATH", path)
    return asked


def test_its_words_are_said_here_and_its_questions_answered(
    docker: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question.strip())
        return "an answer"

    status = RouterImage({"expected": STATION}).attend(["-c", ASKS], [], {}, tmp_path, answer)

    assert (status, asked) == (7, ["question"])
    assert capfd.readouterr() == ("first\ngot an answer\n", "aside\n")


def test_no_socket_of_docker_is_in_it_and_keys_are_on_no_command_line(docker: Path, tmp_path: Path) -> None:
    mounts = [Mount(tmp_path, Path("/work"))]
    RouterImage({"expected": STATION}).attend(
        ["-c", "pass"], mounts, {"OPENAI_API_KEY": "gt-secret"}, tmp_path, lambda _: ""
    )
    line = docker.read_text()

    assert "docker.sock" not in line
    assert "gt-secret" not in line
    assert "--env=OPENAI_API_KEY " in line
    for wanted in ("--read-only", "--cap-drop=ALL", "--interactive", f"source={tmp_path},target=/work,readonly"):
        assert wanted in line


def test_who_ends_without_waiting_for_an_answer_is_no_error_here(docker: Path, tmp_path: Path) -> None:
    program = "print('\\x1e' + 'question', flush=True)"

    assert RouterImage({"expected": STATION}).attend(["-c", program], [], {}, tmp_path, lambda _: "x" * 1_000_000) == 0
