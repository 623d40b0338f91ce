"""A bundle's files come to a host: over a connection, or from where the bundle lies on the host itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from unit.ansible.test_bundle import FILES, write

ROOT = Path(__file__).resolve().parents[3]
# A connection that does what the local one does, and that nobody can take for it.
ELSEWHERE = """
DOCUMENTATION = "name: elsewhere\\nshort_description: Another machine\\ndescription: [Another machine]\\noptions: {}"
from ansible.plugins.connection.local import Connection as Local
class Connection(Local):
    transport = "elsewhere"
"""
GIVEN = [path for path in FILES if path.startswith(("packages/", "models/"))]


@pytest.fixture(params=["local", "elsewhere"])
def connection(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def give(tmp_path: Path, bundle: Path, connection: str, *options: str) -> subprocess.CompletedProcess[str]:
    """A run that gives a host the bundle."""
    (tmp_path / "connections").mkdir(exist_ok=True)
    (tmp_path / "connections/elsewhere.py").write_text(ELSEWHERE)
    give = {"bundle": str(bundle), "place": str(tmp_path / "place")}
    task = {"name": "Give", "gridtie.gridtie.gridtie_bundle_give": give}
    play = [{"name": "Give", "hosts": "all", "gather_facts": False, "tasks": [task]}]
    (tmp_path / "play.yml").write_text(yaml.safe_dump(play))
    known: dict[str, Any] = {"ansible_connection": connection, "ansible_python_interpreter": sys.executable}
    (tmp_path / "inventory.yml").write_text(yaml.safe_dump({"all": {"hosts": {"host": known}}}))
    own = {
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
        "ANSIBLE_CONNECTION_PLUGINS": str(tmp_path / "connections"),
        "ANSIBLE_HOME": str(tmp_path / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "HOME": str(tmp_path / "home"),
    }
    return subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "play.yml", "-i", "inventory.yml", *options],
        cwd=tmp_path,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def counted(done: subprocess.CompletedProcess[str], changed: int) -> bool:
    assert done.returncode == 0, done.stdout + done.stderr
    return f"changed={changed} " in done.stdout


def test_a_host_has_its_part_of_the_bundle_and_a_second_run_sends_nothing(tmp_path: Path, connection: str) -> None:
    bundle = write(tmp_path / "a bundle")

    assert counted(give(tmp_path, bundle, connection), changed=1)

    (place,) = (tmp_path / "place").iterdir()
    assert {path: (place / path).read_bytes() for path in GIVEN} == {path: FILES[path] for path in GIVEN}
    assert not (place / "wheels").exists()
    assert not list((tmp_path / "home").rglob("gridtie-bundle/*"))
    assert counted(give(tmp_path, bundle, connection), changed=0)


def test_check_mode_says_that_something_would_come_and_brings_nothing(tmp_path: Path, connection: str) -> None:
    assert counted(give(tmp_path, write(tmp_path / "bundle"), connection, "--check"), changed=1)

    assert not (tmp_path / "place").exists()


def test_a_run_that_was_cut_off_before_the_end_is_finished_by_the_next(tmp_path: Path, connection: str) -> None:
    """All parts have their place, and apt has not been told of it yet."""
    bundle = write(tmp_path / "bundle")
    counted(give(tmp_path, bundle, connection), changed=1)
    (place,) = (tmp_path / "place").iterdir()
    (place / "apt.conf").unlink()
    (place / "lists/partial").rmdir()

    assert counted(give(tmp_path, bundle, connection), changed=1)
    assert (place / "apt.conf").is_file()
