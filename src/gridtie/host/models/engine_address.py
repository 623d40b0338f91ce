"""Where this host reaches the engine that station.json names as the router sees it."""

from __future__ import annotations

import sys
from typing import Any, Mapping

from ..command import docker_at, run_command
from ..router import Unreachable
from .proof import at_host, from_host


def reached(url: str, container: str, docker: Mapping[str, Any]) -> str:
    """A native engine is where the router finds it; a container has an address of its own on this host. `docker` are
    the facts of the Docker that runs it.

    Raises Unreachable: a person's own Docker has networks that this host is not in. What has such an address here, if
    anything, is somebody else.
    """
    if not container:
        return from_host(url)
    if docker.get("rootless") or docker.get("desktop") or sys.platform == "darwin":
        kind = "Docker Desktop" if docker.get("desktop") else "a rootless Docker or a virtual machine"
        raise Unreachable(f"{container} runs in {kind}, whose networks this host is not in")
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
    command = ["inspect", "--type", "container", "--format", form, container]
    addresses = run_command([*docker_command(docker), *command]).out.split()
    if not addresses:
        raise Unreachable(f"{container} has no address")
    return at_host(url, addresses[0])


def docker_command(docker: Mapping[str, Any]) -> list[str]:
    """The command line that reaches the Docker of these facts."""
    return docker_at(docker.get("host"), docker.get("cli"))
