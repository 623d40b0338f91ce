"""Accounts of a station where a system account is no help: with a person's own Docker."""

from __future__ import annotations

import os
import pwd
import re
from pathlib import Path

import pytest

from standins.play import play


def container_user(directory: Path, *, apart: bool) -> str:
    """Whom a container runs as with a Docker of this person's own."""
    socket = directory / "docker.sock"
    socket.touch()
    given = {
        "user": "gridtie-none", "group": "gridtie-none", "home": str(directory), "config_dir": str(directory / "etc"),
        "rootless": True, "docker_host": f"unix://{socket}", "apart": apart,
    }  # fmt: skip
    status, output = play(directory, [{"name": "Make the account", "gridtie.gridtie.gridtie_account": given}], {})
    assert status == 0, output
    (found,) = set(re.findall(r'"container_user": "([\d:]+)"', output))
    return found


def test_beside_a_rootless_docker_the_engine_is_nobody_inside_and_outside(tmp_path: Path) -> None:
    """Root inside is the person outside, whose files the router's are."""
    router, engine = (container_user(tmp_path, apart=apart) for apart in (False, True))

    assert router == "0:0"
    assert 0 < int(engine.partition(":")[0]) < 65536
    assert int(engine.partition(":")[0]) != os.getuid()
    with pytest.raises(KeyError):
        pwd.getpwnam("gridtie-none")
