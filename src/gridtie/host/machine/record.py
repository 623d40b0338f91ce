"""How fast this machine's memory is, written down: a figure that was decided with does not change by itself.

A measurement of a machine that others share differs from the next one. So the first is kept, one that is asked for
later replaces it only where it differs by more than such machines do, and all who ask get the same answer: the
playbook, `gridtie fit`, and whoever may not read the firmware's list of memory modules.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Callable, Optional

from ..json_file import read_table, write_json
from .bandwidth import Bandwidth, reading_bandwidth, within_cores
from .hardware import Hardware

SCHEMA = 1
# Ten measurements of two virtual cores beside others' work differ by up to 10 % (docs/benchmarks.md).
SAME_WITHIN = 0.15
# Kernels differ in what they keep for themselves, and control groups in what they allow; a module more is more.
_SAME_MEMORY = 0.1


def beside(catalogue: Path) -> Path:
    """Where the record lies: beside the host's catalogue, which everybody on the machine may read."""
    return catalogue.with_name("machine.json")


@dataclass(frozen=True)
class SpeedRecord:
    """The file, and whether what is found is written into it (where its directory is there and may be written)."""

    path: Path
    write: bool = False

    def bandwidth(self, machine: Hardware) -> Optional[Bandwidth]:
        """What was found of this machine; None where nothing was, or of another one (the disk moved, memory added)."""
        document = read_table(self.path)
        try:
            of, found = document["machine"], document["bandwidth"]
            same = document["schema"] == SCHEMA and of["processor"] == machine.processor.model
            same = same and of["cores"] == machine.processor.count
            same = same and abs(of["memory"] / machine.memory.total - 1) <= _SAME_MEMORY
            return Bandwidth(float(found["bytes_per_second"]), str(found["source"])) if same else None
        except (KeyError, TypeError, ValueError, ZeroDivisionError):
            return None

    def keep(self, machine: Hardware, found: Bandwidth) -> None:
        """Write it down, where that is allowed."""
        if not self.write or not self.path.parent.is_dir():
            return
        processor = machine.processor
        of = {"processor": processor.model, "cores": processor.count, "memory": machine.memory.total}
        with suppress(OSError):
            write_json(self.path, {"schema": SCHEMA, "machine": of, "bandwidth": asdict(found)})
            # As the catalogue beside it, whatever root's umask is.
            self.path.chmod(0o644)


def steady_bandwidth(
    machine: Hardware, record: Optional[SpeedRecord], measure: Callable[[], Optional[float]], again: bool = False
) -> Bandwidth:
    """What the engine reads on this machine's processors: as it was written down, else as its memory modules say, else
    as measured; never more than its cores compute with.
    """
    kept = record.bandwidth(machine) if record else None
    if kept and not again:
        return kept
    found = machine.bandwidth
    if found is None:
        rate = measure()
        found = reading_bandwidth(rate) if rate else None
    found = within_cores(found, machine.processor.count)
    if kept and abs(found.bytes_per_second / kept.bytes_per_second - 1) <= SAME_WITHIN:
        return kept
    if record:
        record.keep(machine, found)
    return found
