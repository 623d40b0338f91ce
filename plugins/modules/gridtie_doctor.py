#!/usr/bin/python
"""Run the station's own doctor and turn its report into a verdict."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.gridtie_progress import report

DOCUMENTATION = r"""
module: gridtie_doctor
short_description: Every check on the station
description:
  - Changes nothing. Fails unless every check holds.
options:
  command:
    description: The host's gridtie command.
    type: path
    required: true
  config_dir:
    description: The station's configuration directory.
    type: path
    required: true
  timeout_s:
    description: Seconds for all checks.
    type: int
    default: 300
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Examine the station
  gridtie.gridtie.gridtie_doctor:
    command: /opt/gridtie/bin/gridtie
    config_dir: /etc/gridtie
"""
RETURN = r"""
report:
  description: Verdict and checks.
  type: dict
  returned: always
"""


def _list(failed: list[dict[str, object]], total: int) -> str:
    lines = [f"{len(failed)} of {total} checks do not hold:"]
    for check in failed:
        if check.get("blocked_by"):  # Not made at all, because an earlier one in this list failed.
            continue
        lines.append(f"  {check.get('id')}: {check.get('what')}")
        lines.append(f"     found:      {check.get('found')}")
        for name, title in (("wanted", "wanted:     "), ("fix", "What to do: ")):
            if check.get(name):
                lines.append(f"     {title}{check[name]}")
    return "\n".join(lines)


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "command": {"type": "path", "required": True},
            "config_dir": {"type": "path", "required": True},
            "timeout_s": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    given = module.params
    if not Path(given["command"]).exists():
        if module.check_mode:
            module.exit_json(changed=False, skipped=True, msg="there is no station to examine yet")
        module.fail_json(
            msg=f"there is no station to examine: {given['command']} is not there. The role gridtie.gridtie.router "
            "installs it; the playbook gridtie.gridtie.site has all roles in their order"
        )
    report("examining the station")
    try:
        # The interpreter that runs this module: the command's own `python3` may be an older one.
        done = subprocess.run(
            [sys.executable, given["command"], "doctor", "--json"],
            env={**os.environ, "GRIDTIE_CONFIG_DIR": given["config_dir"]},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=given["timeout_s"], check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        module.fail_json(msg=f"the doctor did not end within {given['timeout_s']} s; run: sudo gridtie doctor")
    except OSError as error:
        module.fail_json(msg=f"{given['command']} cannot be run: {error}")
    try:
        found = json.loads(done.stdout)
        checks = found["checks"]
    except (ValueError, KeyError, TypeError):
        module.fail_json(msg="the doctor gave no report", stdout=done.stdout, stderr=done.stderr)
    failed = [check for check in checks if not check["ok"]]
    note = f"{found['verdict']}: {len(checks) - len(failed)} of {len(checks)} checks hold"
    warned = sum(bool(check.get("warning")) for check in checks)
    note += f", {warned} warning{'' if warned == 1 else 's'}" if warned else ""
    if failed or done.returncode != 0:
        # In check mode the station is what an earlier run left; a real run may be about to mend it.
        if module.check_mode:
            module.exit_json(changed=False, report=found, stage_note=note)
        module.fail_json(msg=_list(failed, len(checks)), report=found)
    module.exit_json(changed=False, report=found, stage_note=note)


if __name__ == "__main__":
    main()
