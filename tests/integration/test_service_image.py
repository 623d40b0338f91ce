"""The image for pipelines, made and used as docs/ci.md says it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from python_on_whales import Container, docker

from integration.pipeline import (
    Job,
    Pipeline,
    example,
    github,
    gitlab,
    pipeline,
    shell,
    steps_of_hosted_runner,
    wait_until_healthy,
    write_programs,
)
from integration.station import Station

ROOT = Path(__file__).resolve().parents[2]
KEY = "a-key-of-a-pipeline"
HARD: dict[str, Any] = {
    "read_only": True,
    "tmpfs": ["/tmp"],
    "cap_drop": ["ALL"],
    "security_options": ["no-new-privileges"],
}


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with this project in `gridtie`, and the page's programs beside it."""
    workspace = tmp_path_factory.mktemp("workspace")
    (workspace / "gridtie").symlink_to(ROOT)
    write_programs(workspace)
    workspace.chmod(0o755)
    return workspace


@pytest.fixture(scope="module")
def image(runner: Path, embedded_station: Station) -> Iterator[str]:
    """Made by the page's steps, of the images that the station beside it runs."""
    name = example("A hosted runner without a registry, with a cache")["jobs"]["test"]["env"]["GRIDTIE_IMAGE"]
    environ = {"GRIDTIE_IMAGE": name, "ARGS": f"-e gridtie_project={embedded_station.project}"}
    try:
        for step in steps_of_hosted_runner(cached=False):
            shell(step, runner, **environ)
        yield name
    finally:
        # Its name by what it is made from goes with the station.
        docker.image.remove(name, force=True)
        (runner / "image.tar").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def service(image: str) -> Iterator[Container]:
    """One that runs, hardened, with a known key."""
    container = docker.run(image, detach=True, envs={"GRIDTIE_KEY": KEY}, **HARD)
    try:
        wait_until_healthy(container)
        yield container
    finally:
        container.remove(force=True, volumes=True)


def test_the_image_comes_back_from_a_cache(image: str, runner: Path) -> None:
    for step in steps_of_hosted_runner(cached=True):
        assert image in shell(step, runner, GRIDTIE_IMAGE=image)


@pytest.mark.parametrize(
    ("heading", "read"),
    [
        ("GitLab: services", lambda file: gitlab(file["review"])),
        ("GitHub: services", lambda file: github(file["jobs"]["review"])),
    ],
)
def test_a_job_beside_the_service_gets_an_answer(
    image: str, runner: Path, heading: str, read: Callable[[Any], Job]
) -> None:
    job = read(example(heading))
    with pipeline(image, job.services) as beside:
        done = beside.run(job.script, job.variables, runner)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].strip()


def test_a_job_with_another_key_is_refused(image: str, runner: Path) -> None:
    job = gitlab(example("GitLab: services")["review"])
    with pipeline(image, job.services) as beside:
        done = beside.run(job.script, {**job.variables, "OPENAI_API_KEY": "another-key-of-16"}, runner)

        assert "401 Unauthorized" in done.stderr
        assert "the engine is not reached" in _ask_the_engine(beside, runner)


def _ask_the_engine(beside: Pipeline, files: Path) -> str:
    """Past the router, where no key is wanted: what a job finds at the engine's own port."""
    code = (
        "import urllib.request, urllib.error\n"
        "try: print(urllib.request.urlopen('http://gridtie:8080/health', timeout=5).read())\n"
        "except urllib.error.URLError as error: print('the engine is not reached', error)\n"
    )
    return beside.run([f'python3 -c "{code}"'], {}, files).stdout


def test_the_pages_pytest_project_asks_the_model_by_openais_sdk(image: str, runner: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    for name in ("conftest.py", "test_review.py"):
        (project / name).write_bytes((runner / name).read_bytes())
    before = {each.id for each in docker.container.list(all=True)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(project), str(project)],
        env={**os.environ, "GRIDTIE_IMAGE": image, "PYTHONPATH": str(ROOT / "src"), "CI": "true"},
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    left = {each.id for each in docker.container.list(all=True, filters=[("ancestor", image)])} - before

    assert "1 passed" in done.stdout, done.stdout + done.stderr
    assert not left


def test_it_runs_as_nobody_with_nothing_of_the_key_in_its_programs(service: Container) -> None:
    """The first process was given the key; what serves was not, and nothing of it is written down."""
    look = (
        "for each in /proc/[0-9]*; do line=$(tr '\\0' ' ' <$each/cmdline); case $line in "
        "*gridtie-service*|*--ready*) ;; /usr/bin/python3*) echo $line; cat $each/environ; esac; done; id -u"
    )
    # A process may end while it is looked at.
    shown = str(service.execute(["sh", "-c", f"{look}; true"]))
    files = service.execute(["sh", "-c", f"grep -rl {KEY[:6]}.{KEY[7:]} /tmp /etc/gridtie || true"])

    assert [name in shown for name in ("gridtie-engine", "gridtie-router", "llama-server")] == [True] * 3
    assert shown.endswith("65534")
    # Both of its streams.
    assert KEY not in shown + str(service.logs())
    assert files == ""


def ended(image: str, **options: Any) -> tuple[int, str]:
    """Exit status and log of a container that is to end by itself."""
    container = docker.run(image, detach=True, **options)
    try:
        return docker.wait(container), str(container.logs())
    finally:
        container.remove(force=True, volumes=True)


def test_a_routing_file_that_is_mounted_is_in_force(image: str, tmp_path: Path) -> None:
    routing = tmp_path / "llm_routing.yaml"
    routing.write_text("version: 1\nrulez: []\n")
    routing.chmod(0o644)
    tmp_path.chmod(0o755)
    mount = (routing, "/etc/gridtie/llm_routing.yaml", "ro")

    status, told = ended(image, volumes=[mount], envs={"GRIDTIE_KEY": KEY})

    assert status == 2
    assert "rulez" in told


@pytest.mark.parametrize(("key", "said"), [("", "GRIDTIE_KEY is not set"), ("short", "has 5 characters, wanted 16")])
def test_without_a_usable_key_it_ends_at_once_and_says_so(image: str, key: str, said: str) -> None:
    status, told = ended(image, envs={"GRIDTIE_KEY": key})

    assert status == 2
    assert said in told


def test_the_image_says_what_it_is_and_exposes_one_port(image: str) -> None:
    config = docker.image.inspect(image).config
    version = (ROOT / "src/gridtie/host/version.py").read_text().split('"')[-2]

    assert config.labels["org.opencontainers.image.version"] == version
    assert list(config.exposed_ports) == ["8484/tcp"]


def test_a_stop_ends_it_before_docker_would_kill_it(image: str) -> None:
    container = docker.run(image, detach=True, envs={"GRIDTIE_KEY": KEY}, **HARD)
    try:
        wait_until_healthy(container)
        began = time.monotonic()
        container.stop(time=30)
        stopped = time.monotonic() - began

        assert container.state.exit_code == 0
        assert stopped < 15
    finally:
        container.remove(force=True, volumes=True)
