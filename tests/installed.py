"""The collection as its users have it: a tarball, installed into a directory, without a checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
GALAXY = Path(sys.executable).with_name("ansible-galaxy")


def build(directory: Path) -> Path:
    """Make the tarball in this directory; its path."""
    _run(["collection", "build", str(CHECKOUT), "--output-path", str(directory)], directory)
    (made,) = directory.glob("*.tar.gz")
    return made


def install(tarball: Path, directory: Path) -> Path:
    """Install it below this directory, where no network is needed; the collection's own directory."""
    _run(["collection", "install", str(tarball), "-p", str(directory), "--offline"], directory)
    return directory / "ansible_collections/gridtie/gridtie"


def environment(home: Path) -> dict[str, str]:
    """Variables of somebody who knows nothing of the checkout: neither its ansible.cfg nor its package."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHON", "GRIDTIE_"))
    }
    own = {"HOME": str(home), "ANSIBLE_HOME": str(home / ".ansible"), "ANSIBLE_COLLECTIONS_PATH": str(home)}
    return {**kept, **own, "LC_ALL": "C.UTF-8"}


def _run(arguments: list[str], home: Path) -> None:
    done = subprocess.run(
        [GALAXY, *arguments], cwd=home, env=environment(home), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
