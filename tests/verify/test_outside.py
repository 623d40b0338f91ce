"""What only an outsider can see: closed ports, and what a process in the containers really can do."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import Any

import pytest

# Seconds for a connection that must not come about.
_PATIENCE = 3.0


def test_the_router_listens_on_loopback(machine: Any) -> None:
    assert machine.host.socket(f"tcp://127.0.0.1:{machine.port}").is_listening


def test_no_other_machine_reaches_the_router(machine: Any) -> None:
    reached = [address for address in machine.addresses() if _connects(address, machine.port)]
    assert reached == []


def _connects(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with closing(socket.socket(family)) as probe:
        probe.settimeout(_PATIENCE)
        return probe.connect_ex((address, port)) == 0


@pytest.fixture(params=["router", "engine"])
def part(request: pytest.FixtureRequest, machine: Any) -> Any:
    """An Ollama that was here before the station keeps its own settings, so nothing is promised of it."""
    if request.param == "engine" and machine.station["engine"].get("adopted"):
        pytest.skip("the engine was here before the station and stays as it is")
    return machine.part(request.param)


def test_its_processes_have_no_capabilities_and_can_gain_none(part: Any) -> None:
    told = dict(line.split(":\t", 1) for line in part.read("status").splitlines() if ":\t" in line)
    assert {name: int(told[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == dict.fromkeys(
        ("CapEff", "CapPrm", "CapBnd"), 0
    )
    assert told["NoNewPrivs"] == "1"


def test_it_does_not_run_as_root(part: Any) -> None:
    """Root of the machine, that is: a rootless Docker maps its containers' root to an ordinary user."""
    uids = next(line for line in part.read("status").splitlines() if line.startswith("Uid:")).split()[1:]
    ranges = part.read("uid_map")
    assert 0 not in {_outside(int(uid), ranges) for uid in uids}


def _outside(uid: int, ranges: str) -> int:
    """The user's number on the machine; a line of uid_map holds first inside, first outside, how many."""
    for first, outside, count in (map(int, line.split()) for line in ranges.splitlines()):
        if first <= uid < first + count:
            return outside + uid - first
    pytest.fail(f"user {uid} is in no range of {ranges!r}", pytrace=False)


@pytest.mark.parametrize("path", ["/gridtie-was-here", "/etc/gridtie-was-here", "/usr/gridtie-was-here"])
def test_its_file_system_cannot_be_written(part: Any, path: str) -> None:
    status, said = part.touch(path)
    assert status != 0
    assert "Read-only file system" in said


def test_its_memory_and_processes_are_limited(part: Any) -> None:
    memory, processes = part.limits()
    assert memory > 0
    assert processes > 0


def test_the_engine_has_no_way_out_and_nobody_a_way_in(machine: Any) -> None:
    if machine.station["engine"].get("adopted"):
        pytest.skip("the engine was here before the station and stays as it is")
    assert machine.part("engine").ways_out() == []
