#!/usr/bin/env python3
"""Write the pictures of the dashboard in docs/pictures, from a real router and a real Chromium.

tests/integration/test_dashboard.py takes the same pictures; look at them before they are committed.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from standins.dashboard_shots import shots  # noqa: E402


def main() -> None:
    """Take all of them."""
    with tempfile.TemporaryDirectory() as directory:
        for name, png in shots(Path(directory)):
            (ROOT / "docs" / "pictures" / name).write_bytes(png)
            sys.stdout.write(f"docs/pictures/{name}: {len(png) // 1000} kB\n")


if __name__ == "__main__":
    main()
