"""Hosts whose scenario is not how a station comes from nothing: what each of them would make alike is handed to it.

That is the virtual environment of `make` and the images of a station. Both are recognised by a hash of what they are
made from, so a host that was handed something else makes its own. From nothing, a station is made on the bare machine.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from python_on_whales import docker

from lab import image, images
from lab.host import CHECKOUT, Host, host, let_docker_work, succeeded

# What `scripts/venv` recognises a finished environment by.
MADE_FROM = ("requirements/site-py312.lock", "pyproject.toml", "scripts/venv")


@contextmanager
def prepared(*names: str, hostname: str = "lab", options: Sequence[str] = ()) -> Iterator[Host]:
    """A machine whose owner has Docker, with the environment of `make` and these images of a station."""
    with host(image.build(more=image.DOCKER), hostname=hostname, options=options) as machine:
        let_docker_work(machine)
        hand_environment(machine)
        for name in names:
            hand_image(machine, name)
        yield machine


def hand_image(machine: Host, name: str) -> None:
    """Give a machine's Docker one of a station's images (`router`, `engine-embedded`, ...), made here unless it is."""
    load(machine, images.Images().make(images.steps(name, "gridtie")))


def load(machine: Host, reference: str) -> None:
    """Give a machine's Docker an image that is here."""
    _pipe(f"docker save {reference}", f"docker exec -i {machine.name} docker load")


def hand_environment(machine: Host) -> None:
    """Put the environment, as `make venv` makes it, into the checkout of `dev`."""
    unpack = "tar -x --no-same-owner -C /home/dev/gridtie"
    # The image has no program; it is never started.
    with docker.container.create(_environment(), ["-"]) as holder:
        _pipe(f"docker cp {holder.id}:/.venv -", f"docker exec -i --user dev {machine.name} {unpack}")


def _environment() -> str:
    """Tag of an image that holds nothing but the environment; it is made on a host of its own unless it is there."""
    recipe = b"".join((CHECKOUT / name).read_bytes() for name in MADE_FROM) + image.build().encode()
    tag = f"gridtie-lab/environment:{hashlib.sha256(recipe).hexdigest()[:12]}"
    image.once(tag, lambda: _pack_environment(tag))
    return tag


def _pack_environment(tag: str) -> None:
    with host(image.build()) as machine:
        succeeded(machine.run("make venv"))
        _pipe(f"docker exec {machine.name} tar -c -C /home/dev/gridtie .venv", f"docker import - {tag}")


def _pipe(source: str, sink: str) -> None:
    command = f"set -o pipefail; {source} | {sink}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
