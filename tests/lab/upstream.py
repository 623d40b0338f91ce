"""What most users reach, on a network of the lab: the registries and the release page, under their own names.

One container answers for `registry-1.docker.io` with its token server `auth.docker.io`, for `registry.ollama.ai`, for
`github.com`'s releases, and for the storage that the last two send people to. The names lead there by the network's own
name service, and the certificates are of an authority that the lab's machines trust, as those of a company are trusted:
nothing on a machine and no variable says that this is not the internet. Everything else (packages) is the real one.

The registry is the distribution's `docker-registry` with real images: a Debian without anything, and Ollama. What it
serves has other digests than upstream's, so that a run is told them in a file of variables, and nothing more:

    with upstream.serve() as server:
        with server.machine(hostname="mine") as machine:
            variables = server.variables(machine)     # for -e @...
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from python_on_whales import docker

from gridtie.artefacts import Offer, update, updated
from gridtie.artefacts.edit import set_value
from gridtie.lock import record
from lab import image, images, mirror
from lab.host import CHECKOUT, PASSED_ON, Host, bundle, environment, host, let_docker_work
from lab.prepared import hand_environment, hand_image
from standins.authority import make_authority

FILES = Path(__file__).with_name("upstream_image")
PREFIX = mirror.PREFIX
NAMES = (
    "registry-1.docker.io", "auth.docker.io", "registry.ollama.ai", "storage.example.test",
    "github.com", "release-assets.githubusercontent.com",
)  # fmt: skip
# The only model that can be had here has both names in the stand-in library: the one that proves a station, and one
# that `auto` chooses for code.
PROBE, CODER = mirror.MODEL, "small-coder:135m"
_LOG = "/var/log/nginx/upstream.log"
# On a machine: what the stand-ins have, as their users would write it down.
DIRECTORY = "/home/dev/upstream"
# What the hub's registry says to whoever comes without a token.
_ASK = """
import ssl, urllib.error, urllib.request
try:
    urllib.request.urlopen("https://localhost/v2/", context=ssl.create_default_context(cafile="/srv/tls/ca.pem"))
except urllib.error.HTTPError as error:
    print(error.code)
"""
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n", re.DOTALL)


@dataclass(frozen=True)
class Server:
    """The running stand-ins on the Docker network `network`."""

    container: str
    network: str
    authority: str
    digests: Mapping[str, str]

    @contextmanager
    def machine(
        self, *made: str, options: Sequence[str] = (), hostname: str = "lab", controller: bool = True
    ) -> Iterator[Host]:
        """A machine on their network with the images `made`, whose system trusts the authorities here.

        It is prepared as in `lab.prepared`, without the environment of `make` where it is no `controller`.
        """
        network = {name: value for name, value in environment().items() if name in PASSED_ON}
        options = ("--network", self.network, *options)
        with host(image.build(more=image.DOCKER), hostname=hostname, options=options, variables=network) as machine:
            self._let_trust(machine)
            let_docker_work(machine)
            if controller:
                hand_environment(machine)
            for name in made:
                hand_image(machine, name)
            yield machine

    def variables(self, machine: Host, *, pinned: bool = True, **more: Any) -> str:
        """The file of variables that says what is here, on a machine: `@PATH`, for `-e`.

        Without `pinned` the artefacts have no digest of Ollama's archive and image, as the project's own of others.
        """
        files = {
            "artefacts.yaml": self.artefacts(pinned=pinned),
            "models.yaml": catalogue(),
            "models.lock.yaml": "schema: 1\nmodels: {}\n",
            "variables.json": json.dumps(
                {
                    "gridtie_artefacts_file": f"{DIRECTORY}/artefacts.yaml",
                    "gridtie_models_catalogue": f"{DIRECTORY}/models.yaml",
                    "gridtie_models_lock": f"{DIRECTORY}/models.lock.yaml",
                    **more,
                }
            ),
        }
        for name, text in files.items():
            machine.write(f"{DIRECTORY}/{name}", text)
        return f"@{DIRECTORY}/variables.json"

    def artefacts(self, *, pinned: bool) -> str:
        """The project's own file with the digests of what is here."""
        text = (CHECKOUT / "config/artefacts.yaml").read_text(encoding="utf-8")
        file, version = _archive()["file"], self.version
        offer = Offer(version, {file: self._sum(file)}, {"ollama": self.digests["ollama"]})
        text = updated(text, offer, replace=True, partial=True)
        if not pinned:
            for path in (("ollama", "archives", platform.machine(), "sha256"), ("images", "ollama", "digest")):
                text = set_value(text, path, "null")
        return text

    def lock(self) -> str:
        """A lock with the digests of all that is here."""
        learned = {
            "models": {name: {"manifest": self.manifest(name)} for name in (PROBE, CODER)},
            "images": {reference: {"digest": self.digests[name]} for name, reference in references().items()},
        }
        with TemporaryDirectory() as directory:
            file = Path(directory) / "gridtie.lock.yaml"
            record(file, "whoever-runs-the-registry", learned)
            return file.read_text(encoding="utf-8")

    @property
    def version(self) -> str:
        return mirror.new_version()

    def manifest(self, name: str) -> str:
        """The digest of a model's manifest, as the library has it now."""
        model, _, tag = name.partition(":")
        return self.run(f"sha256sum /srv/gridtie-mirror/v2/library/{model}/manifests/{tag}").split()[0]

    def move_tag(self, name: str, back_to: str = "") -> str:
        """Publish another manifest under a model's name, or one that was there before; the digest before."""
        return self.run(f"publish-again {name} {back_to}").strip()

    def asked(self) -> list[str]:
        """One line a request so far, in the order in which they were answered."""
        return self.run(f"cat {_LOG}").splitlines()

    def run(self, script: str) -> str:
        """Output of a shell script that must succeed, in the stand-ins' container."""
        return _docker("exec", self.container, "sh", "-euc", script)

    def _sum(self, file: str) -> str:
        listed = self.run(f"cat /srv/gridtie-mirror/ollama/v{self.version}/sha256sum.txt").splitlines()
        return next(line.split()[0] for line in listed if line.endswith(f"./{file}"))

    def _let_trust(self, machine: Host) -> None:
        """As a company's administrator does: a file for each authority, and the system's own program."""
        known = set(_CERTIFICATE.findall(machine.root("cat /etc/ssl/certs/ca-certificates.crt")))
        here = Path(found).read_text(encoding="utf-8") if (found := bundle()) else ""
        wanted = [each for each in _CERTIFICATE.findall(here + self.authority) if each not in known]
        for number, certificate in enumerate(wanted):
            machine.write(f"/usr/local/share/ca-certificates/lab-{number}.crt", certificate, owner="root")
        machine.root("update-ca-certificates >/dev/null 2>&1")


@contextmanager
def serve() -> Iterator[Server]:
    """The stand-ins on a network of their own, which leads out as any; gone afterwards."""
    name = f"{PREFIX}-upstream-{uuid.uuid4().hex[:8]}"
    tag = build()
    with TemporaryDirectory() as directory:
        tls = Path(directory)
        make_authority(tls, *NAMES)
        tls.chmod(0o755)
        network = docker.network.create(name)
        try:
            place = {"networks": [network], "network_aliases": NAMES}
            container = docker.run(tag, detach=True, name=name, volumes=[(tls, "/srv/tls", "ro")], **place)
            digests = json.loads(container.config.labels["digests"])
            server = Server(name, name, (tls / "ca.pem").read_text(encoding="utf-8"), digests)
            _wait(server)
            yield server
        finally:
            docker.remove(name, force=True, volumes=True)
            network.remove()


def build() -> str:
    """Tag of the stand-ins' image with everything in it; made unless it is there."""
    step, ollama = _step(mirror.build()), images.steps("engine-ollama", PREFIX)
    facts = {"empty": step["reference"], "ollama": ollama[-1]["reference"], "debian": image.TRIXIE.suite}
    tag = f"{PREFIX}/upstream:{images.plan.content_hash({}, {**facts, 'references': references()})}"
    image.once(tag, lambda: _fill(step, ollama, tag))
    return tag


def references() -> dict[str, str]:
    """The images that the registry has, by their names in config/artefacts.yaml."""
    known = update.references(images.artefacts(), mirror.new_version())
    return {name: known[name] for name in ("debian", "ollama")}


def catalogue() -> str:
    """What the stand-in library has, as a catalogue: the project's own entry of the small model, under both names."""
    whole = yaml.safe_load((CHECKOUT / "config/models.yaml").read_text(encoding="utf-8"))
    small = next(model for model in whole["models"] if model["name"] == PROBE)
    coder = {
        **small, "name": CODER, "title": "The small model, as a coder", "purposes": ["code", "chat"],
        "sources": [{"ollama": CODER}],
    }  # fmt: skip
    return yaml.safe_dump({"schema": 1, "models": [coder, {**small, "sources": [{"ollama": PROBE}]}]})


def _step(base: str) -> dict[str, Any]:
    files = {path.name: path.read_bytes() for path in FILES.iterdir() if path.is_file()}
    files["apt-install"] = (CHECKOUT / "compose/images/apt-install").read_bytes()
    arguments = {"BASE": base}
    return {
        "name": "upstream",
        "kind": "build",
        "reference": f"{PREFIX}/upstream-empty:{images.plan.content_hash(files, arguments)}",
        "arguments": arguments,
        "files": files,
        "suite": images.artefacts()["bootstrap"]["debian"],
    }


def _debian() -> str:
    """A Debian with nothing in it, as its image on the hub."""
    tag = f"{PREFIX}/debian-slim:{image.TRIXIE.suite}"
    image.once(tag, lambda: image.bootstrap(image.TRIXIE, ("base-files",), tag))
    return tag


def _fill(step: dict[str, Any], ollama: list[dict[str, Any]], tag: str) -> None:
    """Push the images into the registry, and keep it as an image; its label `digests` says what they got."""
    here = images.Images()
    empty, content = here.make([step]), {"debian": _debian(), "ollama": here.make(ollama)}
    command = ("docker-registry", "serve", "/etc/gridtie-lab/filling.yml")
    # Docker trusts a registry on loopback without TLS.
    container = _docker("run", "--detach", "--publish=127.0.0.1::5000", empty, *command)
    try:
        address = _docker("port", container, "5000").splitlines()[0]
        mirror.wait_for(f"http://{address}/v2/")
        pushed = {name: _push(content[name], reference, address) for name, reference in references().items()}
        label = json.dumps(json.dumps(pushed))
        _docker("commit", "--change", f"LABEL digests={label}", "--change", 'CMD ["serve"]', container, tag)
    finally:
        _docker("rm", "--force", "--volumes", container)


def _push(content: str, reference: str, address: str) -> str:
    there = f"{address}/{reference.partition('/')[2]}"
    _docker("tag", content, there)
    try:
        told = _docker("push", there)
    finally:
        _docker("image", "rm", there)
    return next(word for word in told.split() if word.startswith("sha256:"))


def _wait(server: Server, limit: float = 60.0) -> None:
    """Until the registry behind nginx asks for a token."""
    deadline = time.monotonic() + limit
    while True:
        command = ["docker", "exec", server.container, "python3", "-c", _ASK]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.stdout.strip() == "401":
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"the stand-in registry does not answer: {done.stdout}{done.stderr}")
        time.sleep(0.3)


def _archive() -> dict[str, Any]:
    """The release's archive for machines as this one."""
    found: dict[str, Any] = images.artefacts()["ollama"]["archives"][platform.machine()]
    return found


def _docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"docker {' '.join(words[:3])}: {done.stderr}"
    return done.stdout.strip()
