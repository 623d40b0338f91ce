#!/usr/bin/python
"""Look at the graphics cards, their drivers and what gives them to containers."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import gridtie_graphics

DOCUMENTATION = r"""
module: gridtie_gpu
short_description: What the engine would compute on, and what is in the way
description:
  - Reads sysfs, /proc, /etc and /lib/modules. Runs no program and changes nothing.
options:
  root:
    description: Directory below which is read. Another one than C(/) is a record of another machine.
    type: path
    default: /
  mode:
    description: How the engine runs.
    type: str
    choices: [container, native]
    default: container
  docker_version:
    description: Version of the Docker that is used.
    type: str
    default: ""
  devices:
    description: The cards that the engine may use, by number or UUID; V(all), or nothing, for all of them.
    type: raw
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Look at the graphics cards
  gridtie.gridtie.gridtie_gpu:
    docker_version: "{{ gridtie_docker.version }}"
"""
RETURN = r"""
graphics:
  description: Cards, backend, needs, a pending reboot, and how driver and toolkit are installed.
  type: dict
  returned: always
"""


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "default": "/"},
            "mode": {"type": "str", "choices": ["container", "native"], "default": "container"},
            "docker_version": {"type": "str", "default": ""},
            "devices": {"type": "raw"},
        },
        supports_check_mode=True,
    )
    given = module.params
    graphics = gridtie_graphics.describe(given["root"], given["mode"], given["docker_version"], given["devices"])
    if problem := graphics["devices_problem"]:
        module.fail_json(msg=f"{problem['found']}; {problem['fix']}", graphics=graphics)
    module.exit_json(changed=False, graphics=graphics)


if __name__ == "__main__":
    main()
