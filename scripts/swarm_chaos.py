#!/usr/bin/env python3
"""Break a Swarm of several routers in every way under load, and write what came of it: `--json FILE`.

That is tests/scale/test_swarm.py on hosts of the lab; `make record NAMES=chaos` keeps the file for docs/replicas.md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Pytest's exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, metavar="FILE")
    file = parser.parse_args().json.resolve()
    tests = [sys.executable, "-m", "pytest", "-q", "-n", "0", "--timeout", "1800", "tests/scale/test_swarm.py"]
    return subprocess.run(tests, cwd=ROOT, env={**os.environ, "GRIDTIE_CHAOS": str(file)}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
