#!/usr/bin/env python3
"""Have the distribution's Prometheus for tests: unpacked below .cache, since installing it starts a service."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# As tests/standins/prometheus.py looks for it.
PLACE = Path(__file__).resolve().parents[1] / ".cache" / "prometheus"
PROGRAMS = ("prometheus", "promtool")
REFRESH = [] if shutil.which("sudo") is None else ["sudo"]


def there() -> bool:
    """Whether both programs are here, the machine's own or those that were unpacked."""
    return all(shutil.which(name) or (PLACE / name).is_file() for name in PROGRAMS)


def unpack() -> bool:
    """Download the package and take it apart; whether that worked."""
    with tempfile.TemporaryDirectory() as scratch:
        download = ["apt-get", "download", "-q", "prometheus"]
        if subprocess.run(download, cwd=scratch, check=False).returncode:
            # Lists that are missing, or older than what the archive still has.
            subprocess.run([*REFRESH, "apt-get", "-q", "update"], check=False)
            if subprocess.run(download, cwd=scratch, check=False).returncode:
                return False
        (package,) = Path(scratch).glob("prometheus_*.deb")
        subprocess.run(["dpkg", "-x", package, scratch], check=True)
        PLACE.mkdir(parents=True, exist_ok=True)
        for name in PROGRAMS:
            shutil.copy2(Path(scratch) / "usr" / "bin" / name, PLACE / name)
    return there()


def main() -> int:
    """Exit status 0 once both programs are there."""
    if there() or unpack():
        return 0
    sys.stderr.write("no Prometheus: `apt-get download prometheus` failed; install prometheus, or mend apt's sources\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
