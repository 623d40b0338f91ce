#!/usr/bin/python
"""What an upgrade of the engine has to do on this machine."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import gridtie_upgrade
from ..module_utils.gridtie_docker import run
from ..module_utils.gridtie_host.command import docker_at
from ..module_utils.gridtie_services import told_version

DOCUMENTATION = r"""
module: gridtie_upgrade_plan
short_description: Whether the engine has to be upgraded, from what, and to what
description:
  - Asks the running engine for its version and compares it with station.json and with the pinned one. Changes nothing.
  - Fails where the station is not in a state from which an upgrade can start.
options:
  station:
    description: The station.json that is here; empty where there is none.
    type: dict
    required: true
  choice:
    description: What the preflight decided, the fact C(gridtie_resolved_choice).
    type: dict
    required: true
  pinned:
    description: The pinned version.
    type: str
    required: true
  pinned_image:
    description: The pinned image with its digest, where a registry serves it and the digest is known; else empty.
    type: str
    default: ""
  site_command:
    description: What a person types to provision the station again, for messages.
    type: str
    default: make site
  docker:
    description: The Docker that runs the engine, as M(gridtie_machine) describes it.
    type: dict
    default: {}
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Compare the version that runs with the pinned one
  gridtie.gridtie.gridtie_upgrade_plan:
    station: "{{ gridtie_station }}"
    choice: "{{ gridtie_resolved_choice }}"
    pinned: 0.32.15
"""
RETURN = r"""
plan:
  description: >-
    C(needed), C(why), C(before) (the engine to go back to), C(to), C(speed) (where it is known from a run that was
    killed) and C(measure) (whether the engine before can be measured now).
  type: dict
  returned: success
"""

# vLLM is asked by the Python that it runs on: of a container's other programs nothing is known.
_VLLM = (
    "import json; from urllib import request; "
    "found = request.build_opener(request.ProxyHandler({})).open('http://127.0.0.1:8000/version', timeout=10); "
    "print(json.load(found)['version'])"
)


def _told(engine: dict[str, Any], docker: dict[str, Any]) -> str:
    """The version of the engine that runs; empty where none answers."""
    if engine.get("mode") == "native":
        return told_version(engine["url"])
    # Not by its address: from the host of a rootless Docker no container can be reached.
    at = docker_at(docker.get("host"), docker.get("cli"))
    if engine.get("kind") == "vllm":
        status, output, _ = run([*at, "exec", engine.get("container", ""), "python3", "-c", _VLLM])
        return output.strip() if status == 0 else ""
    _, output, _ = run([*at, "exec", engine.get("container", ""), "ollama", "--version"])
    # Without a server, the program tells its own version in other words.
    _, found, version = output.partition("ollama version is ")
    return version.split()[0] if found else ""


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "station": {"type": "dict", "required": True},
            "choice": {"type": "dict", "required": True},
            "pinned": {"type": "str", "required": True},
            "pinned_image": {"type": "str", "default": ""},
            "site_command": {"type": "str", "default": "make site"},
            "docker": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        told = _told(given["station"].get("engine") or {}, given["docker"])
        plan = gridtie_upgrade.plan(
            given["station"],
            given["choice"],
            given["pinned"],
            told,
            pinned_image=given["pinned_image"],
            site_command=given["site_command"],
        )
    except gridtie_upgrade.Refused as refused:
        module.fail_json(msg=str(refused))
    module.exit_json(changed=False, plan=plan, stage_note=plan["why"])


if __name__ == "__main__":
    main()
