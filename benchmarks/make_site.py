"""What a run of `make site` costs from bare, and once more with nothing to change: this checkout beside another commit.

`python benchmarks/make_site.py [--base 710d345] [--rounds N] [--again N] [--json FILE]`

Each commit gets a lab host of its own with git, make and Python, in turns. The figure is processor time of everything
on that host, by the kernel's own account: its processes, its Docker, what builds images and what runs in containers. By
stage, and by program with `--programs`. Package sources are this machine's, so Ollama is compiled.

The clock is told as well; it means something only where nothing else runs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import struct
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from python_on_whales import docker
from stand import ROOT

sys.path += [str(ROOT), str(ROOT / "tests"), str(ROOT / "src")]
from lab import image
from lab.host import Host, host
from lab.kills import STAGE

HERE = "this checkout"
BASE = "710d345"
# Where the kernel writes a line for each process that ends, of this host and of the containers on it.
_ACCOUNT = "/var/log/processes"
# struct acct_v3 of <linux/acct.h>: times are the first two of the eight comp_t, in hundredths of a second.
_RECORD = struct.Struct("<2xH5I I f 8H 16s")
# As many of the largest are told.
_PROGRAMS = 30
_CGROUPS = Path("/sys/fs/cgroup")


@dataclass
class Run:
    """One run of `make site`: processor seconds, seconds by the clock, and the former by stage."""

    cpu: float
    clock: float
    stages: dict[str, float]


@dataclass
class Round:
    """One host: the run from bare, and those after it."""

    commit: str
    load: float
    bare: Run
    again: list[Run]
    programs: dict[str, float]


class Meter:
    """Processor seconds of a lab host since it was made."""

    def __init__(self, machine: Host, nested: str) -> None:
        inspected = docker.container.inspect(machine.name)
        if (_CGROUPS / "cpuacct").is_dir():
            # What the host's own Docker runs is not below the host there, but where it was told to put it.
            self._files = [_CGROUPS / "cpuacct" / each / "cpuacct.usage" for each in (f"docker/{inspected.id}", nested)]
        else:
            path = Path(f"/proc/{inspected.state.pid}/cgroup").read_text(encoding="ascii").rpartition("::/")[2]
            self._files = [_CGROUPS / path.strip().removesuffix("/init.scope") / "cpu.stat"]

    def seconds(self) -> float:
        return sum(_usage(file) for file in self._files if file.exists())


def _usage(file: Path) -> float:
    said = file.read_text(encoding="ascii")
    if file.name == "cpu.stat":
        return int(dict(line.split() for line in said.splitlines())["usage_usec"]) / 1e6
    return int(said) / 1e9


def put(machine: Host, commit: str) -> None:
    """Another commit's files in the place of the checkout that the host was given."""
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
    machine.root("find /home/dev/gridtie -mindepth 1 -delete")
    unpack = ["docker", "exec", "-i", "--user", "dev", machine.name, "tar", "-x", "-C", "/home/dev/gridtie"]
    subprocess.run(unpack, input=archive, check=True)


@contextmanager
def bare(commit: str) -> Iterator[tuple[Host, Meter]]:
    """A machine with nothing installed, which keeps account of its processes."""
    nested = f"gridtie-site-{uuid.uuid4().hex[:8]}"
    try:
        with host(image.build(), hostname="bare", options=("--cap-add=SYS_PACCT",)) as machine:
            if commit != HERE:
                put(machine, commit)
            if (_CGROUPS / "cpuacct").is_dir():
                machine.write("/etc/docker/daemon.json", json.dumps({"cgroup-parent": f"/{nested}"}), owner="root")
            yield machine, Meter(machine, nested)
    finally:
        # Nobody else takes away the groups of a Docker that is gone.
        for group in sorted(_CGROUPS.glob(f"*/{nested}/**/"), reverse=True):
            with suppress(OSError):
                group.rmdir()


def run(machine: Host, meter: Meter) -> Run:
    """`make site` once."""
    stages: dict[str, float] = {}
    began, at_first = time.monotonic(), meter.seconds()
    at, lines = at_first, []
    with machine.start("make site") as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if ended := STAGE.match(line):
                now = meter.seconds()
                stages[ended["title"]] = round(now - at, 1)
                at = now
    if process.returncode:
        raise SystemExit("".join(lines)[-8000:])
    now = meter.seconds()
    stages["its end"] = round(now - at, 1)
    return Run(round(now - at_first, 1), round(time.monotonic() - began, 1), stages)


def account(machine: Host, switched_on: bool) -> None:
    """Have the kernel write down what each process took, or no longer."""
    path = repr(_ACCOUNT.encode()) if switched_on else "None"
    if switched_on:
        machine.root(f": > {_ACCOUNT}")
    machine.root(f'python3 -c "import ctypes; assert not ctypes.CDLL(None).acct({path})"')


def programs(machine: Host) -> dict[str, float]:
    """Processor seconds by the names of programs that have ended, the largest first."""
    raw = subprocess.run(["docker", "exec", machine.name, "cat", _ACCOUNT], check=True, capture_output=True).stdout
    return by_program(raw)


def by_program(raw: bytes) -> dict[str, float]:
    """The kernel's records, summed up."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for record in _RECORD.iter_unpack(raw[: len(raw) // _RECORD.size * _RECORD.size]):
        name = record[-1].rstrip(b"\0").decode(errors="replace")
        seconds[name] += (_hundredths(record[8]) + _hundredths(record[9])) / 100
    largest = sorted(seconds, key=seconds.__getitem__, reverse=True)[:_PROGRAMS]
    return {name: round(seconds[name], 1) for name in largest}


def _hundredths(comp_t: int) -> int:
    """The kernel's small floating point number: an exponent of 3 bits to the base 8, and 13 bits."""
    return (comp_t & 0x1FFF) << 3 * (comp_t >> 13)


def measure(commit: str, again: int) -> Round:
    load = os.getloadavg()[0]
    with bare(commit) as (machine, meter):
        account(machine, True)
        first = run(machine, meter)
        ended = programs(machine)
        account(machine, False)
        # The first has to read what it never read before.
        repeated = [run(machine, meter) for _ in range(again)]
    return Round(commit, load, first, repeated, ended)


def tell(rounds: list[Round], with_programs: bool) -> None:
    """Both, and how they compare."""
    commits = list(dict.fromkeys(each.commit for each in rounds))
    middle: dict[str, float] = {}
    for commit in commits:
        own = [each for each in rounds if each.commit == commit]
        middle[commit] = statistics.median(each.bare.cpu for each in own)
        again = [each for one in own for each in one.again]
        print(f"{commit}: from bare {_each(each.bare.cpu for each in own)} CPU s, ", end="")
        print(f"{_each(each.bare.clock for each in own)} s by the clock (load {_each(each.load for each in own)})")
        print(
            f"  again: {_each(each.cpu for each in again)} CPU s, {_each(each.clock for each in again)} s by the clock"
        )
        _table("stage", [each.bare.stages for each in own])
        _table("stage, again", [each.stages for each in again])
        if with_programs:
            _table("program", [each.programs for each in own])
    if len(commits) == 2:
        base, new = (middle[commit] for commit in commits)
        print(f"{commits[1]} takes {100 * (new / base - 1):+.1f} % of {commits[0]}'s processor time from bare")


def _table(what: str, columns: list[Mapping[str, float]]) -> None:
    """The median of each row, in the order of the first column."""
    print(f"    {what}")
    for name in dict.fromkeys(name for column in columns for name in column):
        print(f"      {name:<22} {statistics.median(column.get(name, 0.0) for column in columns):7.1f}")


def _each(numbers: Iterator[float]) -> str:
    return ", ".join(f"{number:.1f}" for number in numbers)


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default=BASE, help=f"a commit to compare with (default: {BASE}, 1.0.0); none: alone")
    parser.add_argument("--rounds", type=int, default=1, help="hosts for each commit, in turns")
    parser.add_argument("--again", type=int, default=4, help="runs with nothing to change")
    parser.add_argument("--programs", action="store_true", help="tell processor time by program")
    parser.add_argument("--json", type=Path, help="write all figures there")
    options = parser.parse_args()
    commits = [HERE] if options.base == "none" else [options.base, HERE]
    rounds = [measure(commit, options.again) for _ in range(options.rounds) for commit in commits]
    tell(rounds, options.programs)
    if options.json:
        document = json.dumps([asdict(each) for each in rounds], indent=1)
        options.json.write_text(document + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
