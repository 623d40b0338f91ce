#!/usr/bin/python
"""The station's engine as a service of systemd: with this configuration, running, and answering."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import gridtie_files, gridtie_services
from ..module_utils.gridtie_command import CommandError, follow
from ..module_utils.gridtie_progress import report

DOCUMENTATION = r"""
module: gridtie_unit
short_description: A service of systemd that runs with the configuration on disk, and answers
description:
  - Writes the unit and its drop-in, switches a link in one step, has systemd read its units anew where they changed,
    and starts the service again where it does not run with what is on disk now - also where an earlier run was killed
    between the two. Drop-ins of other names are somebody else's and stay.
  - Then waits until the service answers as the version it should be.
options:
  name:
    description: The unit.
    type: str
    required: true
  directories:
    description: As M(gridtie_files) describes them.
    type: list
    elements: dict
    default: []
  files:
    description: The unit and its drop-ins, as M(gridtie_files) describes them.
    type: list
    elements: dict
    default: []
  link:
    description: C(path) and C(target) of the link to the tree that the unit starts from.
    type: dict
  stamp:
    description: >-
      What the configuration comes to. The service is started with it in C(GRIDTIE_STAMP), so that one that runs with
      something else is recognised.
    type: str
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
    description: With C(absent), stopped and removed with O(files). A person's own drop-ins stay.
    type: str
    choices: [present, absent]
    default: present
  purge:
    description: With O(state=absent), drop-ins of others go, too.
    type: bool
    default: false
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Run Ollama
  gridtie.gridtie.gridtie_unit:
    name: gridtie-engine.service
    files: [{path: /etc/systemd/system/gridtie-engine.service, content: "..."}]
    link: {path: /opt/gridtie/ollama/current, target: 0.32.15-0123456789ab}
    stamp: 0123456789ab
    url: http://127.0.0.1:11434
    version: 0.32.15
"""
RETURN = r"""
restarted:
  description: Whether the service was started or started again.
  type: bool
  returned: success
"""

UNITS = "/etc/systemd/system"
_LIMIT_S = 120.0


class Unit:
    """One unit of systemd."""

    def __init__(self, name: str) -> None:
        self.name = name

    def state(self) -> dict[str, str]:
        return gridtie_services.show(self.name, ("LoadState", "ActiveState", "UnitFileState", "NeedDaemonReload"))

    def systemctl(self, verb: str, *more: str) -> None:
        follow(["systemctl", verb, *more], what=f"systemctl {verb} {self.name}", limit_s=_LIMIT_S)

    def start_with(self, stamp: str, changed: bool) -> bool:
        """Have it run with what is on disk, now and after a reboot; whether anything had to be done."""
        state = self.state()
        touched = changed or state.get("NeedDaemonReload") == "yes"
        if touched:
            self.systemctl("daemon-reload")
        if state.get("UnitFileState") != "enabled":
            self.systemctl("enable", "--quiet", self.name)
            touched = True
        if touched or not self.runs_with(stamp):
            report(f"starting {self.name}")
            if state.get("ActiveState") == "failed":
                # One that failed again and again is not started any more until that is forgotten.
                self.systemctl("reset-failed", self.name)
            self.systemctl("restart", self.name)
            return True
        return False

    def runs_with(self, stamp: str) -> bool:
        return gridtie_services.running_environment(self.name).get(gridtie_services.STAMP) == stamp

    def wait(self, url: str, version: str, limit_s: float) -> None:
        """Return once it answers as that version. Raises ServiceError."""
        gridtie_services.wait_for_version(
            self.name,
            url,
            version,
            limit_s,
            log=lambda: gridtie_services.journal(self.name),
            where=f"`journalctl -u {self.name}` has its log",
            over=lambda: self.state().get("ActiveState") == "failed",
        )

    def remove(self, paths: list[str], check: bool) -> list[dict[str, Any]]:
        """Stop it and take away what is ours, or all drop-ins where they are among `paths`; what was there."""
        there = self.state().get("LoadState") == "loaded"
        if there and not check:
            self.systemctl("disable", "--now", "--quiet", self.name)
        changes = [change for path in paths if (change := gridtie_files.remove(path, check))]
        if changes and not check:
            with contextlib.suppress(OSError):  # A person's own drop-ins are in it.
                Path(f"{UNITS}/{self.name}.d").rmdir()
            self.systemctl("daemon-reload")
        return changes


def write(given: dict[str, Any], check: bool) -> list[dict[str, Any]]:
    """Bring directories, files and the link in line; the changes."""
    changes = [gridtie_files.ensure_directory(entry, check) for entry in given["directories"]]
    changes += [gridtie_files.ensure_file(entry, check) for entry in given["files"]]
    changes += [gridtie_files.ensure_link(given["link"], check)] if given["link"] else []
    return [change for change in changes if change]


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "directories": {"type": "list", "elements": "dict", "default": []},
            "files": {"type": "list", "elements": "dict", "default": []},
            "link": {"type": "dict"},
            "stamp": {"type": "str", "default": ""},
            "url": {"type": "str", "default": ""},
            "version": {"type": "str", "default": ""},
            "timeout_s": {"type": "int", "default": 120},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "purge": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    given, unit = module.params, Unit(module.params["name"])
    try:
        if given["state"] == "absent":
            paths = [f"{UNITS}/{unit.name}", *(entry["path"] for entry in given["files"])]
            paths += [f"{UNITS}/{unit.name}.d"] if given["purge"] else []
            gone = unit.remove(paths, module.check_mode)
            module.exit_json(changed=bool(gone), restarted=False, diff=[change["diff"] for change in gone])
        changes = write(given, module.check_mode)
        diff = [change["diff"] for change in changes]
        if module.check_mode:
            stale = bool(changes) or not unit.runs_with(given["stamp"])
            module.exit_json(changed=stale, restarted=stale, diff=diff)
        restarted = unit.start_with(given["stamp"], bool(changes))
        unit.wait(given["url"], given["version"], given["timeout_s"])
    except KeyError as error:
        module.fail_json(msg=f"there is no user or group {error} on this machine")
    except (gridtie_services.ServiceError, CommandError) as error:
        module.fail_json(msg=str(error), stdout=error.output)
    except OSError as error:
        module.fail_json(msg=f"{error.filename or unit.name}: {error.strerror or error}")
    module.exit_json(changed=bool(changes) or restarted, restarted=restarted, diff=diff)


if __name__ == "__main__":
    main()
