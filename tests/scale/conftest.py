"""Real vLLM on the processor, started by the arguments that a station gives it: `make test PART=scale` installs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from gridtie.host.fit.vllm import Card
from gridtie.host.models.vllm_model import Arranged, arranged, built_in, wanted_of
from standins.process import free_port

ROOT = Path(__file__).parents[2]
PLACE = ROOT / ".cache" / "vllm"
PYTHON = PLACE / "python" / "bin" / "python"
CHECKPOINT = PLACE / "smollm2-135m"
BALANCER = PLACE / "vllm-router"
CONTEXT, PARALLEL = 2048, 4
# Two cores read PyTorch from a cold disk, and compute a full batch to see what it takes.
START_S = 1500


@dataclass(frozen=True)
class Vllm:
    """A server that runs: where, how it was told to start, and what it wrote."""

    url: str
    arranged: Arranged
    log: Path
    group: int
    process: subprocess.Popen[bytes]

    @property
    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def resident(self) -> int:
        """Bytes of all its processes, what they share counted once."""
        return sum(_proportional(path) for path in Path("/proc").glob("[0-9]*") if _group(path) == self.group)


def _group(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[2])
    except OSError:
        return 0


def _proportional(process: Path) -> int:
    """Its own memory, and its part of what it shares."""
    try:
        found = re.search(r"^Pss:\s+(\d+) kB", (process / "smaps_rollup").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


@pytest.fixture(scope="session")
def python() -> Path:
    """The Python of the environment with vLLM in it."""
    if not (CHECKPOINT / "config.json").exists():
        pytest.fail("vLLM is not installed; run `make test PART=scale`, which does it", pytrace=False)
    return PYTHON


@pytest.fixture(scope="session")
def vllm(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vllm]:
    """SmolLM2 on vLLM with a context of 2048, as the role engine_vllm starts it; `small` is one more name of it."""
    server = start(python, tmp_path_factory.mktemp("vllm"))
    try:
        yield server
    finally:
        stop(server)


@pytest.fixture(scope="session")
def balancer() -> Path:
    """Where vllm-router is, as the station's image has it."""
    if not (BALANCER / "vllm_router").is_dir():
        pytest.fail("vllm-router is not installed; run `make test PART=scale`, which does it", pytrace=False)
    return BALANCER


def start(python: Path, directory: Path) -> Vllm:
    """A server that is ready. Stop it."""
    wanted = wanted_of({"name": "smollm2:135m", "context": CONTEXT, "parallel": PARALLEL})
    done = arranged(wanted, built_in(), None, [Card("memory", 8 << 30, 8 << 30)], on_processor=True)
    port, log = free_port(), directory / "vllm.log"
    words = ["small" if word == "gridtie/smollm2:135m" else word for word in done.arguments]
    words = [str(CHECKPOINT) if word == "/opt/smollm2-135m" else word for word in words]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
        "LD_PRELOAD": str(python.parents[1] / "lib" / "libiomp5.so"),
        "VLLM_CPU_KVCACHE_SPACE": str(done.cache_gib),
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CACHE_ROOT": str(log.parent / "cache"),
    }
    with log.open("wb") as out:
        process = subprocess.Popen(
            [python, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1", "--port", str(port), *words],
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Vllm(f"http://127.0.0.1:{port}", done, log, process.pid, process)
    try:
        _ready(process, server.url, log)
    except BaseException:
        stop(server)
        raise
    return server


def stop(server: Vllm) -> None:
    """End it and all its processes."""
    server.process.send_signal(signal.SIGINT)
    try:
        server.process.wait(30)
    except subprocess.TimeoutExpired:
        kill(server)


def kill(server: Vllm) -> None:
    """As a machine that loses its power."""
    with suppress(ProcessLookupError):
        os.killpg(server.group, signal.SIGKILL)
    server.process.wait()


def _ready(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            pytest.fail(
                f"vLLM ended with {server.returncode}:\n{log.read_text(errors='replace')[-6000:]}", pytrace=False
            )
        try:
            if httpx.get(f"{url}/health", timeout=5, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(1)
    pytest.fail(f"vLLM was not ready after {START_S} s:\n{log.read_text(errors='replace')[-6000:]}", pytrace=False)
