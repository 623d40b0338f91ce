#!/usr/bin/python
"""What Docker there is on the machine, and whether it came from here."""

from __future__ import annotations

import os
import shutil

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import gridtie_apt, gridtie_docker
from ..module_utils.gridtie_machine import read_text

DOCUMENTATION = r"""
module: gridtie_docker_state
short_description: What Docker there is
description:
  - Changes nothing.
options:
  host:
    description: Endpoint of the engine to look at; empty means the system's socket.
    type: str
    default: ""
  marker:
    description: File that says which station installed Docker, in its first line.
    type: path
    required: true
  prefix:
    description: Directory that names this station.
    type: path
    required: true
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Find out which Docker is there
  gridtie.gridtie.gridtie_docker_state:
    marker: /etc/docker/installed-by-gridtie
    prefix: /opt/gridtie
"""
RETURN = r"""
docker:
  description: Engine and plugins; C(complete) where nothing is missing.
  type: dict
  returned: always
ours:
  description: Docker was installed from here.
  type: bool
  returned: always
engine_installed:
  description: A daemon is installed, running or not.
  type: bool
  returned: always
kernel_settings_writable:
  description: Whether the daemon may change kernel settings. In a container or a small virtual machine it may not.
  type: bool
  returned: always
vendor:
  description: The command line is docker-ce's, which has plugin packages of its own.
  type: bool
  returned: always
"""


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str", "default": ""},
            "marker": {"type": "path", "required": True},
            "prefix": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    docker = gridtie_docker.inspect(module.params["host"] or gridtie_docker.ROOT_SOCKET)
    docker["complete"] = bool(docker["works"] and docker["compose"] and docker["buildx"])
    # Asked only where plugins have to be installed.
    vendor = not docker["complete"] and bool(shutil.which("dpkg-query")) and not gridtie_apt.missing(["docker-ce-cli"])
    module.exit_json(
        changed=False,
        docker=docker,
        ours=read_text(module.params["marker"]).partition("\n")[0] == module.params["prefix"],
        engine_installed=bool(shutil.which("dockerd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin")),
        kernel_settings_writable=os.access("/proc/sys/net/ipv6/conf/all/disable_ipv6", os.W_OK),
        vendor=vendor,
    )


if __name__ == "__main__":
    main()
