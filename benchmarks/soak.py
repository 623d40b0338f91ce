"""The router's memory over a long time under streams.

`python benchmarks/soak.py [--minutes 60] [--viewers 10] [--scrape 1s] [--json FILE]`

150 streams, each begun again when it has ended: about 30 requests and 3,000 chunks a second. Once a minute the resident
memory is read. The first ten minutes are left out of the slope: caches fill and pools grow until then.

`--viewers`: so many people have the dashboard open meanwhile. `--scrape`: a Prometheus scrapes that often (the
machine's own, or the one that `scripts/prometheus.py` unpacks). At the end the ledger is held against what was
answered, and Prometheus' count against the ledger.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from stand import KEY, ROOT, VIEWERS_KEYS, free_port, pinned, resident_mb, router, upstream, wait_for

sys.path += [str(ROOT / "tests"), str(ROOT / "src")]
from standins.prometheus import Prometheus, prometheus

STREAMS = 150
SPACING = 0.05
CHUNKS = 100
SETTLED = 10  # minutes
# Until the last rows are in the ledger, and were scraped.
SETTLE_SECONDS = 10


def slope(samples: list[dict[str, float]]) -> float | None:
    """Megabytes an hour, by least squares, once settled; None where there is too little to tell."""
    settled = [each for each in samples if each["minute"] >= SETTLED]
    if len(settled) < 3:
        return None
    hours, resident = [each["minute"] / 60 for each in settled], [each["resident_mb"] for each in settled]
    return round(statistics.linear_regression(hours, resident).slope, 2)


def rows(directory: Path) -> dict[str, int]:
    """How many rows the ledger has: answered to the end, and left by the client, which ends with streams under way."""
    (path,) = directory.rglob("ledger.sqlite")
    query = "SELECT sum(complete), sum(NOT complete) FROM requests"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as ledger:
        complete, left = ledger.execute(query).fetchone()
    return {"complete": complete, "left": left}


def scraped(server: Prometheus) -> dict[str, float]:
    """How often it scraped, how often that failed, and how many requests it knows of."""
    queries = {
        "scrapes": "count_over_time(up[2h])",
        "failed": "count_over_time(up[2h]) - sum_over_time(up[2h])",
        "requests": "sum(gridtie_requests_total)",
    }
    return {name: server.query(query)[0][1] for name, query in queries.items()}


def soak(minutes: int, viewers: int, scrape: str) -> dict[str, Any]:
    """Run, print a line a minute; the figures."""
    router_core, load_core = sorted(os.sched_getaffinity(0))[:2]
    back, port = free_port(), free_port()
    benchmarks, seconds = ROOT / "benchmarks", str(minutes * 60)
    load = [sys.executable, str(benchmarks / "load.py"), str(port), str(STREAMS), seconds, KEY, "--stream"]
    watch = [sys.executable, str(benchmarks / "viewers.py"), str(port), str(viewers), seconds, *VIEWERS_KEYS]
    target = {"targets": [f"127.0.0.1:{port}"], "labels": {"__metrics_path__": "/metrics"}}
    samples: list[dict[str, float]] = []
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gridtie-soak-")))
        answering = stack.enter_context(upstream(back, SPACING, CHUNKS, load_core))
        served = stack.enter_context(router(directory, back, port, router_core))
        wait_for(back)
        wait_for(port)
        time.sleep(1.0)
        scraping = (
            stack.enter_context(prometheus(directory / "prometheus", [target], interval=scrape)) if scrape else None
        )
        started = time.monotonic()
        asking, *watching = [
            stack.enter_context(subprocess.Popen(pinned(load_core, *command), stdout=subprocess.PIPE))
            for command in ([load, watch] if viewers else [load])
        ]
        for minute in range(minutes):
            time.sleep(max(0.0, started + 60 * minute + 30 - time.monotonic()))
            if any(each.poll() is not None for each in (answering, served, asking, *watching)):
                raise SystemExit("upstream, router, load or viewers ended early; the figures would mean nothing")
            samples.append({"minute": minute + 0.5, "resident_mb": round(resident_mb(served.pid), 1)})
            print(f"{minute + 0.5:5.1f} min  {samples[-1]['resident_mb']:6.1f} MB", flush=True)
        found: dict[str, Any] = {"load": json.loads(asking.communicate()[0])}
        for each in watching:
            found["viewers"] = json.loads(each.communicate()[0])
        time.sleep(SETTLE_SECONDS)
        if scraping is not None:
            found["prometheus"] = {"interval": scrape, **scraped(scraping)}
        found["ledger"] = rows(directory)
    return found | {"slope_mb_per_hour": slope(samples), "samples": samples}


def faults(found: dict[str, Any]) -> list[str]:
    """Why the figures mean nothing, or what was lost."""
    asked, kept = found["load"], found["ledger"]
    lost = [f"{asked['errors']} connections failed; the last: {asked['last_error']}"] if asked["errors"] else []
    if kept["complete"] < asked["requests"] or sum(kept.values()) > asked["requests"] + STREAMS:
        lost.append(f"the ledger has {kept}, and {asked['requests']} were answered")
    if found.get("viewers", {}).get("errors"):
        lost.append(f"{found['viewers']['errors']} times a viewer's page failed: {found['viewers']['failures']}")
    told = found.get("prometheus")
    if told and (told["failed"] or told["requests"] != sum(kept.values())):
        lost.append(f"Prometheus has {told}, the ledger {kept}")
    return lost


def main() -> None:
    """Run, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--viewers", type=int, default=0, help="people who have the dashboard open")
    parser.add_argument("--scrape", default="", help="how often a Prometheus scrapes, as 1s; none without it")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    report = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "python": platform.python_version(),
        "streams": STREAMS,
        **soak(options.minutes, options.viewers, options.scrape),
    }
    told = report["load"]
    print(
        f"{told['requests']:,} requests, {told['chunks']:,} chunks, {told['errors']} errors; "
        f"slope after the first {SETTLED} minutes: {report['slope_mb_per_hour']} MB an hour"
    )
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    if lost := faults(report):
        raise SystemExit("\n".join(lost))


if __name__ == "__main__":
    main()
