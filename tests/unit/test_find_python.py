"""`make` finds a Python that is there tomorrow, too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/find-python"


def found(**variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], **variables}
    return subprocess.run([SCRIPT], env=environment, capture_output=True, text=True, check=False)


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_behind_the_shim_of_a_version_manager_the_real_interpreter_is_taken(tmp_path: Path) -> None:
    shim = program(tmp_path / "shims/python3", f'exec {sys.executable} "$@"')

    done = found(PYTHON=str(shim))

    assert Path(done.stdout.strip()).samefile(sys.executable)
    assert "shims" not in done.stdout


def test_a_shim_of_a_python_that_is_not_active_is_passed_over(tmp_path: Path) -> None:
    program(tmp_path / "shims/python3", "echo 'pyenv: python3: command not found' >&2; exit 127")

    done = found(PATH=f"{tmp_path / 'shims'}:{os.environ['PATH']}")

    assert done.returncode == 0
    assert "shims" not in done.stdout


def test_one_that_was_named_and_is_of_no_use_is_an_error(tmp_path: Path) -> None:
    named = program(tmp_path / "old/python3", "exit 1")

    done = found(PYTHON=str(named))

    assert done.returncode == 1
    assert f"PYTHON={named} is not a Python >= 3.11" in done.stderr


def test_the_machine_itself_is_provisioned_with_the_interpreter_that_runs_the_playbook() -> None:
    for inventory in ("localhost", "ci"):
        hosts = (SCRIPT.parents[1] / f"inventories/{inventory}/hosts.yml").read_text()
        assert 'ansible_python_interpreter: "{{ ansible_playbook_python }}"' in hosts
