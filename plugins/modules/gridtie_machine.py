#!/usr/bin/python
"""Look at the machine as the connecting user: hardware, system, Docker, and which sources answer."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Callable

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import (
    gridtie_docker,
    gridtie_graphics,
    gridtie_mac,
    gridtie_machine,
    gridtie_network,
    gridtie_reach,
    gridtie_sources,
)

DOCUMENTATION = r"""
module: gridtie_machine
short_description: Look at a machine before it is provisioned
description:
  - Returns what the preflight judges. Needs no privileges and changes nothing.
options:
  disk_paths:
    description: Directories whose file systems will be filled.
    type: list
    elements: path
    default: []
  probe:
    description: More things to probe, name to URL. Package sources are found by the module.
    type: dict
    default: {}
  sources:
    description: Whether package sources and O(probe) are asked.
    type: bool
    default: true
  gpu_root:
    description: Directory below which graphics cards are looked for.
    type: path
    default: /
  gpu_devices:
    description: The graphics cards that the engine may use, by number or UUID; V(all), or nothing, for all of them.
    type: raw
  ca_bundle:
    description: CA bundle that the probes trust besides the system's; one that is not there is none.
    type: str
    default: ""
extends_documentation_fragment: [gridtie.gridtie.gridtie_network]
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Look at the machine
  gridtie.gridtie.gridtie_machine:
    disk_paths: [/var/lib/gridtie]
"""
RETURN = r"""
machine:
  description: The machine, its Docker and the sources it reaches.
  type: dict
  returned: always
"""


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "disk_paths": {"type": "list", "elements": "path", "default": []},
            "probe": {"type": "dict", "default": {}},
            "sources": {"type": "bool", "default": True},
            "gpu_root": {"type": "path", "default": "/"},
            "gpu_devices": {"type": "raw"},
            "ca_bundle": {"type": "str", "default": ""},
            **gridtie_network.ARGUMENTS,
        },
        supports_check_mode=True,
    )
    gridtie_network.use(module.params["network"])
    if module.params["ca_bundle"]:
        os.environ.setdefault("PIP_CERT", module.params["ca_bundle"])
    describe = gridtie_mac.describe if sys.platform == "darwin" else gridtie_machine.describe
    machine = describe(module.params["disk_paths"])
    targets: dict[str, Callable[[], str]] = {}
    if module.params["sources"]:
        targets = {
            "apt": partial(gridtie_sources.apt_release, machine["system"]["codename"]),
            "pypi": gridtie_sources.pip_index,
            "go": gridtie_sources.go_proxy,
            **{name: partial(str, url) for name, url in module.params["probe"].items()},
        }
    if not machine["system"]["codename"]:  # A system without apt's packages.
        targets.pop("apt", None)
    probes = gridtie_reach.Probes(targets)
    machine["docker"] = docker = gridtie_docker.inspect()
    if docker.get("desktop") and sys.platform == "linux":
        docker["shares"] = gridtie_docker.desktop_shares(str(Path.home()))
    docker_version = str(docker.get("version") or "")
    machine["graphics"] = gridtie_graphics.describe(
        module.params["gpu_root"], docker_version=docker_version, devices=module.params["gpu_devices"]
    )
    # What a build for the processor alone would leave idle.
    machine["gpus"] = machine["graphics"]["expected"]
    machine["reach"] = probes.results()
    module.exit_json(changed=False, machine=machine)


if __name__ == "__main__":
    main()
