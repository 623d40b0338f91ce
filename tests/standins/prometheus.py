"""A real Prometheus, the distribution's: what it makes of what a router exports."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from standins.process import PATIENCE_S, free_port
from standins.router import ROOT

# Where scripts/prometheus.py unpacks the package: installing it would start a service of the machine.
PLACE = ROOT / ".cache" / "prometheus"


def _program(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path=str(PLACE))


PROGRAM, TOOL = _program("prometheus"), _program("promtool")


class Prometheus:
    """One that runs, on loopback."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, **parameters: str) -> Any:
        """What its API says to a question that it must take."""
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=PATIENCE_S, trust_env=False)
        told = answer.json()
        assert told["status"] == "success", (parameters, told)
        return told["data"]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series, now."""
        result = self.ask("query", query=expression)["result"]
        return [(each["metric"], float(each["value"][1])) for each in result]

    def wait_for(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """The same, once there is any."""
        deadline = time.monotonic() + PATIENCE_S
        while not (found := self.query(expression)):
            assert time.monotonic() < deadline, f"{expression}: nothing; {self.ask('targets')['activeTargets']}"
            time.sleep(0.1)
        return found


@contextmanager
def prometheus(
    directory: Path, targets: Sequence[Mapping[str, Any]], *, interval: str = "200ms", rules: Path | None = None
) -> Iterator[Prometheus]:
    """One that scrapes these targets, each as a file of discovery says it; gone afterwards."""
    assert PROGRAM is not None
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "targets.json").write_text(json.dumps(list(targets)))
    config = {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "rule_files": [str(rules)] if rules else [],
        "scrape_configs": [{"job_name": "gridtie", "file_sd_configs": [{"files": ["targets.json"]}]}],
    }
    # JSON is YAML.
    (directory / "prometheus.yml").write_text(json.dumps(config))
    address = f"127.0.0.1:{free_port()}"
    command = [PROGRAM, f"--config.file={directory / 'prometheus.yml'}", f"--web.listen-address={address}"]
    with (directory / "log").open("wb") as log:
        child = subprocess.Popen([*command, f"--storage.tsdb.path={directory / 'data'}"], stdout=log, stderr=log)
    try:
        _wait(child, f"http://{address}", directory / "log")
        yield Prometheus(f"http://{address}")
    finally:
        child.terminate()
        child.wait()


def _wait(child: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            if httpx.get(f"{url}/-/ready", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert child.poll() is None and time.monotonic() < deadline, log.read_text()[-2000:]
        time.sleep(0.1)
