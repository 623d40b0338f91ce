"""A stand-in for a cloud, behind a router of its own: the station and its ledger know nothing of it.

The program is part of the project's tests (`tests/standins/demo_cloud.py`), and so is there where the project's
checkout is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gridtie.bench.errors import BenchError

_CHECKOUT = Path(__file__).parents[3]
_STOP_S = 10.0


@dataclass(frozen=True)
class Standin:
    """The router in front of it: where it is, whose key opens it, where its configuration lies."""

    url: str
    key: str
    config: Path


@contextmanager
def running() -> Iterator[Standin]:
    """Start it, and end it afterwards. Raises `BenchError` where it does not start."""
    tests = _CHECKOUT / "tests"
    if not (tests / "standins" / "demo_cloud.py").exists():
        raise BenchError(f"the stand-in is part of a checkout and not in {_CHECKOUT}; name a cloud with --cloud")
    with tempfile.TemporaryDirectory(prefix="gridtie-standin-") as directory:
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join((str(_CHECKOUT / "src"), str(tests)))}
        process = subprocess.Popen(
            [sys.executable, "-B", "-m", "standins.demo_cloud", directory],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C goes to this process only.
            start_new_session=True,
        )
        try:
            try:
                found = json.loads(process.stdout.readline() if process.stdout else b"")
            except ValueError:
                raise BenchError("the stand-in does not start; what it says stands above") from None
            yield Standin(found["url"], found["key"], Path(found["config"]))
        finally:
            # It ends when nobody holds its input any more, also after this process was killed.
            process.communicate(timeout=_STOP_S)
