"""A command in Docker's place that says what it would of the router, and runs the program of `docker run` here."""

from __future__ import annotations

import sys
from pathlib import Path

STATION = {"router_container": "router-1"}
_SCRIPT = """#!/bin/sh
case $1 in
  inspect) echo "sha256:1 65532:65532"; exit ;;
  info) echo "[]"; exit ;;
esac
echo "$@" >> "{asked}"
while [ "$1" != "sha256:1" ]; do shift; done
shift
exec {python} "$@"
"""


def place_docker(directory: Path) -> tuple[str, Path]:
    """Write it; gives a PATH that has it first, and the file that gets its command lines."""
    program, asked = directory / "bin" / "docker", directory / "asked"
    program.parent.mkdir()
    program.write_text(_SCRIPT.format(asked=asked, python=sys.executable))
    program.chmod(0o755)
    return f"{program.parent}:/usr/bin:/bin", asked
