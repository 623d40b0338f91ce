"""CPU of the router per request and per streamed chunk, beside nginx and other routers passing the same through.

`python benchmarks/router_vs_peers.py [--rounds 3] [--translated] [--peers DIRECTORY] [--beside CHECKOUT] [--json FILE]`

Proxy under test on one core, upstream and load generator on the other; loopback only; nginx with upstream keep-alive,
buffering and access log off. The figure is CPU time of the proxy's processes (user and system, all threads) divided by
what it served: less sensitive than throughput to what else the machine does, but not immune, so rounds alternate, and
the median is reported with the least and the most. Needs nginx (`apt-get install nginx-light`) and two cores. With
`--peers` the routers of `peers.py` take part; they are installed there, which takes 1 GB.

The modes: `whole`, requests of 1 KB; `stream`, 150 streams at a time; `half`, requests by the clock at half of what
each answered in `whole`, and how much later its 99th percentile comes than upstream's own at that rate.
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
from typing import Any

import peers
from load import KINDS
from peers import Served
from stand import KEY, ROOT, cpu_seconds, cpu_times, free_port, pinned, resident_mb, router, upstream, wait_for

CONNECTIONS = 32
STREAMS = 150
SPACING = 0.006
CHUNKS = 200
LOGGING = "router, access log on"
OURS = "router"
TRANSLATED = tuple(KINDS)[1:]
MODES = ("whole", "stream", "half")
# What is shown of a mode: its unit, and how many times nginx it may take at most.
TARGETS = {"whole": ("request", 3.5), "stream": ("chunk", 1.4)}

Figures = dict[str, float]
# By mode and name: a round each.
Runs = dict[str, dict[str, list[Figures]]]


class Unserved(Exception):
    """A proxy did not answer what it was asked."""


def load(port: int, core: int, connections: int, seconds: float, *options: str) -> subprocess.Popen[bytes]:
    """The load generator, begun."""
    script = str(ROOT / "benchmarks" / "load.py")
    command = pinned(core, sys.executable, script, str(port), str(connections), str(seconds), KEY, *options)
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def counted(asking: subprocess.Popen[bytes], seconds: float) -> Figures:
    """What the load generator counted. Raises `Unserved`."""
    try:
        told = json.loads(asking.communicate(timeout=seconds + 30)[0] or b"{}")
    except subprocess.TimeoutExpired:
        asking.kill()
        asking.wait()
        raise Unserved("it did not come to an end") from None
    error = told.pop("last_error", "the load generator failed")
    if told.get("errors", 1) or not (told["requests"] or told["chunks"]):
        raise Unserved(error.partition("\r\n")[0] or "nothing was answered")
    return told  # type: ignore[no-any-return]


def measure(served: Served, connections: int, seconds: float, core: int, *options: str) -> Figures:
    """One round: load for a while, and what it cost the proxy. Raises `Unserved`."""
    before = cpu_times(served.pid)
    with load(served.port, core, connections, seconds, *served.asked, *options) as asking:
        time.sleep(0.8 * seconds)
        resident = resident_mb(served.pid)
        told = counted(asking, seconds)
    after = cpu_times(served.pid)
    user, system = after.user - before.user, after.system - before.system
    units = told["chunks"] if "--stream" in options else told["requests"]
    return {
        **told,
        "cpu_us": 1e6 * (user + system) / units,
        "user_us": 1e6 * user / units,
        "system_us": 1e6 * system / units,
        "busy": (user + system) / told["seconds"],
        "resident_mb": resident,
    }


def settle(pid: int, seconds: float = 180) -> None:
    """Until a proxy is at rest: what it still does of a round would be taken from the next one's core."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        before = cpu_seconds(pid)
        time.sleep(0.5)
        if cpu_seconds(pid) - before <= 0.03:
            return
    raise SystemExit(f"process {pid} is still at work {seconds:g} s after its round; the next figures would be wrong")


@contextmanager
def proxies(
    scratch: Path, back: int, core: int, others: Path | None, beside: list[Path]
) -> Iterator[dict[str, Served]]:
    """Every proxy under test, by name."""
    found: dict[str, Served] = {}
    with ExitStack() as running:
        port = free_port()
        found["nginx"] = Served(running.enter_context(peers.nginx(scratch, back, port, core)).pid, port)
        ours = {OURS: ("off", ROOT), **{f"{OURS} of {place.name}": ("off", place) for place in beside}}
        if not beside:
            ours[LOGGING] = ("on", ROOT)
        for name, (log, source) in ours.items():
            port = free_port()
            started = running.enter_context(router(scratch, back, port, core, log, source))
            found[name] = Served(started.pid, port, translates=TRANSLATED)
        for peer in peers.PEERS if others is not None else ():
            found[peer.name] = running.enter_context(
                peers.started(peer, others or scratch, scratch, back, free_port(), core)
            )
        for served in found.values():
            wait_for(served.port, 60)
            settle(served.pid)
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


class Bench:
    """Rounds of all proxies, one after the other."""

    def __init__(self, under_test: dict[str, Served], back: int, core: int, seconds: float, translated: bool) -> None:
        self.runs: Runs = {}
        # By mode and name: what a peer answered that does not do it.
        self.failed: dict[str, dict[str, str]] = {}
        self._under_test = under_test
        self._back = back
        self._core = core
        self._seconds = seconds
        self._translated = translated

    def warm_up(self) -> None:
        """Connections and caches."""
        for name, served in self._under_test.items():
            self._round("whole", name, served, CONNECTIONS, 1.0)
        # What was not answered in so short a time may be in a longer one.
        self.runs.clear()
        self.failed.clear()

    def round(self, mode: str, number: int) -> None:
        """One of each, each time with another one first."""
        names = list(self._under_test)
        first = number % len(names)
        for name in names[first:] + names[:first]:
            served = self._under_test[name]
            if name == LOGGING and mode != "whole":
                continue  # a line per request says nothing about chunks
            if mode == "whole":
                self._round(mode, name, served, CONNECTIONS, self._seconds)
            elif mode == "half":
                self._half(name, served)
            else:
                self._round(mode, name, served, STREAMS, self._seconds + 1, "--stream")
                for kind in served.translates if self._translated else ():
                    options = ("--stream", "--kind", kind)
                    self._round(mode, f"{name}: {kind}", served, STREAMS, self._seconds + 1, *options)

    def _half(self, name: str, served: Served) -> None:
        """How much later answers come at half load than upstream's own at that rate."""
        if name in self.failed.get("whole", {}):
            return
        whole = self.runs["whole"][name]
        rate = statistics.median(each["requests"] / each["seconds"] for each in whole) / 2
        with load(self._back, self._core, CONNECTIONS, self._seconds, "--rate", str(rate)) as asking:
            direct = counted(asking, self._seconds)
        figures = self._round("half", name, served, CONNECTIONS, self._seconds, "--rate", str(rate))
        if figures is not None:
            figures["rate"] = rate
            for percentile in ("p50_ms", "p99_ms"):
                figures[f"added_{percentile}"] = figures[percentile] - direct[percentile]

    def _round(
        self, mode: str, name: str, served: Served, connections: int, seconds: float, *options: str
    ) -> Figures | None:
        if name in self.failed.get(mode, {}):
            return None
        try:
            figures = measure(served, connections, seconds, self._core, *options)
        except Unserved as error:
            if name.startswith((OURS, "nginx")):
                raise SystemExit(f"{name}: the figures would mean nothing: {error}") from error
            self.failed.setdefault(mode, {})[name] = str(error)
            return None
        finally:
            settle(served.pid)
        self.runs.setdefault(mode, {}).setdefault(name, []).append(figures)
        return figures


def median(rounds: list[Figures]) -> Figures:
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


def ratios(rounds: list[Figures], floor: list[Figures]) -> dict[str, float]:
    """How many times nginx's of the same round: the median, and how far it varies."""
    found = [mine["cpu_us"] / its["cpu_us"] for mine, its in zip(rounds, floor, strict=False)]
    lower, _, upper = statistics.quantiles(found, n=4) if len(found) > 1 else (found[0],) * 3
    middle = statistics.median(found)
    return {"median": middle, "least": min(found), "most": max(found), "lower": lower, "upper": upper}


def table(results: dict[str, dict[str, Figures]], runs: Runs, failed: dict[str, dict[str, str]]) -> str:
    """The figures for people, and how they stand against nginx."""
    lines = []
    for mode, (unit, target) in TARGETS.items():
        if mode not in results:
            continue
        also = ", translated 1.6" if mode == "stream" else ""
        lines.append(f"\n{mode}: CPU per {unit}, target at most {target:g} x nginx{also}")
        for name, figures in results[mode].items():
            against = ratios(runs[mode][name], runs[mode]["nginx"])
            rate = figures["chunks" if mode == "stream" else "requests"] / figures["seconds"]
            lines.append(
                f"  {name:40} {figures['cpu_us']:8.1f} us ({figures['user_us']:.1f} user)  {against['median']:6.2f} x "
                f"({against['least']:.2f} to {against['most']:.2f})  {rate:7.0f}/s  "
                f"p50 {figures['p50_ms']:6.2f} ms  p99 {figures['p99_ms']:6.2f} ms  {figures['resident_mb']:4.0f} MB"
            )
    if "half" in results:
        lines.append("\nhalf: at half of what each answers, how much later than upstream itself")
        for name, figures in results["half"].items():
            all_p99 = [each["added_p99_ms"] for each in runs["half"][name]]
            lines.append(
                f"  {name:40} {figures['rate']:7.0f}/s  p50 +{figures['added_p50_ms']:.2f} ms  "
                f"p99 +{figures['added_p99_ms']:.2f} ms ({min(all_p99):.2f} to {max(all_p99):.2f})"
            )
    lines += [f"\n{mode}: {name} did not: {error}" for mode, each in failed.items() for name, error in each.items()]
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=3.0, help="of load per round and proxy")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--modes", default=",".join(MODES), help="some of them, by commas; half needs whole")
    parser.add_argument("--peers", type=Path, help="measure other routers as well, which are installed here")
    parser.add_argument("--beside", type=Path, action="append", default=[], help="another checkout, to compare with")
    parser.add_argument("--spacing", type=float, default=SPACING, help="seconds between the chunks of a stream")
    parser.add_argument("--chunks", type=int, default=CHUNKS, help="of a stream")
    parser.add_argument("--translated", action="store_true", help="measure streams of other surfaces and targets too")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    options.modes = [mode for mode in MODES if mode in options.modes.split(",")]
    if "half" in options.modes and "whole" not in options.modes:
        parser.error("half load is half of what whole finds: --modes whole,half")
    return options


def main() -> None:
    """Run, print the table, write the JSON."""
    options = arguments()
    proxy_core, load_core = sorted(os.sched_getaffinity(0))[:2]
    back = free_port()
    before = os.getloadavg()
    with (
        tempfile.TemporaryDirectory(prefix="gridtie-bench-") as directory,
        upstream(back, options.spacing, options.chunks, load_core),
        proxies(Path(directory), back, proxy_core, options.peers, options.beside) as under_test,
    ):
        wait_for(back)
        Path(directory).chmod(0o755)  # nginx's worker is another user
        bench = Bench(under_test, back, load_core, options.seconds, options.translated)
        bench.warm_up()
        for mode in options.modes:
            for number in range(options.rounds):
                bench.round(mode, number)
    runs, failed = bench.runs, bench.failed
    results = {mode: {name: median(rounds) for name, rounds in each.items()} for mode, each in runs.items()}
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    told = versions(options.peers is not None)
    report: dict[str, Any] = {
        "date": today,
        "versions": told,
        "load_average": before,
        "spacing": options.spacing,
        "results": results,
        "against_nginx": {
            mode: {name: ratios(rounds, runs[mode]["nginx"]) for name, rounds in each.items()}
            for mode, each in runs.items()
            if mode in TARGETS
        },
        "failed": failed,
        "rounds": runs,
    }
    print(f"{today}  " + "  ".join(f"{name} {number}" for name, number in told.items()))
    print(f"load average {before[0]:.1f} before, on {os.cpu_count()} cores; median of {options.rounds} rounds")
    print(table(results, runs, failed))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
