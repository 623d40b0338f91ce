#!/usr/bin/python
"""The station's engine as an agent of launchd, on a Mac: with this configuration, running, and answering."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import gridtie_files, gridtie_launchd, gridtie_services
from ..module_utils.gridtie_command import CommandError, follow
from ..module_utils.gridtie_host.turn_over import turn_over
from ..module_utils.gridtie_machine import read_text
from ..module_utils.gridtie_progress import report

DOCUMENTATION = r"""
module: gridtie_launch_agent
short_description: A LaunchAgent that runs with the configuration on disk, and answers
description:
  - The counterpart of M(gridtie_unit) for a Mac, as the person who is logged in. Whenever something changes, the agent
    is unloaded first, then written, then loaded. So what is loaded was loaded from what is on disk, also after a run
    that was killed in between.
  - Not run on a Mac by the project's tests.
options:
  name:
    description: The agent's label.
    type: str
    required: true
  directories:
    description: As M(gridtie_files) describes them.
    type: list
    elements: dict
    default: []
  link:
    description: C(path) and C(target) of the link to the tree that the agent starts from.
    type: dict
  program:
    description: The program and its arguments.
    type: list
    elements: str
    default: []
  environment:
    description: The variables it is given.
    type: dict
    default: {}
  log:
    description: Where its output goes.
    type: path
    default: ""
  url:
    description: Where it answers.
    type: str
    default: ""
  version:
    description: The version it must tell.
    type: str
    default: ""
  timeout_s:
    description: Seconds until it must answer.
    type: int
    default: 120
  state:
    description: With C(absent), unloaded and removed.
    type: str
    choices: [present, absent]
    default: present
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Run Ollama
  gridtie.gridtie.gridtie_launch_agent:
    name: io.gridtie.gridtie.engine
    link: {path: /Users/dev/.gridtie/opt/ollama/current, target: 0.32.15-0123456789ab}
    program: [/Users/dev/.gridtie/opt/ollama/current/ollama, serve]
    log: /Users/dev/.gridtie/var/engine.log
    url: http://127.0.0.1:11434
    version: 0.32.15
"""
RETURN = r"""
restarted:
  description: Whether the agent was loaded or loaded again.
  type: bool
  returned: success
"""

_LIMIT_S = 30.0
_PAUSE_S = 0.3
_LOG_CHARACTERS = 4000


class Agent:
    """One agent of launchd."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.path = str(gridtie_launchd.plist_path(label))

    def is_loaded(self) -> bool:
        return self.label in gridtie_launchd.loaded()

    def unload(self) -> None:
        """Stop it and have launchd forget it; return once it has, since until then it cannot be loaded again."""
        if not self.is_loaded():
            return
        self._launchctl("bootout", f"{gridtie_launchd.domain()}/{self.label}")
        deadline = time.monotonic() + _LIMIT_S
        while self.is_loaded():
            if time.monotonic() > deadline:
                raise gridtie_services.ServiceError(
                    f"{self.label} does not end; see: launchctl print {gridtie_launchd.domain()}"
                )
            time.sleep(_PAUSE_S)

    def load(self) -> None:
        report(f"starting {self.label}")
        # One that was switched off by hand cannot be loaded.
        self._launchctl("enable", f"{gridtie_launchd.domain()}/{self.label}")
        self._launchctl("bootstrap", gridtie_launchd.domain(), self.path)

    def bring(self, given: dict[str, Any], check: bool) -> tuple[bool, list[dict[str, Any]]]:
        """Have it run with this configuration; whether anything had to be done, and what changes on disk."""
        changes = write(self, given, check=True)
        stale = bool(changes) or not self.is_loaded()
        if given["log"] and not check:
            turn_over(Path(given["log"]))
        if stale and not check:
            self.unload()
            write(self, given, check=False)
            self.load()
        return stale, changes

    def wait(self, given: dict[str, Any]) -> None:
        """Return once it answers as that version. Raises ServiceError."""
        gridtie_services.wait_for_version(
            self.label,
            given["url"],
            given["version"],
            given["timeout_s"],
            log=lambda: read_text(given["log"])[-_LOG_CHARACTERS:],
            where=f"its log is {given['log']}",
        )

    def _launchctl(self, verb: str, *more: str) -> None:
        follow(["launchctl", verb, *more], what=f"launchctl {verb} {self.label}", limit_s=_LIMIT_S)


def write(agent: Agent, given: dict[str, Any], check: bool) -> list[dict[str, Any]]:
    """Bring directories, link and property list in line; the changes."""
    content = gridtie_launchd.plist(agent.label, given["program"], given["environment"], given["log"])
    directories = [*given["directories"], {"path": str(Path(agent.path).parent), "mode": "0755"}]
    changes = [gridtie_files.ensure_directory(entry, check) for entry in directories]
    changes += [gridtie_files.ensure_link(given["link"], check)] if given["link"] else []
    # Read by its owner alone, as launchd wants it of a file that it loads: nobody else may write it.
    changes.append(gridtie_files.ensure_file({"path": agent.path, "content": content, "mode": "0600"}, check))
    return [change for change in changes if change]


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "directories": {"type": "list", "elements": "dict", "default": []},
            "link": {"type": "dict"},
            "program": {"type": "list", "elements": "str", "default": []},
            "environment": {"type": "dict", "default": {}},
            "log": {"type": "path", "default": ""},
            "url": {"type": "str", "default": ""},
            "version": {"type": "str", "default": ""},
            "timeout_s": {"type": "int", "default": 120},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    given, agent = module.params, Agent(module.params["name"])
    given["environment"] = {name: str(value) for name, value in given["environment"].items()}
    try:
        if given["state"] == "absent":
            if not module.check_mode:
                agent.unload()
            gone = gridtie_files.remove(agent.path, module.check_mode)
            module.exit_json(changed=bool(gone), restarted=False, diff=[gone["diff"]] if gone else [])
        stale, changes = agent.bring(given, module.check_mode)
        if not module.check_mode:
            agent.wait(given)
    except (gridtie_services.ServiceError, CommandError) as error:
        module.fail_json(msg=str(error), stdout=error.output)
    except OSError as error:
        module.fail_json(msg=f"{error.filename or agent.label}: {error.strerror or error}")
    module.exit_json(changed=stale, restarted=stale, diff=[change["diff"] for change in changes])


if __name__ == "__main__":
    main()
