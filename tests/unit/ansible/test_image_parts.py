"""An image travels in parts: what arrived is not sent again, and what is not what was packed is not loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from plugins.modules import gridtie_image_parts
from plugins.modules.gridtie_image_parts import PartsError, pack, take, whole

LAYERS = ["sha256:1", "sha256:2"]

# Stands in for the docker command: `save` writes an image's bytes, `load` keeps what it reads, `inspect` tells layers.
DOCKER = """#!/bin/sh
case "$1" in
  save) [ "$2" = gone ] && {{ echo "no such image" >&2; exit 1; }}; cat '{image}' ;;
  load) cat > '{loaded}' ;;
  image) cat '{layers}' ;;
esac
"""


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(gridtie_image_parts, "_PART_BYTES", 1000)
    files = {name: tmp_path / name for name in ("image", "loaded", "layers")}
    files["image"].write_bytes(bytes(range(256)) * 10)
    files["layers"].write_text(json.dumps(LAYERS))
    command = tmp_path / "docker"
    command.write_text(DOCKER.format(**files))
    command.chmod(0o755)
    return {"cli": str(command), "host": "unix:///nowhere"}


def test_it_arrives_as_it_was_packed(tmp_path: Path, docker: dict[str, Any]) -> None:
    parts = pack(docker, "image", tmp_path / "parts")
    take(docker, "image", tmp_path / "parts", parts, LAYERS)

    assert len(parts) == 3
    assert (tmp_path / "loaded").read_bytes() == (tmp_path / "image").read_bytes()


def test_an_image_that_is_not_there_cannot_be_packed(tmp_path: Path, docker: dict[str, Any]) -> None:
    with pytest.raises(PartsError, match="no such image"):
        pack(docker, "gone", tmp_path / "parts")


def test_a_transfer_that_was_cut_off_goes_on_with_the_part_under_way(tmp_path: Path, docker: dict[str, Any]) -> None:
    parts = pack(docker, "image", tmp_path / "parts")
    (tmp_path / "parts" / parts[1]["name"]).write_bytes(b"half")
    (tmp_path / "parts" / parts[2]["name"]).unlink()

    assert whole(tmp_path / "parts", parts) == parts[:1]
    with pytest.raises(PartsError, match="part-0001, part-0002 did not arrive whole"):
        take(docker, "image", tmp_path / "parts", parts, LAYERS)
    assert not (tmp_path / "loaded").exists()


def test_an_image_with_other_layers_is_refused(tmp_path: Path, docker: dict[str, Any]) -> None:
    parts = pack(docker, "image", tmp_path / "parts")

    with pytest.raises(PartsError, match="other layers"):
        take(docker, "image", tmp_path / "parts", parts, ["sha256:9"])


def test_parts_that_lie_on_the_machine_itself_need_not_arrive(
    tmp_path: Path, docker: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = pack(docker, "image", tmp_path / "parts")

    assert gridtie_image_parts.readable(str(tmp_path / "parts"), parts)
    assert not gridtie_image_parts.readable(None, parts)
    assert not gridtie_image_parts.readable(str(tmp_path), parts)
    monkeypatch.setattr(gridtie_image_parts.os, "access", lambda path, mode: False)
    assert not gridtie_image_parts.readable(str(tmp_path / "parts"), parts)
