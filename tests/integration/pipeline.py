"""Jobs of docs/ci.md, run as their platforms run them: a network, a service with an alias, a job's container beside."""

from __future__ import annotations

import os
import re
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml
from python_on_whales import Container, docker

from integration.station import healthy

PAGE = (Path(__file__).parents[2] / "docs/ci.md").read_text(encoding="utf-8")
# A job's image has pip. The one that stands for it here has not, and is given what runs these tests.
PACKAGES = Path(httpx.__file__).parents[1]
_INSTALL = re.compile(r"^python3 -m pip install (\w+)$")
HOME = "/job"


def blocks(language: str) -> list[str]:
    """The page's code in one language, block by block."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def example(heading: str) -> Any:
    """The YAML below a heading, read."""
    _, found, after = PAGE.partition(f"\n### {heading}\n")
    assert found, f"docs/ci.md has no heading {heading!r}"
    block = re.search(r"^```yaml\n(.*?)^```", after, re.MULTILINE | re.DOTALL)
    assert block is not None
    return yaml.safe_load(block[1])


def write_programs(directory: Path) -> None:
    """Put the page's Python files there, by the names in their first lines."""
    for block in blocks("python"):
        name = re.match(r"# (\S+\.py)\n", block)
        if name:
            (directory / name[1]).write_text(block, encoding="utf-8")


def filled(text: str, values: Mapping[str, str]) -> str:
    """`${{ name }}` and `$NAME` replaced; a name that is not known here is an error."""
    text = re.sub(r"\$\{\{ *(.*?) *\}\}", lambda found: values[found[1]], text)
    return re.sub(r"\$([A-Z_]+)", lambda found: values[found[1]], text)


@dataclass(frozen=True)
class Job:
    """One job of either platform, in the same words."""

    # Alias -> the environment of its container.
    services: dict[str, dict[str, str]]
    variables: dict[str, str]
    script: list[str]


def gitlab(job: Mapping[str, Any]) -> Job:
    """Variables of a job reach its services, and refer to each other."""
    variables = {"CI_PIPELINE_ID": "4711"}
    for name, text in job["variables"].items():
        variables[name] = filled(text, variables)
    return Job({service["alias"]: variables for service in job["services"]}, variables, job["script"])


def github(job: Mapping[str, Any]) -> Job:
    """Each service has its own environment; steps that use an action are the platform's."""
    known = {"github.run_id": "4711"}

    def environment(of: Mapping[str, Any]) -> dict[str, str]:
        return {name: filled(text, known) for name, text in of.get("env", {}).items()}

    services = {name: environment(service) for name, service in job["services"].items()}
    return Job(services, environment(job), [step["run"] for step in job["steps"] if "run" in step])


@dataclass
class Pipeline:
    """A job's network, with its services on it."""

    image: str
    network: str
    services: list[Container] = field(default_factory=list)

    def run(self, script: list[str], variables: Mapping[str, str], files: Path) -> subprocess.CompletedProcess[str]:
        """The job's container: its lines in a shell that ends at the first that fails, and no way to Docker."""
        command = [
            *("docker", "run", "--rm", "--network", self.network, "--entrypoint", "sh", "--workdir", HOME),
            *("--volume", f"{files}:{HOME}:ro", "--volume", f"{PACKAGES}:/packages:ro"),
            *("--env", "PYTHONPATH=/packages"),
        ]
        for name, value in variables.items():
            command += ["--env", f"{name}={value}"]
        lines = "\n".join(["set -e", *(_INSTALL.sub(r"python3 -c 'import \1'", line) for line in script)])
        return subprocess.run([*command, self.image, "-c", lines], capture_output=True, text=True, check=False)


@contextmanager
def pipeline(image: str, services: Mapping[str, Mapping[str, str]]) -> Iterator[Pipeline]:
    """The services of a job, healthy; gone afterwards."""
    made = Pipeline(image, f"gridtie-test-job-{uuid.uuid4().hex[:8]}")
    network = docker.network.create(made.network)
    try:
        for alias, variables in services.items():
            service = docker.run(image, detach=True, envs=variables, networks=[network], network_aliases=[alias])
            made.services.append(service)
        for service in made.services:
            wait_until_healthy(service)
        yield made
    finally:
        for service in made.services:
            service.remove(force=True, volumes=True)
        network.remove()


def wait_until_healthy(service: Container, limit: float = 120) -> None:
    """By the image's own check, as platforms wait."""
    deadline = time.monotonic() + limit
    while not healthy(service):
        if not service.state.running or time.monotonic() > deadline:
            raise AssertionError(f"{service.name} is {service.state.status}:\n{service.logs(tail=20)}")
        time.sleep(0.2)


def steps_of_hosted_runner(*, cached: bool) -> list[str]:
    """The shell by which the hosted runner's job has the image: with an entry in the cache, or without."""
    condition = f"steps.image.outputs.cache-hit {'==' if cached else '!='} 'true'"
    steps = example("A hosted runner without a registry, with a cache")["jobs"]["test"]["steps"]
    return [step["run"] for step in steps if step.get("if") == condition]


def shell(script: str, directory: Path, **environ: str) -> str:
    """Run a step as a hosted runner does, in `bash -e`."""
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=directory,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr
