#!/usr/bin/python
"""Keep the Docker daemon running."""

from __future__ import annotations

import subprocess
import time

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import gridtie_docker
from ..module_utils.gridtie_machine import read_text
from ..module_utils.gridtie_progress import report

DOCUMENTATION = r"""
module: gridtie_docker_service
short_description: The Docker daemon, under systemd or under a supervisor
options:
  init:
    description: What PID 1 is.
    type: str
    choices: [systemd, other]
    required: true
  supervisor:
    description: The supervisor's script, for machines without systemd.
    type: path
    required: true
  restart:
    description: The daemon's settings changed, so it is restarted.
    type: bool
    default: false
  timeout_s:
    description: Seconds until the daemon must answer.
    type: int
    default: 90
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Keep the Docker daemon running
  gridtie.gridtie.gridtie_docker_service:
    init: systemd
    supervisor: /opt/gridtie/bin/gridtie-dockerd
"""
RETURN = r"""
docker:
  description: The engine that answers now.
  type: dict
  returned: success
"""

_LOG = "/var/log/gridtie-dockerd.log"


def _call(module: AnsibleModule, *arguments: str) -> str:
    # Not gridtie_docker.run: a daemon may take longer to stop than a question may take. The supervisor leaves a child
    # behind on purpose, so its output must not be waited for.
    try:
        done = subprocess.run(
            arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            timeout=module.params["timeout_s"] + 60, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        module.fail_json(msg=f"{' '.join(arguments)}: {error}")
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit status {done.returncode}"


def _log_tail(init: str) -> str:
    if init == "systemd":
        return gridtie_docker.run(["journalctl", "--no-pager", "-n", "40", "-u", "docker.service"])[1]
    return "\n".join(read_text(_LOG).splitlines()[-40:])


def _start(module: AnsibleModule) -> None:
    if module.params["init"] == "systemd":
        _call(module, "systemctl", "daemon-reload")
        verb = "restart" if module.params["restart"] else "start"
        error = _call(module, "systemctl", "enable", "docker.service") or _call(
            module, "systemctl", verb, "docker.service"
        )
    else:
        error = _call(module, module.params["supervisor"], "restart" if module.params["restart"] else "start")
    if error:
        module.fail_json(
            msg=f"the Docker daemon could not be started: {error}", stdout=_log_tail(module.params["init"])
        )


def _wait(module: AnsibleModule) -> dict[str, object]:
    report("waiting for the Docker daemon to answer")
    deadline = time.monotonic() + module.params["timeout_s"]
    while True:
        docker = gridtie_docker.inspect(gridtie_docker.ROOT_SOCKET)
        if docker["works"]:
            return docker
        if time.monotonic() > deadline:
            module.fail_json(
                msg=f"the Docker daemon does not answer after {module.params['timeout_s']} s: {docker['error']}",
                stdout=_log_tail(module.params["init"]),
            )
        time.sleep(0.5)


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "init": {"type": "str", "choices": ["systemd", "other"], "required": True},
            "supervisor": {"type": "path", "required": True},
            "restart": {"type": "bool", "default": False},
            "timeout_s": {"type": "int", "default": 90},
        },
        supports_check_mode=True,
    )
    docker = gridtie_docker.inspect(gridtie_docker.ROOT_SOCKET)
    changed = module.params["restart"] or not docker["works"]
    if changed and not module.check_mode:
        _start(module)
        docker = _wait(module)
    docker["complete"] = bool(docker["works"] and docker["compose"] and docker["buildx"])
    module.exit_json(changed=changed, docker=docker)


if __name__ == "__main__":
    main()
