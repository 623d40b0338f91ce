"""CPU of the router per request and per streamed chunk, beside nginx passing the same through, in one run.

`python benchmarks/router_vs_nginx.py [--seconds 4] [--rounds 3] [--json FILE]`

Proxy under test on one core, upstream and load generator on the other; loopback only; nginx with upstream keep-alive,
buffering and access log off. The figure is CPU time of the proxy's processes (user and system, all threads) divided by
what it served: less sensitive than throughput to what else the machine does, but not immune, so rounds alternate and
the median is reported. Needs nginx (`apt-get install nginx-light`) and two cores.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
KEY = "gt-" + "b" * 43
CONNECTIONS = 32
STREAMS = 150
SPACING = 0.006
CHUNKS = 200
TICKS = os.sysconf("SC_CLK_TCK")

_NGINX = """\
worker_processes 1;
daemon off;
pid {dir}/nginx.pid;
error_log {dir}/error.log warn;
events {{ worker_connections 2048; }}
http {{
  access_log off;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  keepalive_requests 1000000000;
  upstream back {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_read_timeout 60s;
    }}
  }}
}}
"""

_ROUTING = """\
version: 1
providers:
  here: {{type: openai, base_url: "http://127.0.0.1:{upstream}/v1", locality: local}}
models:
  coder: {{local: here/m, purpose: code}}
rules:
  - name: all
    use: [local]
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on 127.0.0.1:{port} after 10 s")


def pinned(core: int, *command: str) -> list[str]:
    return ["taskset", "-c", str(core), *command]


@contextmanager
def process(*command: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(command, **options)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def family(pid: int) -> list[int]:
    """A process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(int(child) for child in children)]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its children, all threads."""
    total = 0
    for each in family(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def resident_mb(pid: int) -> float:
    pages = sum(int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in family(pid))
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(pid: int, port: int, connections: int, seconds: float, core: int, stream: bool) -> dict[str, float]:
    """One round: load for a while, and what it cost the proxy."""
    script = str(ROOT / "benchmarks" / "load.py")
    arguments = [str(port), str(connections), str(seconds), KEY, *(["stream"] if stream else [])]
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


def write_nginx(directory: Path, port: int, upstream: int) -> Path:
    path = directory / "nginx.conf"
    path.write_text(_NGINX.format(dir=directory, port=port, upstream=upstream))
    return path


def write_router(directory: Path, upstream: int) -> dict[str, str]:
    config = directory / "config"
    config.mkdir()
    (config / "llm_routing.yaml").write_text(_ROUTING.format(upstream=upstream))
    shutil.copy(ROOT / "config" / "prices.json", config)
    row = {"name": "bench", "sha256": hashlib.sha256(KEY.encode()).hexdigest(), "environments": ["dev"], "admin": True}
    (config / "keys.json").write_text(json.dumps({"schema": 1, "keys": [row]}))
    return {
        "GRIDTIE_CONFIG_DIR": str(config),
        "PYTHONPATH": str(ROOT / "src"),
        "PATH": os.environ.get("PATH", ""),
    }


@contextmanager
def proxies(directory: Path, upstream: int, core: int) -> Iterator[dict[str, tuple[int, int]]]:
    """Every proxy under test: name -> (pid, port)."""
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    ports = [free_port() for _ in range(3)]
    environment = write_router(directory, upstream)
    module = [sys.executable, "-m", "gridtie.gateway.serve"]

    def router(port: int, log: str) -> dict[str, Any]:
        own = {"GRIDTIE_LISTEN": f"127.0.0.1:{port}", "GRIDTIE_ACCESS_LOG": log}
        state = {"GRIDTIE_STATE_DIR": str(directory / f"state-{log}")}
        return {"env": {**environment, **own, **state}, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

    with (
        process(*pinned(core, nginx, "-c", str(write_nginx(directory, ports[0], upstream)))) as plain,
        process(*pinned(core, *module), **router(ports[1], "off")) as quiet,
        process(*pinned(core, *module), **router(ports[2], "on")) as logging,
    ):
        for port in ports:
            wait_for(port)
        time.sleep(0.5)
        yield {
            "nginx": (plain.pid, ports[0]),
            "router": (quiet.pid, ports[1]),
            "router, access log on": (logging.pid, ports[2]),
        }


def versions() -> dict[str, str]:
    import httptools
    import msgspec
    import uvloop

    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    told = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=True).stderr
    return {
        "nginx": told.strip().rpartition("/")[2],
        "python": platform.python_version(),
        "uvloop": uvloop.__version__,
        "httptools": httptools.__version__,
        "msgspec": msgspec.__version__,
        "kernel": platform.release(),
    }


def median(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


def table(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """The figures for people, and how they stand against nginx."""
    lines = []
    for mode, unit, target in (("whole", "request", 4.0), ("stream", "chunk", 1.5)):
        floor = results[mode]["nginx"]["cpu_us"]
        lines.append(f"\n{mode}: CPU per {unit}, target at most {target:g} x nginx")
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
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    proxy_core, load_core = sorted(os.sched_getaffinity(0))[:2]
    upstream = free_port()
    script = str(ROOT / "benchmarks" / "upstream.py")
    runs: dict[str, dict[str, list[dict[str, float]]]] = {"whole": {}, "stream": {}}
    with (
        tempfile.TemporaryDirectory(prefix="gridtie-bench-") as directory,
        process(*pinned(load_core, sys.executable, script, str(upstream), str(SPACING), str(CHUNKS))),
        proxies(Path(directory), upstream, proxy_core) as under_test,
    ):
        wait_for(upstream)
        Path(directory).chmod(0o755)  # nginx's worker is another user
        for mode, connections in (("whole", CONNECTIONS), ("stream", STREAMS)):
            if mode == "whole":
                for pid, port in under_test.values():
                    measure(pid, port, connections, 1.0, load_core, False)  # connections, caches
            for _ in range(options.rounds):
                for name, (pid, port) in under_test.items():
                    if mode == "stream" and name != "nginx" and name != "router":
                        continue  # a line per request says nothing about chunks
                    seconds = options.seconds if mode == "whole" else options.seconds + 1
                    figures = measure(pid, port, connections, seconds, load_core, mode == "stream")
                    runs[mode].setdefault(name, []).append(figures)
    results = {mode: {name: median(rounds) for name, rounds in each.items()} for mode, each in runs.items()}
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    report = {
        "date": today,
        "versions": versions(),
        "load_average": os.getloadavg(),
        "results": results,
        "rounds": runs,
    }
    print(f"{today}  " + "  ".join(f"{name} {version}" for name, version in versions().items()))
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; median of {options.rounds} rounds")
    print(table(results))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
