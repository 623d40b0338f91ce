"""Fixtures around the stand-in cloud: `authority`, `cloud`, and the real router as a process in front of it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from standins.authority import make_authority
from standins.cloud import Cloud
from standins.router import KEY, configure

START_SECONDS = 30.0
STOP_SECONDS = 10.0


@contextmanager
def running(certificate: Path | None) -> Iterator[Cloud]:
    """A cloud in a loop of its own, so that synchronous SDKs can be pointed at it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="stand-in cloud")
    thread.start()
    cloud = Cloud(certificate)
    try:
        asyncio.run_coroutine_threadsafe(cloud.__aenter__(), loop).result(START_SECONDS)
        yield cloud
    finally:
        asyncio.run_coroutine_threadsafe(cloud.close(), loop).result(STOP_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(STOP_SECONDS)
        loop.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `ca.pem` and `server.pem` of a throwaway authority."""
    directory = tmp_path_factory.mktemp("authority")
    make_authority(directory)
    return directory


@pytest.fixture(scope="session")
def shared_cloud(authority: Path) -> Iterator[Cloud]:
    with running(authority / "server.pem") as cloud:
        yield cloud


@pytest.fixture
def cloud(shared_cloud: Cloud) -> Cloud:
    """The stand-in cloud over TLS, with nothing received and nothing scripted."""
    shared_cloud.reset()
    return shared_cloud


class RouterProcess:
    """The router as it is run: `python -m gridtie.gateway.serve`."""

    def __init__(
        self, directory: Path, routing: str, secrets: dict[str, str], station: dict[str, Any] | None = None
    ) -> None:
        """`station`: what the playbook would have written of the engine and its models."""
        self.config = configure(directory / "config", routing)
        if station is not None:
            (self.config / "station.json").write_text(json.dumps(station))
        self.key = KEY
        (self.config / "secrets").mkdir(exist_ok=True)
        for name, secret in secrets.items():
            (self.config / "secrets" / name).write_text(secret)
        self.log = directory / "router.log"
        environ = {
            **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
            "GRIDTIE_CONFIG_DIR": str(self.config),
            "GRIDTIE_STATE_DIR": str(directory / "state"),
            "GRIDTIE_LISTEN": "127.0.0.1:0",
            "GRIDTIE_ACCESS_LOG": "off",
            "PYTHONPATH": str(Path(__file__).parents[2] / "src"),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gridtie.gateway.serve"], env=environ, stderr=subprocess.PIPE, text=True
        )
        self.port = self._wait_for_port()
        # The pipe is drained to a file, so that a talkative router never blocks on it.
        self._drain = threading.Thread(target=self._copy_log, name="router log")
        self._drain.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _wait_for_port(self) -> int:
        watchdog = threading.Timer(START_SECONDS, self._process.kill)
        watchdog.start()
        said = []
        assert self._process.stderr is not None
        for line in self._process.stderr:
            said.append(line)
            if "listening on" in line:
                watchdog.cancel()
                return int(str(json.loads(line)["message"]).rpartition(":")[2])
        watchdog.cancel()
        raise RuntimeError(f"the router did not start: {''.join(said)}")

    def _copy_log(self) -> None:
        assert self._process.stderr is not None
        with self.log.open("w") as log:
            for line in self._process.stderr:
                log.write(line)
                log.flush()

    def stop(self) -> int:
        """End it as a service manager would; its exit status."""
        self._process.terminate()
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait(STOP_SECONDS)
        finally:
            self._drain.join(STOP_SECONDS)
            if self._process.stderr is not None:
                self._process.stderr.close()


def routing_file(cloud: Cloud, authority: Path, aliases: dict[str, dict[str, Any]], **more: Any) -> str:
    """A routing file over the stand-in: `here` (local), `openai` and `anthropic` (cloud). JSON is YAML too."""
    base = {"ca_file": str(authority / "ca.pem")}
    return json.dumps(
        {
            "version": 1,
            "providers": {
                "here": {"type": "openai", "base_url": cloud.base_url("openai"), "locality": "local", **base,
                         "key_file": "secrets/here"},
                "openai": {"type": "openai", "base_url": cloud.base_url("openai"), **base,
                           "key_file": "secrets/openai"},
                "anthropic": {"type": "anthropic", "base_url": cloud.base_url("anthropic"), **base,
                              "key_file": "secrets/anthropic"},
            },
            "models": aliases,
            "rules": [
                {"name": "private", "when": {"tags": ["private"]}, "use": ["local"], "never": "cloud"},
                {"name": "all", "use": ["local", "cloud"]},
            ],
        } | more
    )  # fmt: skip


@contextmanager
def strict_openai(router: RouterProcess, *, timeout: float) -> Iterator[openai.OpenAI]:
    """The official SDK in front of a router: no second try, and an answer that is not of the documented form is an
    error.
    """
    http = openai.DefaultHttpxClient(trust_env=False)
    with openai.OpenAI(
        base_url=f"{router.url}/v1", api_key=router.key, max_retries=0, http_client=http, timeout=timeout,
        _strict_response_validation=True,
    ) as client:  # fmt: skip
        yield client
