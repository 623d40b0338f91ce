"""The test stand: processes on cores of their own, what they cost, and the router as it is measured."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
KEY = "gt-" + "b" * 43
# Of people who watch: one key has only so many sessions of the dashboard.
VIEWERS_KEYS = ["gt-" + letter * 43 for letter in "cde"]
TICKS = os.sysconf("SC_CLK_TCK")

Process = subprocess.Popen[bytes]

_ROUTING = """\
version: 1
providers:
  here: {{type: openai, base_url: "http://127.0.0.1:{upstream}/v1", locality: local}}
  claude: {{type: anthropic, base_url: "http://127.0.0.1:{upstream}", locality: local}}
  llama: {{type: ollama, base_url: "http://127.0.0.1:{upstream}", locality: local}}
models:
  coder: {{local: here/m, purpose: code}}
  claude: {{local: claude/m}}
  llama: {{local: llama/m}}
rules:
  - name: all
    use: [local]
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, seconds: float = 10) -> None:
    """Until something listens there."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on 127.0.0.1:{port} after {seconds:g} s")


def pinned(core: int, *command: str) -> list[str]:
    return ["taskset", "-c", str(core), *command]


@contextmanager
def process(core: int, *command: str, env: Mapping[str, str] | None = None) -> Iterator[Process]:
    """A process on one core, ended at the end; what it says goes nowhere."""
    child = subprocess.Popen(pinned(core, *command), env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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
    """A process and all that it started."""
    pids = [pid]
    for each in pids:
        for task in Path(f"/proc/{each}/task").iterdir():
            pids += map(int, (task / "children").read_text().split())
    return pids


class Spent(NamedTuple):
    """Processor time in seconds."""

    user: float
    system: float


def cpu_times(pid: int) -> Spent:
    """Processor time of a process and all that it started, all threads."""
    user = system = 0
    for each in family(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        user += int(fields[11])
        system += int(fields[12])
    return Spent(user / TICKS, system / TICKS)


def cpu_seconds(pid: int) -> float:
    """User and system time together."""
    return sum(cpu_times(pid))


def resident_mb(pid: int) -> float:
    pages = sum(int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in family(pid))
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def upstream(port: int, spacing: float, chunks: int, core: int) -> AbstractContextManager[Process]:
    """The upstream of `upstream.py`."""
    return process(core, sys.executable, str(ROOT / "benchmarks/upstream.py"), str(port), str(spacing), str(chunks))


def environment(directory: Path, back: int, port: int, access_log: str = "off") -> dict[str, str]:
    """Configuration and state for a router in front of the upstream on port `back`, made in `directory`."""
    config = directory / f"config-{port}"
    config.mkdir()
    (config / "llm_routing.yaml").write_text(_ROUTING.format(upstream=back))
    shutil.copy(ROOT / "config" / "prices.json", config)
    rows = [
        {"name": name, "sha256": hashlib.sha256(key.encode()).hexdigest(), "environments": ["dev"], "admin": True}
        for name, key in [("bench", KEY), *((f"viewer-{key[3]}", key) for key in VIEWERS_KEYS)]
    ]
    (config / "keys.json").write_text(json.dumps({"schema": 1, "keys": rows}))
    return {
        "GRIDTIE_CONFIG_DIR": str(config),
        "GRIDTIE_STATE_DIR": str(directory / f"state-{port}"),
        "GRIDTIE_LISTEN": f"127.0.0.1:{port}",
        "GRIDTIE_ACCESS_LOG": access_log,
    }


def router(
    directory: Path, back: int, port: int, core: int, access_log: str = "off", source: Path = ROOT
) -> AbstractContextManager[Process]:
    """A router of this checkout, or of another one."""
    own = {"PYTHONPATH": str(source / "src"), "PATH": os.environ.get("PATH", "")}
    settings = environment(directory, back, port, access_log)
    return process(core, sys.executable, "-m", "gridtie.gateway.serve", env={**settings, **own})
