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
from integration.station import Station, docker

ROOT = Path(__file__).resolve().parents[2]
KEY = "a-key-of-a-pipeline"
HARD = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")


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
        docker("image", "rm", "--force", name)
        (runner / "image.tar").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def service(image: str) -> Iterator[str]:
    """One that runs, hardened, with a known key."""
    container = docker("run", "--detach", *HARD, "--env", f"GRIDTIE_KEY={KEY}", image)
    try:
        wait_until_healthy(container)
        yield container
    finally:
        docker("rm", "--force", "--volumes", container)


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
    before = set(docker("ps", "--all", "--quiet").split())
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(project), str(project)],
        env={**os.environ, "GRIDTIE_IMAGE": image, "PYTHONPATH": str(ROOT / "src"), "CI": "true"},
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    left = set(docker("ps", "--all", "--quiet", "--filter", f"ancestor={image}").split()) - before

    assert "1 passed" in done.stdout, done.stdout + done.stderr
    assert not left


def test_it_runs_as_nobody_with_nothing_of_the_key_in_its_programs(service: str) -> None:
    """The first process was given the key; what serves was not, and nothing of it is written down."""
    look = (
        "for each in /proc/[0-9]*; do line=$(tr '\\0' ' ' <$each/cmdline); case $line in "
        "*gridtie-service*|*--ready*) ;; /usr/bin/python3*) echo $line; cat $each/environ; esac; done; id -u"
    )
    shown = subprocess.run(["docker", "exec", service, "sh", "-c", look], capture_output=True, check=False)
    files = docker("exec", service, "sh", "-c", f"grep -rl {KEY[:6]}.{KEY[7:]} /tmp /etc/gridtie || true")
    log = subprocess.run(["docker", "logs", service], capture_output=True, check=True)

    assert [name in shown.stdout for name in (b"gridtie-engine", b"gridtie-router", b"llama-server")] == [True] * 3
    assert shown.stdout.endswith(b"65534\n")
    assert KEY.encode() not in shown.stdout + log.stdout + log.stderr
    assert files == ""


def test_a_routing_file_that_is_mounted_is_in_force(image: str, tmp_path: Path) -> None:
    routing = tmp_path / "llm_routing.yaml"
    routing.write_text("version: 1\nrulez: []\n")
    routing.chmod(0o644)
    tmp_path.chmod(0o755)
    mount = f"{routing}:/etc/gridtie/llm_routing.yaml:ro"
    done = subprocess.run(
        ["docker", "run", "--rm", "--volume", mount, "--env", f"GRIDTIE_KEY={KEY}", image],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 2
    assert "rulez" in done.stderr


@pytest.mark.parametrize(("key", "said"), [("", "GRIDTIE_KEY is not set"), ("short", "has 5 characters, wanted 16")])
def test_without_a_usable_key_it_ends_at_once_and_says_so(image: str, key: str, said: str) -> None:
    done = subprocess.run(
        ["docker", "run", "--rm", "--env", f"GRIDTIE_KEY={key}", image], capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert said in done.stderr


def test_the_image_says_what_it_is_and_exposes_one_port(image: str) -> None:
    format_ = '{{index .Config.Labels "org.opencontainers.image.version"}} {{json .Config.ExposedPorts}}'
    version = (ROOT / "src/gridtie/host/version.py").read_text().split('"')[-2]

    assert docker("image", "inspect", "--format", format_, image) == f'{version} {{"8484/tcp":{{}}}}'


def test_a_stop_ends_it_before_docker_would_kill_it(image: str) -> None:
    container = docker("run", "--detach", *HARD, "--env", f"GRIDTIE_KEY={KEY}", image)
    try:
        wait_until_healthy(container)
        began = time.monotonic()
        docker("stop", "--time", "30", container)
        stopped = time.monotonic() - began

        assert docker("inspect", "--format", "{{.State.ExitCode}}", container) == "0"
        assert stopped < 15
    finally:
        docker("rm", "--force", "--volumes", container)
