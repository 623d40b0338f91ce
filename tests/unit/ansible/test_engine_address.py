"""An engine is asked only where this host really reaches it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from plugins.module_utils.gridtie_engine_address import reached
from plugins.module_utils.gridtie_host.router import Unreachable

URL = "http://engine:8081"


def docker(directory: Path, addresses: str, **facts: Any) -> dict[str, Any]:
    """Stands in for the docker command: tells the addresses of a container."""
    command = directory / "docker"
    command.write_text(f'#!/bin/sh\necho "{addresses}"\n')
    command.chmod(0o755)
    return {"cli": str(command), "host": "unix:///run/docker.sock", **facts}


def test_a_native_engine_is_where_the_router_finds_it() -> None:
    assert reached("http://127.0.0.1:11434", "", {}) == "http://127.0.0.1:11434"


def test_a_container_is_asked_at_its_own_address(tmp_path: Path) -> None:
    assert reached(URL, "gridtie-engine-1", docker(tmp_path, "172.18.0.2 172.19.0.2")) == "http://172.18.0.2:8081"


@pytest.mark.parametrize(("kind", "said"), [("rootless", "a rootless Docker"), ("desktop", "Docker Desktop")])
def test_an_address_in_a_persons_own_docker_is_none_of_this_host(tmp_path: Path, kind: str, said: str) -> None:
    """Another machine may have it here."""
    with pytest.raises(Unreachable, match=f"gridtie-engine-1 runs in {said}"):
        reached(URL, "gridtie-engine-1", docker(tmp_path, "172.18.0.2", **{kind: True}))


def test_a_container_without_an_address_is_not_looked_for_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="gridtie-engine-1 has no address"):
        reached(URL, "gridtie-engine-1", docker(tmp_path, ""))
