"""The service image (`make image`) as a container for one session of tests."""

from __future__ import annotations

import secrets
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from python_on_whales import ClientNotFoundError, Container, DockerClient
from python_on_whales.exceptions import DockerException, NoSuchImage

from gridtie.host.version import __version__
from gridtie.testing.endpoint import Endpoint, EndpointError

PORT = 8484
# Seconds until it serves: it takes a few, and a runner under load several times that.
READY_TIMEOUT = 120.0
_TAIL = 20
# Proxies in the environment are for the outside world.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class NoDockerError(Exception):
    """No Docker can be used here; the message says what was found."""


@contextmanager
def running(environ: Mapping[str, str], ready_timeout: float = READY_TIMEOUT) -> Iterator[Endpoint]:
    """The image that GRIDTIE_IMAGE names, else this version's own; removed afterwards.

    Raises NoDockerError, or EndpointError where the image is not there or does not come to serve.
    """
    docker = _client()
    image = environ.get("GRIDTIE_IMAGE", "")
    host, published = _reached_at(environ)
    key = secrets.token_urlsafe(32)
    container = _start(docker, image, {"GRIDTIE_KEY": key, "GRIDTIE_HOSTS": host}, published)
    try:
        endpoint = Endpoint(f"http://{host}:{_port(container)}", key)
        _wait(endpoint.url, lambda: bool(container.state.running), ready_timeout, lambda: _tail(container))
        yield endpoint
    finally:
        container.remove(force=True, volumes=True)


def _client() -> DockerClient:
    docker = DockerClient()
    try:
        docker.version()
    except ClientNotFoundError:
        raise NoDockerError("no docker command was found") from None
    except DockerException as error:
        raise NoDockerError(f"Docker does not answer ({_last_line(error)})") from None
    return docker


def _reached_at(environ: Mapping[str, str]) -> tuple[str, str]:
    """The host that a published port is reached at, and the address that it is published on.

    A Docker of another machine, such as GitLab's docker:dind, publishes there.
    """
    parts = urlsplit(environ.get("DOCKER_HOST", ""))
    if parts.scheme in ("tcp", "http", "https") and parts.hostname not in (None, "127.0.0.1", "localhost"):
        return str(parts.hostname), "0.0.0.0"  # noqa: S104 - that machine's own loopback is not reached from here
    return "127.0.0.1", "127.0.0.1"


def _start(docker: DockerClient, image: str, settings: Mapping[str, str], published: str) -> Container:
    """As hard as it can be run. An image of nobody's registry is never looked for at the public one."""
    wanted = image or f"gridtie/service:{__version__}"
    # A file, since a command line is in the process list and in what an error says.
    with tempfile.TemporaryDirectory() as scratch:
        variables = Path(scratch) / "env"
        variables.touch(mode=0o600)
        variables.write_text("".join(f"{name}={value}\n" for name, value in settings.items()), encoding="utf-8")
        try:
            started = docker.run(
                wanted,
                detach=True,
                env_files=[variables],
                publish=[(f"{published}:", PORT)],
                read_only=True,
                tmpfs=["/tmp"],  # noqa: S108 - a path in the container
                cap_drop=["ALL"],
                security_options=["no-new-privileges"],
                pull="missing" if image else "never",
            )
        except NoSuchImage:
            raise _no_image(wanted) from None
        except DockerException as error:
            if "no such image" in str(error.stderr).lower():
                raise _no_image(wanted) from None
            raise EndpointError(f"the image {wanted} cannot be started: {_last_line(error)}") from None
    assert isinstance(started, Container)  # noqa: S101 - what `detach` gives
    return started


def _no_image(wanted: str) -> EndpointError:
    return EndpointError(
        f"the image {wanted} is not here; make it (`make image` in a checkout of Gridtie), load it (`docker load`), or "
        "name another with GRIDTIE_IMAGE"
    )


def _port(container: Container) -> str:
    bindings = container.network_settings.ports or {}
    return str((bindings[f"{PORT}/tcp"] or [{}])[0]["HostPort"])


def _wait(url: str, running: Callable[[], bool], seconds: float, tail: Callable[[], str]) -> None:
    """Return when the router says that it can serve. Raises EndpointError with the end of the container's log."""
    deadline = time.monotonic() + seconds
    while not _ready(url):
        if not running():
            raise EndpointError(f"the service image ended before it could serve:\n{tail()}")
        if time.monotonic() > deadline:
            raise EndpointError(f"the service image did not come to serve in {seconds:.0f} s:\n{tail()}")
        time.sleep(0.1)


def _ready(url: str) -> bool:
    try:
        with _DIRECT.open(f"{url}/readyz", timeout=2):
            return True
    except (OSError, ValueError):
        return False


def _tail(container: Container) -> str:
    return str(container.logs(tail=_TAIL)).strip()


def _last_line(error: DockerException) -> str:
    return (str(error.stderr or "").strip().splitlines() or ["no reason given"])[-1]
