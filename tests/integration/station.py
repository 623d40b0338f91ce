"""A provisioned station as a test sees it: its endpoint and key, its containers, its routing file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml
from python_on_whales import Container, docker

from standins.authority import make_authority

TESTS = Path(__file__).parents[1]
# The small model that speaks agents' protocols.
TOOLS_MODEL = "smollm2-tools:135m"


@contextmanager
def container(image: str, models: tuple[Path, str, str], **variables: str) -> Iterator[str]:
    """A container of the image with a directory of models in it, as (here, there, mode); its address."""
    name = f"gridtie-test-engine-{uuid.uuid4().hex[:8]}"
    user = f"{os.getuid()}:{os.getgid()}"
    started = docker.run(image, detach=True, name=name, user=user, tmpfs=["/tmp"], volumes=[models], envs=variables)
    try:
        yield address(started)
    finally:
        started.remove(force=True)


def address(started: Container) -> str:
    """Where this host reaches a container: on the first of its networks that gave it an address."""
    networks = started.network_settings.networks or {}
    return next(str(network.ip_address) for network in networks.values() if network.ip_address)


def healthy(found: Container) -> bool:
    """By its image's own check."""
    return bool(found.state.running and found.state.health and found.state.health.status == "healthy")


def processes(name: str) -> list[str]:
    """Of a container: the number, resident KiB and command line of each. The library has no call for it."""
    asked = ["docker", "top", name, "-eo", "pid,rss,args"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()[1:]


def ready(url: str, path: str, limit: float = 60) -> str:
    """The address, once this path of it answers."""
    deadline = time.monotonic() + limit
    while True:
        try:
            if httpx.get(url + path).status_code == 200:
                return url
        except httpx.TransportError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"{url}{path} does not answer")
        time.sleep(0.2)


class Station:
    """What `site.yml` wrote about one station, and the handles to act on it."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self.facts: dict[str, Any] = json.loads((config / "station.json").read_text())
        self.project: str = self.facts["project"]
        self.endpoint: str = self.facts["endpoint"]
        self.key = (config / "station.key").read_text().strip()
        self.engine: str = self.facts["engine"]["container"]
        self.router: str = self.facts["expected"]["router_container"]

    def client(self, **headers: str) -> httpx.Client:
        """An HTTP client with the station's key; `headers` are sent with every request."""
        sent = {"authorization": f"Bearer {self.key}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        return httpx.Client(base_url=self.endpoint, headers=sent, timeout=120)

    def chat(self, text: str, *, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
        """One chat completion of the small model; `body` adds to or replaces what is asked."""
        asked = {"model": "smoke-test", "messages": [{"role": "user", "content": text}], "max_tokens": 24, "seed": 1}
        with self.client() as client:
            return client.post("/v1/chat/completions", json={**asked, **body}, headers=headers)

    def record(self, answer: httpx.Response) -> dict[str, Any]:
        """The ledger's row of an answered request."""
        with self.client() as client:
            found = client.get(f"/gridtie/requests/{answer.headers['x-gridtie-request-id']}")
        assert found.status_code == 200, found.text
        row: dict[str, Any] = found.json()
        return row

    def engine_url(self) -> str:
        """The engine as the host reaches it: on its container's own address, for it publishes nothing."""
        port = self.facts["models"][0]["url"].rsplit(":", 1)[1]
        return f"http://{address(docker.container.inspect(self.engine))}:{port}"

    def wait_until_ready(self, limit: float = 60) -> None:
        """Return once the router says that it can serve."""
        deadline = time.monotonic() + limit
        while True:
            try:
                if httpx.get(f"{self.endpoint}/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.router} not ready in {limit:.0f} s:\n{docker.logs(self.router, tail=20)}")
            time.sleep(0.2)

    @contextmanager
    def engine_stopped(self) -> Iterator[None]:
        """The engine gone, as after a crash that nothing restarts."""
        docker.stop(self.engine, time=2)
        try:
            yield
        finally:
            docker.start(self.engine)
            self._wait_for_engine()

    def _wait_for_engine(self, limit: float = 60) -> None:
        deadline = time.monotonic() + limit
        while not healthy(docker.container.inspect(self.engine)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.engine} not healthy:\n{docker.logs(self.engine, tail=20)}")
            time.sleep(0.5)

    @contextmanager
    def routing(self, change: Any) -> Iterator[None]:
        """The routing file after `change(mapping)`, loaded by the running router; put back afterwards."""
        path = self.config / "llm_routing.yaml"
        before = path.read_text()
        changed = yaml.safe_load(before)
        change(changed)
        self.write_routing(yaml.safe_dump(changed, sort_keys=False))
        try:
            yield
        finally:
            self.write_routing(before)

    def write_routing(self, text: str, *, accepted: bool = True) -> None:
        """Put the routing file in place in one rename and wait until the router has taken or refused it."""
        before = self.config_status()
        path = self.config / "llm_routing.yaml"
        draft = path.with_suffix(".draft")
        draft.write_text(text)
        stat = path.stat()
        draft.chmod(stat.st_mode & 0o777)
        os.chown(draft, stat.st_uid, stat.st_gid)
        draft.replace(path)
        deadline = time.monotonic() + 15
        while True:
            now = self.config_status()
            if (now["digest"] != before["digest"] and not now["error"]) if accepted else now["error"]:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"the router has not {'taken' if accepted else 'refused'} the routing file: {now}")
            time.sleep(0.2)

    def config_status(self) -> dict[str, Any]:
        """What the router says of the routing file it runs with."""
        with self.client() as client:
            status: dict[str, Any] = client.get("/gridtie/config").json()
        return status

    @contextmanager
    def cloud(self, *, model: str = "gpt-5.4-mini") -> Iterator[None]:
        """A cloud behind the station's `smoke-test` and `coder`: the stand-in, over TLS, beside the router.

        It runs in a container of the router's own image on the router's outgoing network, with a
        throwaway CA that the provider entry names.
        """
        name = f"{self.project}-cloud"
        network = f"{self.project}_default"
        certificates = self.config / "cloud-ca"
        make_authority(certificates, name)
        asked = ["--openai-port", "8443", "--host", "0.0.0.0", "--certificate", "/certificates/server.pem"]
        docker.run(
            str(docker.container.inspect(self.router).config.image),
            ["-m", "standins.cloud", *asked],
            detach=True,
            name=name,
            networks=[network],
            volumes=[(TESTS, "/tests", "ro"), (certificates, "/certificates", "ro")],
            envs={"PYTHONPATH": "/tests"},
            entrypoint="python3",
        )
        key = self.config / "secrets" / "standin.key"
        key.write_text("sk-standin")
        key.chmod(0o644)

        def configure(file: dict[str, Any]) -> None:
            # The name of a price list, so that what is spent there has a price.
            file["providers"]["openai"] = {
                "type": "openai",
                "base_url": f"https://{name}:8443/v1",
                "locality": "cloud",
                "key_file": "/etc/gridtie/secrets/standin.key",
                "ca_file": "/etc/gridtie/cloud-ca/ca.pem",
            }
            for alias in ("smoke-test", "coder", "chat"):
                file["models"][alias]["cloud"] = {"provider": "openai", "model": model}

        try:
            with self.routing(configure):
                yield
        finally:
            docker.remove(name, force=True)
            key.unlink()
            shutil.rmtree(certificates)
