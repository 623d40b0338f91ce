"""A network whose only way out is a proxy that wants a password, with a cloud on its far side."""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.host import CA_VARIABLES, bundle

TESTS = Path(__file__).parents[1]
USER, PORT = "station", 3128
CLOUD, CLOUD_PORT = "cloud.example.test", 8443
CA_INSIDE = "/usr/local/share/everybodys-ca.pem"
_LOG = "/srv/proxy.log"

# Debian's tinyproxy: basic authentication, CONNECT to every port, a line for every request.
_CONFIGURATION = """
Port {port}
Listen 0.0.0.0
Timeout 600
LogFile "{log}"
LogLevel Connect
BasicAuth {user} {password}
"""
_INSTALL = "apt-get -qq update && apt-get -qq install -y --no-install-recommends tinyproxy openssl >/dev/null"
# The cloud runs beside the proxy: on an address that nothing but the proxy reaches, under a name that only it knows.
_CLOUD = f"cd /tests && exec python3 -m standins.cloud --openai-port {CLOUD_PORT} --name {CLOUD} --directory /srv/cloud"


def docker(*words: str, given: str | None = None) -> str:
    """Output of a docker command that must succeed."""
    done = subprocess.run(["docker", *words], input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"docker {words[0]}: {done.stderr}"
    return done.stdout.strip()


@dataclass(frozen=True)
class Proxy:
    """The proxy as a machine on the inner network knows it."""

    name: str
    address: str
    password: str

    @property
    def url(self) -> str:
        # An address: a name that this machine knows would say nothing to the containers that run on it.
        return f"http://{USER}:{self.password}@{self.address}:{PORT}"

    def variables(self) -> dict[str, str]:
        """What the owner of a machine behind it configures for everybody."""
        proxies = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"), self.url)
        direct = dict.fromkeys(("NO_PROXY", "no_proxy"), "localhost,127.0.0.1")
        return {**proxies, **direct, **dict.fromkeys(CA_VARIABLES, CA_INSIDE)}

    def asked(self) -> list[str]:
        """The request lines that reached it, in the order in which they came."""
        lines = docker("exec", self.name, "cat", _LOG).splitlines()
        return [line.partition("): ")[2] for line in lines if "Request (" in line]

    def bundle(self) -> str:
        """What this machine trusts, and the authority of the cloud."""
        known = Path(bundle() or "/etc/ssl/certs/ca-certificates.crt").read_text(encoding="utf-8")
        return known + docker("exec", self.name, "cat", "/srv/cloud/ca.pem") + "\n"


@contextmanager
def proxy(image: str) -> Iterator[Proxy]:
    """A running proxy on a network of the same name that leads nowhere else; both gone afterwards."""
    name = f"gridtie-lab-{uuid.uuid4().hex[:8]}-proxy"
    docker("network", "create", "--internal", name)
    try:
        docker("run", "--detach", "--name", name, f"--volume={TESTS}:/tests:ro", f"--add-host={CLOUD}:127.0.0.1",
               "--env=PYTHONDONTWRITEBYTECODE=1", image, "sleep", "infinity")  # fmt: skip
        docker("network", "connect", name, name)
        template = f'{{{{(index .NetworkSettings.Networks "{name}").IPAddress}}}}'
        found = Proxy(name, docker("inspect", "--format", template, name), uuid.uuid4().hex)
        docker("exec", name, "sh", "-euc", _INSTALL)
        settings = _CONFIGURATION.format(port=PORT, log=_LOG, user=USER, password=found.password)
        docker("exec", "--interactive", name, "sh", "-c", "umask 077; cat >/srv/tinyproxy.conf", given=settings)
        docker("exec", "--detach", name, "tinyproxy", "-d", "-c", "/srv/tinyproxy.conf")
        docker("exec", "--detach", name, "sh", "-c", _CLOUD)
        _wait_until_open(name, PORT, CLOUD_PORT)
        yield found
    finally:
        subprocess.run(["docker", "rm", "--force", "--volumes", name], capture_output=True, check=False)
        subprocess.run(["docker", "network", "rm", name], capture_output=True, check=False)


def _wait_until_open(name: str, *ports: int, limit: float = 120.0) -> None:
    deadline = time.monotonic() + limit
    for port in ports:
        command = ["docker", "exec", name, "bash", "-c", f"</dev/tcp/127.0.0.1/{port}"]
        while subprocess.run(command, capture_output=True, check=False).returncode:
            if time.monotonic() > deadline:
                raise TimeoutError(f"nothing listens on port {port} of {name} after {limit:.0f} s")
            time.sleep(0.2)
