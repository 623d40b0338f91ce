#!/usr/bin/env python3
"""Have the distribution's PostgreSQL for tests: unpacked below .cache, since installing it starts a service."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# As tests/standins/postgresql.py looks for it.
PLACE = Path(__file__).resolve().parents[1] / ".cache" / "postgresql"
PROGRAMS = "usr/lib/postgresql/*/bin/initdb"
REFRESH = [] if shutil.which("sudo") is None else ["sudo"]


def there() -> bool:
    """Whether the server's programs are here, the machine's own or those that were unpacked."""
    return any(Path("/").glob(PROGRAMS)) or any(PLACE.glob(PROGRAMS))


def packages() -> list[str]:
    """The server and what it needs of what this machine lacks, as apt would install them; none where it cannot."""
    found = subprocess.run(
        ["apt-get", "install", "-s", "--no-install-recommends", "postgresql"],
        capture_output=True,
        text=True,
        check=False,
    )
    return re.findall(r"^Inst (\S+)", found.stdout, re.MULTILINE)


def unpack() -> bool:
    """Download the packages and take them apart; whether that worked."""
    with tempfile.TemporaryDirectory() as scratch:
        names = packages()
        if not names or subprocess.run(["apt-get", "download", "-q", *names], cwd=scratch, check=False).returncode:
            # Lists that are missing, or older than what the archive still has.
            subprocess.run([*REFRESH, "apt-get", "-q", "update"], check=False)
            names = packages()
            if not names or subprocess.run(["apt-get", "download", "-q", *names], cwd=scratch, check=False).returncode:
                return False
        for package in Path(scratch).glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, PLACE], check=True)
    return there()


def main() -> int:
    """Exit status 0 once it is there."""
    if there() or unpack():
        return 0
    sys.stderr.write("no PostgreSQL: `apt-get download` of it failed; install postgresql, or mend apt's sources\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
