"""Verification comes in by the same ways as the run: with the password that sudo wants, and without showing it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleActionFail
from plugins.action.gridtie_verify import ActionModule, run_with_password

ROOT = Path(__file__).resolve().parents[3]
PASSWORD = "correct horse"

# Stands in for sudo with a password: asks on standard input whenever -S is given, and for nothing with -n.
SUDO = """#!/usr/bin/python3
import os, sys
words = sys.argv[1:]
if "-n" in words:
    sys.exit("sudo: a password is required")
line = b""
while not line.endswith(b"\\n"):
    line += os.read(0, 1) or sys.exit("sudo: no password was provided")
if line != b"correct horse\\n":
    sys.exit("sudo: incorrect password attempt")
words = words[words.index("-p") + 2 :]
os.execvp(words[0], words)
"""
# Looks for the password where other processes could read it, then tells what it was handed.
LOOK = """
import os, pathlib, sys
shown = pathlib.Path("/proc/self/environ").read_bytes() + pathlib.Path("/proc/self/cmdline").read_bytes()
handed = os.environ.get("GRIDTIE_SUDO_PASSWORD_FD")
print(b"hor" + b"se" in shown, open(int(handed)).read() if handed else "nothing")
"""


def test_the_password_travels_through_a_pipe_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LOOK]

    assert run_with_password(command, PASSWORD, tmp_path, {}).stdout == f"False {PASSWORD}\n"
    assert run_with_password(command, "", tmp_path, {}).stdout == "False nothing\n"


def action(*, password: str, control_path: str | None) -> ActionModule:
    """The action over a connection that logged in so."""
    connection = MagicMock(transport="ssh", control_path=control_path, control_path_dir="/home/lead/.ansible/cp")
    connection.get_option.side_effect = lambda name: {"password": password}[name]
    made = ActionModule(MagicMock(), connection, MagicMock(password=""), MagicMock(), MagicMock(), MagicMock())
    made._low_level_execute_command = MagicMock()  # type: ignore[method-assign]
    return made


def test_where_the_login_wants_a_password_the_tests_go_through_the_connection_that_is_open() -> None:
    with_password = action(password=PASSWORD, control_path="%(directory)s/4f2a")

    assert with_password._open_connection() == "-o ControlMaster=no -o ControlPath=/home/lead/.ansible/cp/4f2a"
    with_password._low_level_execute_command.assert_called_once()  # type: ignore[attr-defined]
    assert action(password="", control_path="%(directory)s/4f2a")._open_connection() == ""


def test_a_way_in_that_is_no_ssh_has_no_such_password() -> None:
    """Ansible's own plugins for containers do not know the option."""
    into_a_container = action(password=PASSWORD, control_path=None)
    into_a_container._connection.transport = "community.docker.docker"
    into_a_container._connection.get_option.side_effect = KeyError

    assert into_a_container._open_connection() == ""


def test_a_login_with_a_password_that_shares_no_connection_is_told_what_to_change() -> None:
    with pytest.raises(AnsibleActionFail, match=r"ssh_args turns off.*ssh-copy-id"):
        action(password=PASSWORD, control_path=None)._open_connection()


@pytest.fixture
def verify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The tests' own conftest, on a machine whose sudo wants a password."""
    sudo = tmp_path / "bin/sudo"
    sudo.parent.mkdir()
    sudo.write_text(SUDO)
    sudo.chmod(0o755)
    monkeypatch.setenv("PATH", f"{sudo.parent}{os.pathsep}{os.environ['PATH']}")
    reader, writer = os.pipe()
    os.write(writer, PASSWORD.encode())
    os.close(writer)
    monkeypatch.setenv("GRIDTIE_SUDO_PASSWORD_FD", str(reader))
    spec = importlib.util.spec_from_file_location("verify_conftest", ROOT / "tests/verify/conftest.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "verify_conftest", module)
    spec.loader.exec_module(module)
    return module


class Host:
    """This machine, as testinfra shows it to an ordinary user."""

    class backend:
        @staticmethod
        def get_connection_type() -> str:
            return "local"

    def user(self) -> Any:
        return type("User", (), {"name": "dev"})

    def run(self, command: str) -> Any:
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
        return type("Result", (), {"rc": done.returncode, "stdout": done.stdout, "stderr": done.stderr})


@pytest.fixture
def machine(verify: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    station = '{"endpoint": "http://127.0.0.1:8484", "expected": {"router_container": "r", "docker_host": "unix:///d"}}'
    (tmp_path / "station.json").write_text(station)
    monkeypatch.setattr(verify, "CONFIG_DIR", str(tmp_path))
    return verify.Machine(Host())


def test_the_tests_reach_root_with_it_and_keep_it_to_themselves(machine: Any) -> None:
    assert machine.root("echo as root") == "as root\n"
    assert "GRIDTIE_SUDO_PASSWORD_FD" not in os.environ


def test_a_command_gets_what_it_is_given_and_never_the_password(
    machine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The docker command of the demo, whose standard input is a program."""
    docker = tmp_path / "bin/docker"
    docker.write_text('#!/bin/sh\nshift 2\necho "$@"\ncat\n')
    docker.chmod(0o755)
    monkeypatch.setattr(machine, "_ssh", lambda: ["sh", "-c"])
    (tmp_path / "own").mkdir()

    with machine.docker_in(tmp_path / "own"):
        command = [tmp_path / "own/docker", "run", "-i", "an image"]
        done = subprocess.run(command, input="print(1)\n", capture_output=True, text=True, check=False, timeout=30)

    assert (done.stdout, done.stderr, done.returncode) == ("run -i an image\nprint(1)\n", "", 0)
    assert not (tmp_path / "own/password").exists()
    assert PASSWORD not in (tmp_path / "own/docker").read_text()
