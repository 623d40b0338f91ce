"""Container images on the host: there already, or bootstrapped, built or pulled."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import os
import platform
import re
import shutil
import tempfile
import time
from typing import Any, Iterator

from .gridtie_build_sources import apt_sources, go_env, pip_conf
from .gridtie_command import CommandError, follow
from .gridtie_docker import run
from .gridtie_machine import parse_os_release, read_text
from .gridtie_progress import report

# A bootstrap needs about a minute, compiling Ollama five on a busy two-core machine.
LIMIT_S = 3600
_WORK = "/var/tmp/gridtie-image"

# What a person reads while a stage of a Dockerfile runs.
_STAGES = {
    "python-build": "installing build tools",
    "llama-cpp": "fetching llama.cpp's server",
    "ollama-build": "compiling Ollama",
    "dependencies": "fetching the router's requirements",
}


class Images:
    """The images of one Docker engine, made with the host's package sources."""

    def __init__(self, docker: dict[str, Any], ca_bundle: str, environment: dict[str, str]) -> None:
        self._docker = docker["cli"]
        self._environment = {**environment, "DOCKER_HOST": docker["host"]}
        self._package_environment = {**os.environ, **environment}
        self._ca_bundle = ca_bundle if os.path.isfile(ca_bundle) else ""
        self._lock: list[int] = []

    def digest(self, reference: str) -> str | None:
        """The image's id where it is there, else None."""
        status, output, errors = self._ask("image", "inspect", "--format", "{{.Id}}", reference)
        if status == 0:
            return output
        if "no such image" in errors.lower():
            return None
        raise CommandError(f"Docker cannot be asked about {reference}: {errors}")

    def repository_digest(self, reference: str) -> str:
        """The registry's digest of a pulled image."""
        _, output, _ = self._ask("image", "inspect", "--format", "{{json .RepoDigests}}", reference)
        name = reference.rsplit(":", 1)[0]
        for entry in json.loads(output or "[]"):
            repository, _, digest = entry.partition("@")
            # Docker shortens names of its own hub.
            if name.endswith(repository):
                return str(digest)
        raise CommandError(f"Docker does not say which digest it pulled for {reference}")

    @contextlib.contextmanager
    def alone(self, reference: str) -> Iterator[None]:
        """Held by one run at a time, and by what a killed run left running: its work is waited for, not repeated."""
        directory = "/run/lock" if os.access("/run/lock", os.W_OK) else tempfile.gettempdir()
        name = re.sub(r"[^a-z0-9]+", "-", reference.partition(":")[0])
        descriptor = os.open(f"{directory}/gridtie-image-{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _wait_for_lock(descriptor, reference)
            self._lock = [descriptor]
            yield
        finally:
            self._lock = []
            os.close(descriptor)

    def bootstrap(self, step: dict[str, Any]) -> None:
        """Make the base image from the distribution mirror."""
        if not shutil.which("mmdebstrap"):
            raise CommandError("mmdebstrap is not installed; it makes the base image where no container registry answers")
        _clear(_WORK)
        os.mkdir(_WORK, 0o700)
        try:
            _write(f"{_WORK}/bootstrap.sh", step["script"])
            _write(f"{_WORK}/sources.list", self._apt_sources(step["suite"]))
            # mmdebstrap makes the file system below TMPDIR, and its own apt user must get there.
            os.chmod(_WORK, 0o711)
            report(f"bootstrapping the base image ({step['suite']}, from the package mirror)")
            follow(
                ["sh", "-c", 'exec sh "$0" "$@" >"$OUTPUT"', f"{_WORK}/bootstrap.sh", step["suite"], step["architecture"],
                 f"{_WORK}/sources.list"],
                what="bootstrapping the base image",
                limit_s=LIMIT_S,
                environment={**self._environment, "TMPDIR": _WORK, "OUTPUT": f"{_WORK}/root.tar"},
                keep_open=self._lock,
            )  # fmt: skip
            follow(
                [self._docker, "import", "--change", 'CMD ["/bin/sh"]', f"{_WORK}/root.tar", step["reference"]],
                what="importing the base image",
                limit_s=LIMIT_S,
                environment=self._environment,
                keep_open=self._lock,
            )
        finally:
            _clear(_WORK)

    def build(self, step: dict[str, Any], context: str) -> None:
        """Build an image from a gzipped tar on this machine."""
        environment = {**self._environment, **self._sources(step)}
        arguments = [self._docker, "buildx", "build", "--builder", "default", "--load", "--progress", "plain"]
        # The host's network, so that its proxies, mirrors and name servers are reached in the way the host does.
        arguments += ["--network", "host", "--tag", step["reference"]]
        if step.get("target"):
            arguments += ["--target", step["target"]]
        for name, value in sorted(step["arguments"].items()):
            arguments += ["--build-arg", f"{name}={value}"]
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
            # Without a value: taken from the environment, so that no process list shows it.
            if environment.get(name) or os.environ.get(name):
                arguments += ["--build-arg", name]
        for secret, variable in (("apt_sources", "GRIDTIE_APT"), ("pip_conf", "GRIDTIE_PIP"), ("go_env", "GRIDTIE_GO")):
            if variable in environment:
                arguments += ["--secret", f"id={secret},env={variable}"]
        if self._ca_bundle:
            arguments += ["--secret", f"id=ca,src={self._ca_bundle}"]
        report(f"building {step['name']}")
        follow(
            [*arguments, "-"],
            what=f"building the image {step['name']}",
            limit_s=LIMIT_S,
            line=lambda text: _tell(step["name"], text),
            environment=environment,
            stdin=context,
            keep_open=self._lock,
        )

    def pull(self, reference: str, digest: str | None) -> str:
        """Pull by digest where one is known, else by tag, and return the name with the digest it has."""
        repository = reference.rsplit(":", 1)[0]
        wanted = f"{repository}@{digest}" if digest else reference
        report(f"pulling {wanted}")
        follow(
            [self._docker, "pull", wanted],
            what=f"pulling {wanted}",
            limit_s=LIMIT_S,
            environment=self._environment,
            keep_open=self._lock,
        )
        return f"{repository}@{digest or self.repository_digest(reference)}"

    def _sources(self, step: dict[str, Any]) -> dict[str, str]:
        """Package sources as variables that BuildKit reads secrets from: nothing of them is written to a disk."""
        files = [read_text(path) for path in _pip_files(self._package_environment)]
        certificates = "/run/secrets/ca" if self._ca_bundle else ""
        go = shutil.which("go", path=os.environ.get("PATH", "") + ":/usr/local/go/bin")
        printed = run([go, "env", "GOPROXY", "GOSUMDB"])[1] if go else ""
        sources = {
            "GRIDTIE_PIP": pip_conf(self._package_environment, files, certificates),
            "GRIDTIE_GO": go_env(self._package_environment, printed),
        }
        if step.get("suite"):
            sources["GRIDTIE_APT"] = self._apt_sources(step["suite"])
        return sources

    def _apt_sources(self, suite: str) -> str:
        _, targets, _ = run(["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages"])
        return apt_sources(targets, parse_os_release(read_text("/etc/os-release"))["codename"], suite)

    def _ask(self, *arguments: str) -> tuple[int, str, str]:
        return run([self._docker, *arguments], self._environment)


def missing_cpu_flags(wanted: list[str]) -> list[str]:
    """Those processor features that this machine lacks. Only x86_64 names them in /proc/cpuinfo."""
    if platform.machine() != "x86_64":
        return []
    found = re.search(r"^flags\s*:(.*)$", read_text("/proc/cpuinfo"), re.MULTILINE)
    return sorted(set(wanted) - set(found.group(1).split())) if found else []


def _pip_files(environment: dict[str, str]) -> list[str]:
    """Where pip looks for its configuration, weakest first."""
    home = environment.get("HOME", "/root")
    config = environment.get("XDG_CONFIG_HOME", f"{home}/.config")
    files = [*sorted(glob.glob("/etc/xdg/pip/pip.conf")), "/etc/pip.conf", f"{home}/.pip/pip.conf", f"{config}/pip/pip.conf"]
    return [*files, environment["PIP_CONFIG_FILE"]] if environment.get("PIP_CONFIG_FILE") else files


def _tell(name: str, line: str) -> None:
    """Progress from BuildKit's plain output, such as `#12 [ollama-build 3/5] RUN ...`."""
    step = re.match(r"#\d+ \[([\w-]+) (\d+)/(\d+)\]", line)
    if step:
        report(f"building {name}: {_STAGES.get(step.group(1), step.group(1))} ({step.group(2)}/{step.group(3)})")


def _wait_for_lock(descriptor: int, reference: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise CommandError(f"another run has been making {reference} for more than {LIMIT_S} s") from None
        report("waiting for another run that makes the same image")
        time.sleep(1)


def _clear(directory: str) -> None:
    """Remove what a killed bootstrap left; with a file system mounted in it that would delete that, too."""
    mounted = [line.split()[1] for line in read_text("/proc/self/mounts").splitlines() if f" {directory}/" in line]
    if mounted:
        raise CommandError(f"unmount {', '.join(mounted)} first: an interrupted bootstrap left it mounted")
    if os.path.lexists(directory):
        shutil.rmtree(directory)


def _write(path: str, content: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
