"""Earlier releases of this project, as this clone's history has them."""

from __future__ import annotations

import subprocess

from lab.host import CHECKOUT

# By the commit that was released; there are no tags.
RELEASES = {"1.0.0": "710d345"}


def archive(version: str) -> bytes:
    """The files of a release as a tar archive. Raises LookupError where this clone lacks them."""
    commit = RELEASES[version]
    made = subprocess.run(["git", "archive", "--format=tar", commit], cwd=CHECKOUT, capture_output=True, check=False)
    if made.returncode:
        raise LookupError(
            f"the commit {commit}, which is gridtie {version}, is not in this clone ({made.stderr.decode().strip()}); "
            "a clone with its whole history is wanted: git fetch --unshallow"
        )
    return made.stdout
