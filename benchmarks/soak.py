"""The router's memory over a long time under streams.

`python benchmarks/soak.py [--minutes 60] [--json FILE]`

150 streams, each begun again when it has ended: about 30 requests and 3,000 chunks a second. Once a minute the resident
memory is read. The first ten minutes are left out of the slope: caches fill and pools grow until then.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stand import KEY, ROOT, free_port, pinned, resident_mb, router, upstream, wait_for

STREAMS = 150
SPACING = 0.05
CHUNKS = 100
SETTLED = 10  # minutes


def slope(samples: list[dict[str, float]]) -> float | None:
    """Megabytes an hour, by least squares, once settled; None where there is too little to tell."""
    settled = [each for each in samples if each["minute"] >= SETTLED]
    if len(settled) < 3:
        return None
    hours, resident = [each["minute"] / 60 for each in settled], [each["resident_mb"] for each in settled]
    return round(statistics.linear_regression(hours, resident).slope, 2)


def main() -> None:
    """Run, print a line a minute, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    router_core, load_core = sorted(os.sched_getaffinity(0))[:2]
    back, port = free_port(), free_port()
    load = [sys.executable, str(ROOT / "benchmarks/load.py"), str(port), str(STREAMS), str(options.minutes * 60), KEY]
    samples: list[dict[str, float]] = []
    with (
        tempfile.TemporaryDirectory(prefix="gridtie-soak-") as directory,
        upstream(back, SPACING, CHUNKS, load_core),
        router(Path(directory), back, port, router_core) as served,
    ):
        wait_for(back)
        wait_for(port)
        time.sleep(1.0)
        started = time.monotonic()
        with subprocess.Popen(pinned(load_core, *load, "--stream"), stdout=subprocess.PIPE) as asking:
            for minute in range(options.minutes):
                time.sleep(max(0.0, started + 60 * minute + 30 - time.monotonic()))
                samples.append({"minute": minute + 0.5, "resident_mb": round(resident_mb(served.pid), 1)})
                print(f"{minute + 0.5:5.1f} min  {samples[-1]['resident_mb']:6.1f} MB", flush=True)
            told = json.loads(asking.communicate()[0])
    report = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "python": platform.python_version(),
        "streams": STREAMS,
        "load": told,
        "slope_mb_per_hour": slope(samples),
        "samples": samples,
    }
    print(
        f"{told['requests']:,} requests, {told['chunks']:,} chunks, {told['errors']} errors; "
        f"slope after the first {SETTLED} minutes: {report['slope_mb_per_hour']} MB an hour"
    )
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    if told["errors"]:
        raise SystemExit(f"connections failed, the figures mean nothing; the last one:\n{told['last_error']}")


if __name__ == "__main__":
    main()
