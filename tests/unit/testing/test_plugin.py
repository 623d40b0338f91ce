"""The pytest plugin as a project uses it: in a session of its own, with and without Docker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
# What stands in docker's place says why it does not answer.
NO_DAEMON = "#!/bin/sh\necho 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock.' >&2\nexit 1\n"
# It answers, and has no image.
NO_IMAGE = """#!/bin/sh
case "$1 $2" in
  "version "*) echo '{"Client": {}, "Server": {}}'; exit ;;
esac
echo "Unable to find image 'gridtie/service:1' locally" >&2
echo "docker: Error response from daemon: No such image: gridtie/service:1." >&2
exit 125
"""


def session(directory: Path, docker: str, **environ: str) -> str:
    """What pytest prints of one test that asks for the fixture."""
    (directory / "bin").mkdir()
    if docker:
        program = directory / "bin/docker"
        program.write_text(docker)
        program.chmod(0o755)
    (directory / "conftest.py").write_text('pytest_plugins = ["gridtie.testing"]\n')
    (directory / "test_it.py").write_text("def test_it(gridtie):\n    assert gridtie.base_url == 'http://r:8484/v1'\n")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("GRIDTIE", "DOCKER", "CI"))}
    path = f"{directory / 'bin'}:/usr/bin-without-docker"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", "--rootdir", str(directory), str(directory)],
        cwd=directory,
        env={**clean, "PATH": path, "PYTHONPATH": str(ROOT / "src"), **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_a_router_that_the_environment_names_is_used_without_any_docker(tmp_path: Path) -> None:
    named = {"GRIDTIE_BASE_URL": "http://r:8484", "GRIDTIE_KEY": "a-key-of-a-pipeline"}

    assert "1 passed" in session(tmp_path, "", **named)


@pytest.mark.parametrize(
    ("docker", "found"), [("", "no docker command was found"), (NO_DAEMON, "Cannot connect to the Docker daemon")]
)
def test_without_docker_a_developers_tests_are_skipped_and_a_pipelines_fail(
    tmp_path: Path, docker: str, found: str
) -> None:
    for name in ("here", "pipeline"):
        (tmp_path / name).mkdir()
    here, pipeline = session(tmp_path / "here", docker), session(tmp_path / "pipeline", docker, CI="true")

    assert "1 skipped" in here
    assert "1 error" in pipeline
    assert all(found in said and "GRIDTIE_BASE_URL and GRIDTIE_KEY" in said for said in (here, pipeline))


def test_an_image_that_is_not_here_is_told_with_the_command_that_makes_it(tmp_path: Path) -> None:
    said = session(tmp_path, NO_IMAGE)

    assert "1 error" in said
    assert "make it (`make image` in a checkout of Gridtie)" in said
