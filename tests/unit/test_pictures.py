"""The pictures of docs/pictures show what the commands print today."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_pictures_are_what_the_commands_print_today() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/pictures.py", "--check"], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
