"""Container images on the host: there already, or bootstrapped, built or pulled."""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import shutil
from pathlib import Path
from typing import Any, Sequence

from .gridtie_bootstrap import LIMIT_S, root_filesystem
from .gridtie_build_sources import apt_sources, go_env, pip_conf, proxies
from .gridtie_command import CommandError, follow
from .gridtie_docker import PULLED, run
from .gridtie_machine import parse_os_release, read_text
from .gridtie_progress import report
from .gridtie_sources import apt_indexes, pip_files

# What a person reads while a step of a Dockerfile runs, by what the step's command holds.
_STEPS = {
    "gridtie-apt-install": "installing build tools",
    "llama-cpp.lock": "fetching llama.cpp's server",
    "go-toolchain.lock": "fetching the Go toolchain",
    "go build": "compiling Ollama",
    "router.lock": "fetching the router's requirements",
    "model.lock": "fetching the model",
}

# Name of a build's secret -> the variable that BuildKit reads it from, so that no process list shows it.
_SECRETS = {"apt_sources": "GRIDTIE_APT", "pip_conf": "GRIDTIE_PIP", "go_env": "GRIDTIE_GO", "proxy": "GRIDTIE_PROXY"}

# How Go, and so Docker, words a connection that was not made.
_NOT_REACHED = (
    "no such host", "connection refused", "connection reset", "i/o timeout", "network is unreachable",
    "no route to host", "tls handshake timeout", "client.timeout exceeded", "context deadline exceeded",
    "temporary failure in name resolution", "server misbehaving", "proxyconnect tcp",
)  # fmt: skip


class Images:
    """The images of one Docker engine, made with the host's package sources."""

    def __init__(self, docker: dict[str, Any], ca_bundle: str, environment: dict[str, str]) -> None:
        """``environment`` are variables about package sources that this process does not have itself."""
        self._docker = docker["cli"]
        self._environment = {**environment, "DOCKER_HOST": docker["host"]}
        self._package_environment = {**os.environ, **environment}
        self._ca_bundle = ca_bundle if Path(ca_bundle).is_file() else ""

    def is_there(self, reference: str) -> bool:
        """Whether Docker has the image. Raises CommandError where Docker cannot be asked."""
        status, _, errors = self._ask("image", "inspect", "--format", "{{.Id}}", reference)
        if status != 0 and "no such image" not in errors.lower():
            raise CommandError(f"Docker cannot be asked about {reference}: {errors}")
        return status == 0

    def bootstrap(self, step: dict[str, Any], lock: Sequence[int]) -> None:
        """Make the base image from the distribution mirror."""
        sources = self._apt_sources(step["suite"])
        network = proxies(self._package_environment)
        with root_filesystem(step["script"], step["suite"], step["architecture"], sources, lock, network) as tar:
            report("importing the base image")
            follow(
                [self._docker, "import", "--change", 'CMD ["/bin/sh"]', str(tar), step["reference"]],
                what="importing the base image",
                limit_s=LIMIT_S,
                environment=self._environment,
                keep_open=lock,
            )

    def build(self, step: dict[str, Any], context: str, lock: Sequence[int]) -> None:
        """Build an image from a gzipped tar on this machine."""
        environment = {**self._environment, **self._sources(step)}
        arguments = [self._docker, "buildx", "build", "--builder", "default", "--load", "--progress", "plain"]
        # The host's network, so that its proxies, mirrors and name servers are reached in the way the host does.
        arguments += ["--network", "host", "--tag", step["reference"], "--label", f"io.gridtie.image={step['name']}"]
        if step.get("target"):
            arguments += ["--target", step["target"]]
        for name, value in sorted(step.get("labels", {}).items()):
            arguments += ["--label", f"{name}={value}"]
        for name, value in sorted(step["arguments"].items()):
            arguments += ["--build-arg", f"{name}={value}"]
        for secret, variable in _SECRETS.items():
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
            keep_open=lock,
        )

    def pull(self, reference: str, digest: str | None, lock: Sequence[int]) -> str:
        """Pull by digest where one is known, else by tag, and return the name with the digest it has."""
        repository = reference.rsplit(":", 1)[0]
        wanted = f"{repository}@{digest}" if digest else reference
        here = self.is_there(wanted)
        report(f"pulling {wanted}")
        follow(
            [self._docker, "pull", wanted],
            what=f"pulling {wanted}",
            limit_s=LIMIT_S,
            environment=self._environment,
            keep_open=lock,
        )
        named = f"{repository}@{digest or self._repository_digest(reference)}"
        if not here:
            self._note_pulled(named, tags=0 if digest else 1)
        return named

    def _note_pulled(self, named: str, tags: int) -> None:
        """Name an image as one that a pull of ours brought. One that has more names than that was here before."""
        names = "{{len .RepoTags}} {{len .RepoDigests}}"
        _, output, _ = self._ask("image", "inspect", "--format", names, named)
        if output.strip() == f"{tags} 1":
            self._ask("image", "tag", named, f"{PULLED}:{named.rpartition(':')[2][:12]}")

    def _repository_digest(self, reference: str) -> str:
        """The registry's digest of a pulled image."""
        _, output, _ = self._ask("image", "inspect", "--format", "{{json .RepoDigests}}", reference)
        name = reference.rsplit(":", 1)[0]
        for entry in json.loads(output or "[]"):
            repository, _, digest = entry.partition("@")
            # Docker shortens the names of its own hub.
            if name.endswith(repository):
                return str(digest)
        raise CommandError(f"Docker does not say which digest it pulled for {reference}")

    def _sources(self, step: dict[str, Any]) -> dict[str, str]:
        """Package sources as variables that BuildKit reads secrets from: nothing of them is written to a disk."""
        files = [read_text(path) for path in pip_files(self._package_environment)]
        go = shutil.which("go", path=os.environ.get("PATH", "") + ":/usr/local/go/bin")
        printed = run([go, "env", "GOPROXY", "GOSUMDB"])[1] if go else ""
        sources = {
            "GRIDTIE_PIP": pip_conf(self._package_environment, files, "/run/secrets/ca" if self._ca_bundle else ""),
            "GRIDTIE_GO": go_env(self._package_environment, printed),
            "GRIDTIE_PROXY": "".join(
                f"export {name}={shlex.quote(value)}\n" for name, value in proxies(self._package_environment).items()
            ),
        }
        if step.get("suite"):
            sources["GRIDTIE_APT"] = self._apt_sources(step["suite"])
        return sources

    def _apt_sources(self, suite: str) -> str:
        return apt_sources(apt_indexes(), parse_os_release(read_text("/etc/os-release"))["codename"], suite)

    def _ask(self, *arguments: str) -> tuple[int, str, str]:
        return run([self._docker, *arguments], self._environment)


def not_reached(output: str) -> bool:
    """Whether Docker's output says that a registry could not be connected to, as opposed to one that answered wrongly.

    Only the first is a reason to take another source.
    """
    return "x509" not in output and any(sign in output.lower() for sign in _NOT_REACHED)


def missing_cpu_flags(wanted: list[str]) -> list[str]:
    """Those processor features that this machine lacks. Only x86_64 names them in /proc/cpuinfo."""
    if platform.machine() != "x86_64":
        return []
    found = re.search(r"^flags\s*:(.*)$", read_text("/proc/cpuinfo"), re.MULTILINE)
    return sorted(set(wanted) - set(found.group(1).split())) if found else []


def _tell(name: str, line: str) -> None:
    """Progress from BuildKit's plain output, such as `#12 [ollama-build 3/5] RUN ... go build ...`."""
    if re.match(r"#\d+ \[[\w-]+ \d+/\d+\] RUN ", line):
        words = next((words for sign, words in _STEPS.items() if sign in line), None)
        report(f"building the image {name}{': ' + words if words else ''}")
