#!/usr/bin/python
"""Run one service of the station's compose project."""

from __future__ import annotations

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import gridtie_compose, gridtie_files
from ..module_utils.gridtie_command import CommandError

DOCUMENTATION = r"""
module: gridtie_service
short_description: A service of the station's compose project, running and healthy
description:
  - Makes the directories, writes the compose files and merges the settings into the project's C(.env), which several
    services share; then brings the service up and waits until it is healthy.
  - A container that runs with these settings is left alone.
options:
  directory:
    description: The compose project's directory.
    type: path
    required: true
  project:
    description: The compose project's name.
    type: str
    required: true
  service:
    description: The service.
    type: str
    required: true
  directories:
    description: Directories that the service's container is given, as M(gridtie_files) describes them.
    type: list
    elements: dict
    default: []
  files:
    description: Compose files, name to content.
    type: dict
    required: true
  settings:
    description: Settings of this service; those of other services in C(.env) stay.
    type: dict
    required: true
  docker:
    description: The Docker to use, as M(gridtie_machine) describes it.
    type: dict
    required: true
  timeout_s:
    description: Seconds until the service must be healthy.
    type: int
    default: 120
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Run the router
  gridtie.gridtie.gridtie_service:
    directory: /opt/gridtie/compose
    project: gridtie
    service: router
    files: {compose.yaml: "{{ lookup('ansible.builtin.file', 'compose.yaml') }}"}
    settings: {GRIDTIE_ROUTER_IMAGE: gridtie/router:0123456789ab}
    docker: "{{ gridtie_docker }}"
"""
RETURN = r"""
container:
  description: Name of the service's container.
  type: str
  returned: success
replaced:
  description: Whether the container was made anew.
  type: bool
  returned: success
"""


def _write(module: AnsibleModule, texts: dict[str, str]) -> list[dict[str, Any]]:
    """Bring directory and files in line; the changes, for a diff."""
    directory, check = module.params["directory"], module.check_mode
    directories = [*module.params["directories"], {"path": directory, "mode": "0755"}]
    changes = [gridtie_files.ensure_directory(entry, check) for entry in directories]
    for name, content in texts.items():
        # A proxy's address in the settings may hold credentials.
        secret = name == ".env"
        entry = {
            "path": f"{directory}/{name}",
            "content": content,
            "mode": "0600" if secret else "0644",
            "secret": secret,
        }
        changes.append(gridtie_files.ensure_file(entry, check))
    return [change for change in changes if change]


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "project": {"type": "str", "required": True},
            "service": {"type": "str", "required": True},
            "directories": {"type": "list", "elements": "dict", "default": []},
            "files": {"type": "dict", "required": True},
            "settings": {"type": "dict", "required": True},
            "docker": {"type": "dict", "required": True},
            "timeout_s": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    given = module.params
    for name in gridtie_compose.foreign_variables(list(os.environ)):
        del os.environ[name]
    settings = {
        **gridtie_compose.current_settings(given["directory"]),
        **gridtie_compose.as_text(given["settings"]),
        "COMPOSE_PROJECT_NAME": given["project"],
    }
    name = f"{given['project']}-{given['service']}-1"
    try:
        changes = _write(module, {**given["files"], ".env": gridtie_compose.render_env(settings)})
        diff = [change["diff"] for change in changes]
        if module.check_mode and (changes or not given["docker"].get("works", True)):
            # What would be written is not on disk, so Compose cannot say whether the container stays.
            module.exit_json(changed=True, container=name, replaced=True, diff=diff)
        project = gridtie_compose.Project(given["project"], given["directory"], given["docker"])
        before = project.container(given["service"])
        current = gridtie_compose.is_current(before, project.config_hash(given["service"]))
        found = gridtie_compose.condition(before)
        if current and (found == "healthy" or (module.check_mode and found == "starting")):
            module.exit_json(changed=bool(changes), container=name, replaced=False, diff=diff)
        if module.check_mode:
            module.exit_json(changed=True, container=name, replaced=not current, diff=diff)
        if before and before["State"]["Paused"]:
            # Compose neither replaces nor starts a paused container.
            project.change(before, "unpause")
        if not current:
            project.up(given["service"])
        elif found == "unhealthy":
            # It hangs: nothing else restarts a container whose process does not end.
            project.change(before, "restart")
        after = project.wait(given["service"], given["timeout_s"])
    except KeyError as error:
        module.fail_json(msg=f"there is no user or group {error} on this machine")
    except ValueError as error:
        module.fail_json(msg=f"a setting of {given['service']} cannot be written: {error}")
    except CommandError as error:
        module.fail_json(msg=str(error), stdout=error.output)
    except OSError as error:
        module.fail_json(msg=f"{error.filename or given['directory']}: {error.strerror or error}")
    replaced = before.get("Id") != after["Id"]
    # One that was merely starting is as it was.
    touched = replaced or not current or found == "unhealthy"
    module.exit_json(changed=bool(changes) or touched, container=name, replaced=replaced, diff=diff)


if __name__ == "__main__":
    main()
