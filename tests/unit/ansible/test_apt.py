"""apt and dpkg beside others who use them: every lock is waited for, and who holds one is told."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from plugins.module_utils import gridtie_apt, gridtie_apt_locks
from plugins.module_utils.gridtie_apt import Apt, PackageError
from plugins.module_utils.gridtie_apt_locks import BusyError, holder, wait

# As apt and dpkg lock, and then for as long as told; the argument at the end is what a person would see of it.
HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "w")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


@contextmanager
def held(path: Path, seconds: float = 60) -> Iterator[int]:
    """Another process that holds a lock."""
    command = [sys.executable, "-c", HOLD, str(path), str(seconds), "http://user:secret@proxy/unattended-upgrade"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A machine's locks; the last of them was never made."""
    paths = [tmp_path / name for name in ("lock-frontend", "lists", "gone")]
    for path in paths[:2]:
        path.touch()
    monkeypatch.setattr(gridtie_apt_locks, "holder", lambda _: holder([str(path) for path in paths]))
    return paths


@pytest.mark.parametrize("which", [0, 1], ids=["dpkg's", "the lists'"])
def test_whoever_holds_a_lock_is_named_by_process_and_command_without_credentials(
    locks: list[Path], which: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gridtie_apt_locks, "_command", lambda process: f"python of {process}")
    with held(locks[which]) as process:
        found = holder([str(path) for path in locks])

    assert found == (str(locks[which]), process, f"python of {process}")


def test_a_command_that_is_shown_holds_no_credentials(locks: list[Path]) -> None:
    with held(locks[0]) as process:
        shown = gridtie_apt_locks._command(process)

    assert sys.executable in shown
    assert "secret" not in shown


def test_to_look_takes_no_lock(locks: list[Path]) -> None:
    assert holder([str(path) for path in locks]) is None

    with held(locks[0]):
        pass


def test_a_lock_is_waited_for_and_what_is_waited_for_is_told(locks: list[Path]) -> None:
    said: list[str] = []
    with held(locks[1], seconds=1.5):
        waited = wait(30, said.append)

    assert f"waiting for the package manager: {locks[1]} is held by process" in said[0]
    assert waited.startswith("waited ")
    assert str(locks[1]) in waited


def test_nothing_is_said_where_nothing_is_held(locks: list[Path]) -> None:
    said: list[str] = []

    assert wait(30, said.append) == ""
    assert said == []


def test_in_the_end_it_is_told_who_holds_the_lock_and_which_variable_waits_longer(locks: list[Path]) -> None:
    with held(locks[1]) as process, pytest.raises(BusyError) as caught:
        wait(0.2, lambda text: None)

    assert f"{locks[1]} is held by process {process} (" in str(caught.value)
    assert "gridtie_package_lock_wait_s" in str(caught.value)


def program(directory: Path, name: str, script: str) -> None:
    (directory / name).write_text(f"#!/bin/sh\n{script}\n")
    (directory / name).chmod(0o755)


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs of a directory in place of apt's and dpkg's; dpkg has nothing unfinished."""
    directory = tmp_path / "bin"
    directory.mkdir()
    program(directory, "dpkg", ":")
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
    return directory


# What apt prints for the package lists, which it never waits for by itself.
REFUSAL = "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)"


def test_a_lock_that_is_taken_between_the_look_and_the_start_is_waited_for_as_well(
    locks: list[Path], fakes: Path, tmp_path: Path
) -> None:
    program(fakes, "apt-get", f'[ -e {tmp_path}/second ] || {{ touch {tmp_path}/second; echo "{REFUSAL}"; exit 100; }}')

    Apt(lock_wait_s=30).update()

    assert (tmp_path / "second").exists()


def test_another_failure_of_apt_is_one_at_once(locks: list[Path], fakes: Path) -> None:
    program(fakes, "apt-get", "echo E: Unable to locate package; exit 100")
    began = time.monotonic()

    with pytest.raises(PackageError):
        Apt(lock_wait_s=30).update()

    assert time.monotonic() - began < 10


def test_packages_come_once_the_machine_has_done_its_own_updates(
    locks: list[Path], fakes: Path, tmp_path: Path
) -> None:
    program(fakes, "apt-get", f"echo $@ >>{tmp_path}/asked")
    told: list[str] = []

    with held(locks[1], seconds=1.5):
        Apt(lock_wait_s=30, tell=told.append).update()

    assert "update" in (tmp_path / "asked").read_text()
    assert len(told) == 1
    assert "for the package manager" in told[0]


def test_apt_is_not_started_where_a_lock_is_held_to_the_end(locks: list[Path], fakes: Path, tmp_path: Path) -> None:
    program(fakes, "apt-get", f"touch {tmp_path}/asked")

    with held(locks[0]), pytest.raises(PackageError, match="the package manager is busy"):
        Apt(lock_wait_s=0.2).update()

    assert not (tmp_path / "asked").exists()


def test_an_installation_with_an_index_of_today_asks_for_no_other(
    locks: list[Path], fakes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(fakes, "apt-get", f"echo $@ >>{tmp_path}/asked")
    monkeypatch.setattr(gridtie_apt, "_index_is_fresh", lambda: True)

    Apt().install(["hello"])

    assert "update" not in (tmp_path / "asked").read_text()
    assert "install --no-install-recommends hello" in (tmp_path / "asked").read_text()


def test_a_version_is_held_once_nobody_else_uses_the_package_manager(
    locks: list[Path], fakes: Path, tmp_path: Path
) -> None:
    program(fakes, "apt-mark", f"echo $@ >>{tmp_path}/asked")
    told: list[str] = []

    with held(locks[0], seconds=1.5):
        Apt(lock_wait_s=30, tell=told.append).hold(["nvidia-driver", "nvidia-smi"], held=True)
    Apt().hold(["nvidia-driver"], held=False)

    assert (tmp_path / "asked").read_text() == "hold nvidia-driver nvidia-smi\nunhold nvidia-driver\n"
    assert len(told) == 1


def test_packages_that_are_held_are_known_also_among_those_that_nobody_knows(fakes: Path) -> None:
    program(fakes, "dpkg-query", "echo 'nvidia-driver hold'; echo 'nvidia-smi install'; exit 1")

    assert gridtie_apt.held(["nvidia-driver", "nvidia-smi", "never-heard-of"]) == ["nvidia-driver"]
