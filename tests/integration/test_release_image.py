"""Upstream's image: pulled by digest, from a stand-in registry by the real Docker."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from plugins.module_utils.gridtie_apt import Apt
from plugins.module_utils.gridtie_images import not_reached
from plugins.module_utils.gridtie_pins import PinError
from plugins.modules.gridtie_image import CommandError, Maker

from integration.station import docker
from standins.registry import Registry, registry

REFERENCE = "docker.io/gridtie-standin/ollama:1"


@pytest.fixture
def upstream() -> Iterator[Registry]:
    """A registry with the image; what Docker pulled from it is removed afterwards."""
    with registry() as server:
        server.push("gridtie-standin/ollama", "1", b"first")
        yield server
        pulled = docker("image", "ls", "--quiet", "--no-trunc", f"{server.address}/gridtie-standin/ollama").split()
        for image in set(pulled):
            subprocess.run(["docker", "image", "rm", "--force", image], capture_output=True, check=False)


def maker(config: Path, *, require_pins: bool = False) -> Maker:
    cli, host = shutil.which("docker"), docker("context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
    return Maker(
        {
            "docker": {"cli": cli, "host": host}, "ca_bundle": "", "config_dir": str(config), "contexts": {},
            "require_pins": require_pins, "package_settings": {}, "package_addresses": {},
        },
        Apt(),
    )  # fmt: skip


def step(server: Registry, digest: str | None = None) -> dict[str, Any]:
    return {
        "name": "engine-ollama", "kind": "pull", "reference": REFERENCE, "digest": digest,
        "pull_from": f"{server.address}/gridtie-standin/ollama:1",
    }  # fmt: skip


def test_the_first_use_records_the_digest_and_the_next_one_finds_the_image(upstream: Registry, tmp_path: Path) -> None:
    first = maker(tmp_path)
    image, seconds = first.ensure(step(upstream))

    assert image.startswith(f"{upstream.address}/gridtie-standin/ollama@sha256:")
    assert seconds > 0
    assert first.recorded == [image]
    assert json.loads((tmp_path / "pins.json").read_text())["images"] == {REFERENCE: image.partition("@")[2]}
    assert maker(tmp_path).ensure(step(upstream)) == (image, 0.0)


def test_a_tag_that_moved_upstream_is_refused_and_is_no_reason_for_another_source(
    upstream: Registry, tmp_path: Path
) -> None:
    image, _ = maker(tmp_path).ensure(step(upstream))
    docker("image", "rm", "--force", docker("image", "inspect", "--format", "{{.Id}}", image))
    upstream.push("gridtie-standin/ollama", "1", b"second")

    with pytest.raises(CommandError) as caught:
        maker(tmp_path).ensure(step(upstream))

    assert not not_reached(caught.value.output)


def test_a_server_error_is_no_reason_for_another_source(upstream: Registry, tmp_path: Path) -> None:
    upstream.broken = 503

    with pytest.raises(CommandError) as caught:
        maker(tmp_path).ensure(step(upstream))

    assert not not_reached(caught.value.output)


def test_a_registry_that_cannot_be_connected_to_is(tmp_path: Path) -> None:
    with registry() as server:
        gone = step(server)

    with pytest.raises(CommandError) as caught:
        maker(tmp_path).ensure(gone)

    assert not_reached(caught.value.output)


def test_where_pins_are_required_nothing_is_pulled_without_one(upstream: Registry, tmp_path: Path) -> None:
    with pytest.raises(PinError):
        maker(tmp_path, require_pins=True).ensure(step(upstream))

    assert not (tmp_path / "pins.json").exists()
