"""The sandbox holds, tried from inside with the station's own image."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gridtie.host import sandbox
from gridtie.host.sandbox import Limits, Sandbox
from integration.station import Station


@pytest.fixture(scope="module")
def box(station: Station) -> Sandbox:
    """The station's own sandbox."""
    return sandbox.find(station.config)


@pytest.mark.parametrize(
    ("attempt", "refusal"),
    [
        ("import socket; socket.create_connection(('192.0.2.1', 80), 2)", "OSError"),
        ("import socket; socket.getaddrinfo('example.org', 80)", "gaierror"),
        ("open('/etc/x', 'w')", "OSError"),
        ("open('/x', 'w')", "OSError"),
        ("open('/etc/shadow').read()", "PermissionError"),
        ("import os; os.setuid(0)", "PermissionError"),
        ("import os; os.kill(1, 9); print(open('/proc/1/status').read()); raise SystemExit('alive')", "alive"),
        ("import os\nfor n in range(200): os.fork() or os._exit(__import__('time').sleep(3))", "BlockingIOError"),
    ],
)
def test_what_is_forbidden_does_not_work(box: Sandbox, attempt: str, refusal: str) -> None:
    """Network, files, other users, the clock that limits it, and a flood of processes."""
    program = (
        f"try:\n    exec({attempt!r})\nexcept BaseException as e:\n    print(type(e).__name__, type(e).__mro__, e)"
    )

    assert refusal in box.run(program).stdout


def test_it_runs_as_nobody_without_capabilities_or_new_privileges(box: Sandbox) -> None:
    """The kernel's own account of the process."""
    status = box.run("print(open('/proc/self/status').read())").stdout
    fields = {line.partition(":")[0]: line.partition(":")[2].split() for line in status.splitlines()}

    assert fields["Uid"] == ["65534"] * 4
    assert {fields[name][0] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert fields["NoNewPrivs"] == ["1"]


def test_a_program_that_eats_memory_is_killed(box: Sandbox) -> None:
    """The limit is the container's, not the machine's."""
    assert box.run("x = [bytearray(2**20) for _ in range(10**6)]").ending == "killed"


def test_an_endless_program_is_stopped(box: Sandbox) -> None:
    """What it printed before is kept."""
    execution = replace(box, limits=Limits(seconds=3)).run("print('here', flush=True)\nwhile True: pass")

    assert (execution.ending, execution.stdout) == ("timed out", "here\n")


def test_a_flood_of_output_is_cut(box: Sandbox) -> None:
    """Nobody's memory is filled by printing."""
    execution = replace(box, limits=Limits(output_bytes=5000)).run("while True: print('x' * 1000)")

    assert (execution.ending, len(execution.stdout)) == ("too much output", 5000)


def test_one_execution_leaves_nothing_to_the_next(box: Sandbox) -> None:
    """Each has a container of its own."""
    box.run("open('/tmp/note', 'w').write('x')")

    assert box.run("import os; print(os.path.exists('/tmp/note'))").stdout == "False\n"
