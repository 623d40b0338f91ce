"""Bundles on their way: a machine that makes them, a stick, and a machine whose only network is its loopback."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from shlex import quote

from lab import image
from lab.host import Host, host, succeeded

# Whoever names a stick likes spaces.
STICK = "/media/my stick"
HOME = "/home/dev"


def place(version: str) -> str:
    """Where the stick has the bundle of this version."""
    return f"{STICK}/gridtie-{version}-debian-13-{platform.machine()}"


@contextmanager
def sealed() -> Iterator[Host]:
    """A bare machine without a network, with an empty stick in it and nothing of the project."""
    with host(image.build(), hostname="sealed", options=["--network=none"], variables={"LAB": "sealed"}) as machine:
        machine.root(f"rm -rf {HOME}/gridtie && install -d -o dev {quote(STICK)}")
        yield machine


def carry(maker: Host, machine: Host, version: str, checkout: str) -> None:
    """Bring a bundle from the machine that has made it, and unpack the checkout that lies in it."""
    name = place(version).rpartition("/")[2]
    command = (
        f"docker exec {maker.name} tar -c -C {HOME}/gridtie/bundles {name} | "
        f"docker exec -i --user dev {machine.name} tar -x -C {quote(STICK)}"
    )
    subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True)
    archive = quote(f"{place(version)}/gridtie-{version}.tar.gz")
    succeeded(machine.run(f"mkdir {checkout} && tar -xzf {archive} -C {checkout} --strip-components=1", cwd=HOME))
