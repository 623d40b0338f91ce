"""What a station left in Docker is removed, also where Docker takes its time."""

from __future__ import annotations

from pathlib import Path

from standins.play import play

# Answers at once what there is, and takes longer than a question may to remove it.
SLOW = """#!/bin/sh
case "$1 $2" in
  "ps --all") [ -e {there} ] && echo gridtie-router-1 ;;
  "rm --force") sleep 16; rm {there} ;;
  *) ;;
esac
exit 0
"""


def test_a_removal_may_take_longer_than_a_question(tmp_path: Path) -> None:
    """A container's files on a busy disk: a reset stopped after 15 s, with a part of the station left."""
    there, docker = tmp_path / "there", tmp_path / "bin" / "docker"
    there.touch()
    docker.parent.mkdir()
    docker.write_text(SLOW.format(there=there))
    docker.chmod(0o755)
    remove = {
        "gridtie.gridtie.gridtie_docker_remove": {"project": "gridtie"},
        "environment": {"PATH": f"{docker.parent}:/usr/bin:/bin"},
    }

    status, output = play(tmp_path, [remove], {})

    assert status == 0, output
    assert "container gridtie-router-1" in output
    assert not there.exists()


# One that a station pulled, one that it pulled and that a container of somebody is made of, and one of a person.
PULLED = """#!/bin/sh
echo "$*" >> {log}
case "$*" in
  version*) echo 27 ;;
  "image ls"*reference=gridtie/pulled) printf 'gridtie/pulled:aaaa\\ngridtie/pulled:bbbb\\n' ;;
  "ps --all --quiet --filter ancestor=gridtie/pulled:bbbb") echo 0123 ;;
  "image inspect"*gridtie/pulled:aaaa)
    echo "docker.io/ollama/ollama@sha256:aaaa gridtie/pulled:aaaa docker.io/ollama/ollama:0.34 mine/kept:1" ;;
esac
exit 0
"""


def test_what_a_station_pulled_goes_with_the_last_of_them_and_what_somebody_runs_or_named_stays(tmp_path: Path) -> None:
    log, docker = tmp_path / "log", tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(PULLED.format(log=log))
    docker.chmod(0o755)
    remove = {
        "gridtie.gridtie.gridtie_docker_remove": {"project": "gridtie", "bases": ["gridtie/base"]},
        "environment": {"PATH": f"{docker.parent}:/usr/bin:/bin"},
    }

    status, output = play(tmp_path, [remove], {})

    assert status == 0, output
    removed = [line for line in log.read_text().splitlines() if line.startswith("image rm ")]
    assert removed == [
        "image rm gridtie/pulled:aaaa",
        "image rm docker.io/ollama/ollama:0.34",
        "image rm docker.io/ollama/ollama@sha256:aaaa",
    ]
