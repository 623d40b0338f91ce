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
