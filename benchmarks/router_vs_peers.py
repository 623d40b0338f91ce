"""CPU of the router per request and per streamed chunk, beside nginx and other routers passing the same through.

`python benchmarks/router_vs_peers.py [--seconds 4] [--rounds 3] [--translated] [--peers DIRECTORY] [--json FILE]`

Proxy under test on one core, upstream and load generator on the other; loopback only; nginx with upstream keep-alive,
buffering and access log off. The figure is CPU time of the proxy's processes (user and system, all threads) divided by
what it served: less sensitive than throughput to what else the machine does, but not immune, so rounds alternate and
the median is reported. Needs nginx (`apt-get install nginx-light`) and two cores. With `--peers` the routers of
`peers.py` take part; they are installed there, which takes 1 GB.
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
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path

import peers
from load import KINDS
from stand import KEY, ROOT, cpu_seconds, free_port, pinned, resident_mb, router, upstream, wait_for

CONNECTIONS = 32
STREAMS = 150
SPACING = 0.006
CHUNKS = 200
LOGGING = "router, access log on"


def measure(
    pid: int, port: int, connections: int, seconds: float, core: int, stream: bool, kind: str = "chat"
) -> dict[str, float]:
    """One round: load for a while, and what it cost the proxy."""
    script = str(ROOT / "benchmarks" / "load.py")
    arguments = [str(port), str(connections), str(seconds), KEY, *(["stream", kind] if stream else [])]
    before = cpu_seconds(pid)
    done = subprocess.run(
        pinned(core, sys.executable, script, *arguments), capture_output=True, check=True, timeout=seconds + 30
    )
    spent = cpu_seconds(pid) - before
    told = json.loads(done.stdout)
    error = told.pop("last_error")
    if told["errors"] or not told["requests"]:
        raise SystemExit(f"{told['errors']} connections failed, the figures would mean nothing; the last one:\n{error}")
    served = told["chunks"] if stream else told["requests"]
    return {**told, "cpu_us": 1e6 * spent / served, "busy": spent / told["seconds"], "resident_mb": resident_mb(pid)}


def settle(pid: int, seconds: float = 60) -> None:
    """Until a proxy is at rest: what it still does of a round would be taken from the next one's core."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        before = cpu_seconds(pid)
        time.sleep(0.5)
        if cpu_seconds(pid) - before <= 0.03:
            return
    raise SystemExit(f"process {pid} is still at work {seconds:g} s after its round; the next figures would be wrong")


@contextmanager
def proxies(scratch: Path, back: int, core: int, others: Path | None) -> Iterator[dict[str, tuple[int, int]]]:
    """Every proxy under test: name -> (pid, port)."""
    found: dict[str, tuple[int, int]] = {}
    with ExitStack() as running:
        port = free_port()
        found["nginx"] = (running.enter_context(peers.nginx(scratch, back, port, core)).pid, port)
        for name, log in (("router", "off"), (LOGGING, "on")):
            port = free_port()
            found[name] = (running.enter_context(router(scratch, back, port, core, log)).pid, port)
        for peer in peers.PEERS if others is not None else ():
            port = free_port()
            found[peer.name] = (
                running.enter_context(peers.started(peer, others or scratch, scratch, back, port, core)).pid,
                port,
            )
        for pid, port in found.values():
            wait_for(port, 60)
            settle(pid)
        yield found


def versions(with_peers: bool) -> dict[str, str]:
    told = subprocess.run([peers.nginx_program(), "-v"], capture_output=True, text=True, check=True).stderr
    return {
        "nginx": told.strip().rpartition("/")[2],
        "python": platform.python_version(),
        "uvloop": version("uvloop"),
        "httptools": version("httptools"),
        "msgspec": version("msgspec"),
        "kernel": platform.release(),
        **{peer.name: peer.version for peer in peers.PEERS if with_peers},
    }


def median(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


def table(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """The figures for people, and how they stand against nginx."""
    lines = []
    for mode, unit, target in (("whole", "request", 4.0), ("stream", "chunk", 1.5)):
        floor = results[mode]["nginx"]["cpu_us"]
        lines.append(
            f"\n{mode}: CPU per {unit}, target at most {target:g} x nginx{', translated 2' if mode == 'stream' else ''}"
        )
        for name, figures in results[mode].items():
            rate = figures["chunks" if mode == "stream" else "requests"] / figures["seconds"]
            lines.append(
                f"  {name:24} {figures['cpu_us']:7.1f} us  {figures['cpu_us'] / floor:5.2f} x   {rate:8.0f}/s   "
                f"p50 {figures['p50_ms']:7.2f} ms   p99 {figures['p99_ms']:7.2f} ms   {figures['resident_mb']:5.0f} MB"
            )
    return "\n".join(lines)


def main() -> None:
    """Run, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=3.0, help="of load per round and proxy")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", type=Path, help="measure other routers as well, which are installed here")
    parser.add_argument("--spacing", type=float, default=SPACING, help="seconds between the chunks of a stream")
    parser.add_argument("--chunks", type=int, default=CHUNKS, help="of a stream")
    parser.add_argument("--translated", action="store_true", help="measure streams of other surfaces and targets too")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    proxy_core, load_core = sorted(os.sched_getaffinity(0))[:2]
    back = free_port()
    runs: dict[str, dict[str, list[dict[str, float]]]] = {"whole": {}, "stream": {}}
    with (
        tempfile.TemporaryDirectory(prefix="gridtie-bench-") as directory,
        upstream(back, options.spacing, options.chunks, load_core),
        proxies(Path(directory), back, proxy_core, options.peers) as under_test,
    ):
        wait_for(back)
        Path(directory).chmod(0o755)  # nginx's worker is another user
        for mode, connections in (("whole", CONNECTIONS), ("stream", STREAMS)):
            if mode == "whole":
                for pid, port in under_test.values():
                    measure(pid, port, connections, 1.0, load_core, False)  # connections, caches
            for _ in range(options.rounds):
                for name, (pid, port) in under_test.items():
                    if mode == "stream" and name == LOGGING:
                        continue  # a line per request says nothing about chunks
                    seconds = options.seconds if mode == "whole" else options.seconds + 1
                    figures = measure(pid, port, connections, seconds, load_core, mode == "stream")
                    runs[mode].setdefault(name, []).append(figures)
                    settle(pid)
                if mode == "stream" and options.translated:
                    pid, port = under_test["router"]
                    for kind in list(KINDS)[1:]:
                        figures = measure(pid, port, connections, options.seconds + 1, load_core, True, kind)
                        runs[mode].setdefault(f"router: {kind}", []).append(figures)
                        settle(pid)
    results = {mode: {name: median(rounds) for name, rounds in each.items()} for mode, each in runs.items()}
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    told = versions(options.peers is not None)
    report = {
        "date": today,
        "versions": told,
        "load_average": os.getloadavg(),
        "spacing": options.spacing,
        "results": results,
        "rounds": runs,
    }
    print(f"{today}  " + "  ".join(f"{name} {number}" for name, number in told.items()))
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; median of {options.rounds} rounds")
    print(table(results))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
