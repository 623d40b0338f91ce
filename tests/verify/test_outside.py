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


def test_the_engine_publishes_no_port(machine: Any) -> None:
    ports = machine.inspect(machine.engine)["NetworkSettings"]["Ports"] or {}
    assert [bindings for bindings in ports.values() if bindings] == []


def _connects(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with closing(socket.socket(family)) as probe:
        probe.settimeout(_PATIENCE)
        return probe.connect_ex((address, port)) == 0


@pytest.fixture(params=["router", "engine"])
def container(request: pytest.FixtureRequest, machine: Any) -> str:
    return str(getattr(machine, request.param))


def test_its_processes_have_no_capabilities_and_can_gain_none(machine: Any, container: str) -> None:
    _, status = machine.inside(container, "cat /proc/1/status")
    told = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {name: int(told[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == dict.fromkeys(
        ("CapEff", "CapPrm", "CapBnd"), 0
    )
    assert told["NoNewPrivs"] == "1"


def test_it_does_not_run_as_root(machine: Any, container: str) -> None:
    """Root of the machine, that is: a rootless Docker maps its containers' root to an ordinary user."""
    _, status = machine.inside(container, "cat /proc/1/status")
    uids = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
    _, ranges = machine.inside(container, "cat /proc/1/uid_map")
    assert 0 not in {_outside(int(uid), ranges) for uid in uids}


def _outside(uid: int, ranges: str) -> int:
    """The user's number on the machine; a line of uid_map holds first inside, first outside, how many."""
    for first, outside, count in (map(int, line.split()) for line in ranges.splitlines()):
        if first <= uid < first + count:
            return outside + uid - first
    pytest.fail(f"user {uid} is in no range of {ranges!r}", pytrace=False)


@pytest.mark.parametrize("path", ["/gridtie-was-here", "/etc/gridtie-was-here", "/usr/gridtie-was-here"])
def test_its_file_system_cannot_be_written(machine: Any, container: str, path: str) -> None:
    status, said = machine.inside(container, f"touch {path}")
    assert status != 0
    assert "Read-only file system" in said


def test_its_memory_and_processes_are_limited(machine: Any, container: str) -> None:
    limits = machine.inspect(container)["HostConfig"]
    assert limits["Memory"] > 0
    assert limits["PidsLimit"] > 0


def test_the_engine_is_on_networks_that_lead_nowhere(machine: Any) -> None:
    names = machine.inspect(machine.engine)["NetworkSettings"]["Networks"]
    assert names
    assert all(machine.inspect(name)["Internal"] for name in names)
