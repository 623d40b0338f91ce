#!/usr/bin/python
"""Wait until the router serves, with the configuration that is on disk."""

from __future__ import annotations

import hashlib
import http.client
import json
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import gridtie_docker
from ..module_utils.gridtie_machine import read_text
from ..module_utils.gridtie_progress import report

DOCUMENTATION = r"""
module: gridtie_router_ready
short_description: Wait until the router serves
description:
  - Asks C(/readyz), then C(/gridtie/config) until the digests there are those of the routing file and of the keys on
    disk. So a change of either has arrived when the task ends, without a restart, and a file that the router refused is
    an error.
  - Changes nothing.
options:
  port:
    description: The router's port on 127.0.0.1.
    type: int
    required: true
  config_dir:
    description: The station's configuration directory.
    type: path
    required: true
  container:
    description: The router's container, whose log is shown on failure.
    type: str
    required: true
  docker_host:
    description: Endpoint of the Docker that runs it.
    type: str
    default: ""
  timeout_s:
    description: Seconds to wait.
    type: int
    default: 120
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Wait for the router
  gridtie.gridtie.gridtie_router_ready:
    port: 8484
    config_dir: /etc/gridtie
    container: gridtie-router-1
"""
RETURN = r"""
digest:
  description: SHA-256 of the routing file that the router has loaded.
  type: str
  returned: success
"""

_PAUSE_S = 0.25
_ANSWER_S = 5.0


def _get(port: int, path: str, key: str) -> tuple[int, dict[str, Any]]:
    """Status and JSON of an answer; status 0 with the reason where there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_S)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
        answer = connection.getresponse()
        body = json.loads(answer.read(1 << 20) or b"{}")
        return answer.status, body if isinstance(body, dict) else {}
    except (OSError, http.client.HTTPException, ValueError) as error:
        return 0, {"reasons": [str(error) or type(error).__name__]}
    finally:
        connection.close()


def _obstacle(port: int, key: str, routing: str, keys: str) -> str:
    """Why the router is not there yet; empty where it is. ``routing`` and ``keys`` are the digests on disk."""
    status, body = _get(port, "/readyz", key)
    if status != 200:
        reasons = "; ".join(map(str, body.get("reasons") or [])) or f"HTTP {status}"
        return f"it is not ready: {reasons}"
    status, body = _get(port, "/gridtie/config", key)
    if status != 200:
        return f"/gridtie/config answers HTTP {status}: {(body.get('error') or {})}"
    if body.get("error"):
        return f"it refused the configuration: {body['error']}"
    if body.get("digest") != routing:
        return "it has not loaded the routing file on disk yet"
    if body.get("keys") != keys:
        return "it has not loaded the keys on disk yet"
    return ""


def _digest(path: str) -> str:
    return hashlib.sha256(read_text(path).encode()).hexdigest()


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "port": {"type": "int", "required": True},
            "config_dir": {"type": "path", "required": True},
            "container": {"type": "str", "required": True},
            "docker_host": {"type": "str", "default": ""},
            "timeout_s": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    given = module.params
    if module.check_mode:
        module.exit_json(changed=False, skipped=True, msg="nothing was started in check mode")
    key = read_text(f"{given['config_dir']}/station.key").strip()
    deadline = time.monotonic() + given["timeout_s"]
    while True:
        # Read each time: somebody may be adding keys.
        routing, keys = (_digest(f"{given['config_dir']}/{name}") for name in ("llm_routing.yaml", "keys.json"))
        obstacle = _obstacle(given["port"], key, routing, keys)
        if not obstacle:
            module.exit_json(changed=False, digest=routing)
        if time.monotonic() > deadline:
            break
        report(f"waiting for the router: {obstacle}")
        time.sleep(_PAUSE_S)
    docker = gridtie_docker.find_docker() or "docker"
    environment = {"DOCKER_HOST": given["docker_host"]} if given["docker_host"] else {}
    _, output, errors = gridtie_docker.run([docker, "logs", "--tail", "40", given["container"]], environment)
    module.fail_json(
        msg=f"the router on port {given['port']} does not serve after {given['timeout_s']} s: {obstacle}",
        stdout=f"{output}\n{errors}".strip(),
    )


if __name__ == "__main__":
    main()
