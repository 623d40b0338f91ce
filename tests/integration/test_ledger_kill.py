"""A router that is killed loses no row that it had recorded, and has none twice. Real processes, real `kill -9`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gridtie.ledger.store import SqliteStore
from standins.ledger import open_ledger

ROOT = Path(__file__).parents[2]

# Says each id on its own unbuffered line once `record` has returned: what it has said, a client may have seen.
WRITER = """
import itertools, os, sys
from pathlib import Path
from standins.ledger import CLOUD, cloud, local, open_ledger

ledger = open_ledger(Path(sys.argv[1]))
for number in itertools.count():
    id = f"{sys.argv[2]}-{number}"
    if number % 3 == 0:
        ledger.begin(id, CLOUD, 1.0)
        ledger.record(cloud(id))
    else:
        ledger.record(local(id))
    os.write(1, id.encode() + b"\\n")
"""


def killed_under_load(state_dir: Path, name: str, after: int) -> list[str]:
    """Run a recording process, kill it once it has said `after` ids, and return the whole lines it had said."""
    environ = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}"}
    command = [sys.executable, "-c", WRITER, str(state_dir), name]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = b""
        deadline = time.monotonic() + 60
        while said.count(b"\n") < after and time.monotonic() < deadline:
            said += os.read(process.stdout.fileno(), 65536)
        process.send_signal(signal.SIGKILL)
        said += process.stdout.read()
    assert process.returncode == -signal.SIGKILL
    return said[: said.rindex(b"\n")].decode().split("\n")


def ids(state_dir: Path) -> list[str]:
    return [row["id"] for row in SqliteStore(state_dir / "ledger" / "ledger.sqlite").rows("SELECT id FROM requests")]


# Soon after the start, in the midst of draining, and after segments have turned over (about 7000 rows each).
@pytest.mark.parametrize("after", [1, 400, 9000])
def test_every_recorded_row_survives_kill_9_once(tmp_path: Path, after: int) -> None:
    said = killed_under_load(tmp_path, "first", after)
    said += killed_under_load(tmp_path, "second", after)
    open_ledger(tmp_path).close()
    kept = ids(tmp_path)
    assert len(kept) == len(set(kept))
    assert set(said) <= set(kept)
    # Of each process at most the one row that it had written and not yet spoken of.
    assert len(set(kept) - set(said)) <= 2


def test_the_journal_is_empty_once_the_next_process_has_replayed_and_ended(tmp_path: Path) -> None:
    killed_under_load(tmp_path, "first", 50)
    open_ledger(tmp_path).close()
    assert list((tmp_path / "ledger" / "journal").glob("*.log")) == []
