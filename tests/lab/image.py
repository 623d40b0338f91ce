"""Images of bare machines: what a person gets from a distribution's installer, and nothing of ours.

They are bootstrapped from the mirror that this machine itself uses, because a restricted network
has no container registry.
"""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from plugins.module_utils.gridtie_sources import apt_indexes
from python_on_whales import docker

# git, make and Python are what the README asks for; the rest makes it a machine: an init system, sudo, a network.
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "libpam-systemd", "sudo", "ca-certificates", "iproute2", "procps",
    "git", "make", "python3",
)  # fmt: skip

# What machines with a job have already: Docker and SSH. One list, so that it is one image for all of them.
DOCKER = ("openssh-server", "docker.io", "docker-cli", "docker-compose", "docker-buildx", "iptables")


@dataclass(frozen=True)
class Distribution:
    """A release that can be bootstrapped, and the suite by which its mirror is found on this machine."""

    name: str
    suite: str
    components: str = "main"


TRIXIE = Distribution("debian13", "trixie")
BOOKWORM = Distribution("debian12", "bookworm")


def mirror() -> str:
    """The archive that this machine's own package manager uses, whatever its source files look like."""
    site = next((index.site for index in apt_indexes() if index.suite in {"bookworm", "trixie"}), "")
    if not site:
        raise LookupError("no Debian archive among this machine's package sources")
    return site


def build(distribution: Distribution = TRIXIE, more: tuple[str, ...] = ()) -> str:
    """Tag of an image of a bare machine, with `more` packages; it is bootstrapped unless an equal one is there."""
    recipe = f"{distribution} {PACKAGES + more} {mirror()}"
    name = hashlib.sha256(recipe.encode()).hexdigest()[:12]
    tag = f"gridtie-lab/{distribution.name}:{name}"
    once(tag, lambda: bootstrap(distribution, PACKAGES + more, tag))
    return tag


def once(tag: str, make: Callable[[], None]) -> None:
    """Have an image made unless it is there. Test files run side by side: whoever comes second to one waits for it."""
    with (Path(tempfile.gettempdir()) / f"{tag.replace('/', '-').replace(':', '-')}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not docker.image.exists(tag):
            make()


def bootstrap(distribution: Distribution, packages: tuple[str, ...], tag: str) -> None:
    """Make an image of the smallest system with these packages."""
    source = f"deb {mirror()} {distribution.suite} {distribution.components}"
    bootstrap = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}"]
    with subprocess.Popen([*bootstrap, distribution.suite, "-", source], stdout=subprocess.PIPE) as archive:
        command = ["docker", "import", "--change", 'CMD ["/lib/systemd/systemd"]', "-", tag]
        subprocess.run(command, stdin=archive.stdout, check=True, capture_output=True)
    if archive.returncode:
        docker.image.remove(tag)
        raise RuntimeError(f"bootstrapping {distribution.name} from {mirror()} failed with {archive.returncode}")
