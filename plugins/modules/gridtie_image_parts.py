#!/usr/bin/python
"""An image as files that can travel: packed into parts on one machine, put together on another."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.gridtie_docker import run
from ..module_utils.gridtie_progress import report

DOCUMENTATION = r"""
module: gridtie_image_parts
short_description: Pack an image into parts, or load it from them
description:
  - Called through the action plugins M(gridtie_image_pack) and M(gridtie_image_take), which carry the parts. Each part
    has its SHA-256, so that a transfer that was cut off goes on with the part that was under way, and nothing is loaded
    that is not what was packed. What is loaded must have the layers of what was packed.
options:
  state:
    description: C(packed), C(there) (tells which parts are), C(loaded), or C(gone) (removes the directory).
    type: str
    choices: [packed, there, loaded, gone]
    required: true
  directory:
    description: Where the parts are, or arrive.
    type: path
    required: true
  nearby:
    description: Where the parts lie already, if it is on this machine; what can be read there need not arrive.
    type: path
  reference:
    description: The image.
    type: str
  docker:
    description: The Docker to use, as M(gridtie_machine) describes it.
    type: dict
  parts:
    description: Each part's C(name) and C(sha256), in order.
    type: list
    elements: dict
    default: []
  layers:
    description: Digests of the layers that the loaded image must have.
    type: list
    elements: str
    default: []
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Pack
  gridtie.gridtie.gridtie_image_parts:
    state: packed
    directory: /var/cache/gridtie/parts
    reference: gridtie/router:0123456789ab
    docker: "{{ gridtie_docker }}"
"""
RETURN = r"""
parts:
  description: Each part's name and SHA-256; of C(there) those that are there and whole.
  type: list
  returned: always
layers:
  description: Digests of the image's layers.
  type: list
  returned: when packed or loaded
"""

# A part that is lost with its connection is sent again: short enough for a slow network, long enough for a fast one.
_PART_BYTES = 32 * 1024 * 1024
_BLOCK = 1024 * 1024


class PartsError(Exception):
    """It cannot be packed or loaded; the message says why."""


def pack(docker: dict[str, Any], reference: str, directory: Path) -> list[dict[str, str]]:
    """Write `docker save` in parts, and tell each part's digest."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True, mode=0o755)
    parts: list[dict[str, str]] = []
    command = [docker["cli"], "save", reference]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_environment(docker)) as saving:
        assert saving.stdout is not None and saving.stderr is not None  # noqa: S101 (asked for above)
        while content := saving.stdout.read(_PART_BYTES):
            name = f"part-{len(parts):04d}"
            report(f"packing {reference}: {(len(parts) * _PART_BYTES + len(content)) >> 20} MiB")
            (directory / name).write_bytes(content)
            (directory / name).chmod(0o644)
            parts.append({"name": name, "sha256": hashlib.sha256(content).hexdigest()})
        errors = saving.stderr.read().decode("utf-8", "replace").strip()
    if saving.returncode:
        raise PartsError(f"docker save {reference}: {errors}")
    return parts


def whole(directory: Path, parts: list[dict[str, str]]) -> list[dict[str, str]]:
    """Those parts that are there as they were packed."""
    return [part for part in parts if _sha256(directory / part["name"]) == part["sha256"]]


def readable(directory: Optional[str], parts: list[dict[str, str]]) -> bool:
    """Whether all parts can be read there; a person's own mount, as of a stick, may be closed to root."""
    return bool(directory) and all(os.access(f"{directory}/{part['name']}", os.R_OK) for part in parts)


def load(docker: dict[str, Any], directory: Path, parts: list[dict[str, str]]) -> None:
    """Hand the parts to `docker load`."""
    command = [docker["cli"], "load", "--quiet"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=_environment(docker)
    ) as loading:
        assert loading.stdin is not None and loading.stdout is not None  # noqa: S101 (asked for above)
        try:
            for part in parts:
                with (directory / part["name"]).open("rb") as file:
                    shutil.copyfileobj(file, loading.stdin, _BLOCK)
            loading.stdin.close()
        except BrokenPipeError:
            pass  # What it says is the reason.
        said = loading.stdout.read().decode("utf-8", "replace").strip()
    if loading.returncode:
        raise PartsError(f"docker load: {said}")


def take(
    docker: dict[str, Any], reference: str, directory: Path, parts: list[dict[str, str]], wanted: list[str]
) -> None:
    """Load what has arrived, if it is what was packed."""
    there = whole(directory, parts)
    if missing := [part["name"] for part in parts if part not in there]:
        raise PartsError(f"{', '.join(missing)} did not arrive whole; run this again, it goes on from there")
    load(docker, directory, parts)
    if layers(docker, reference) != wanted:
        raise PartsError(f"{reference} was loaded with other layers than it was packed with")


def layers(docker: dict[str, Any], reference: str) -> list[str]:
    """What the image is made of; the same on every Docker, however it stores images."""
    status, output, errors = run(
        [docker["cli"], "image", "inspect", "--format", "{{json .RootFS.Layers}}", reference],
        {"DOCKER_HOST": docker["host"]},
    )
    if status:
        raise PartsError(f"{reference}: {errors}")
    return list(json.loads(output))


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            for block in iter(lambda: file.read(_BLOCK), b""):
                digest.update(block)
    except FileNotFoundError:
        return ""
    return digest.hexdigest()


def _environment(docker: dict[str, Any]) -> dict[str, str]:
    return {**os.environ, "DOCKER_HOST": docker["host"]}


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["packed", "there", "loaded", "gone"], "required": True},
            "directory": {"type": "path", "required": True},
            "nearby": {"type": "path"},
            "reference": {"type": "str"},
            "docker": {"type": "dict"},
            "parts": {"type": "list", "elements": "dict", "default": []},
            "layers": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=False,
    )
    given = module.params
    directory, state = Path(given["directory"]), given["state"]
    here = readable(given["nearby"], given["parts"])
    try:
        if state == "packed":
            parts = pack(given["docker"], given["reference"], directory)
            module.exit_json(changed=True, parts=parts, layers=layers(given["docker"], given["reference"]))
        if state == "there":
            module.exit_json(changed=False, parts=given["parts"] if here else whole(directory, given["parts"]))
        if state == "loaded":
            place = Path(given["nearby"]) if here else directory
            take(given["docker"], given["reference"], place, given["parts"], given["layers"])
        shutil.rmtree(directory, ignore_errors=True)
    except (PartsError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=state == "loaded", parts=[], layers=given["layers"])


if __name__ == "__main__":
    main()
