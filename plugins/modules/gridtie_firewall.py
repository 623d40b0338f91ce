#!/usr/bin/python
"""A station's table of nftables: on disk, loaded at boot, and in force now."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import gridtie_files, gridtie_services
from ..module_utils.gridtie_command import CommandError, follow
from ..module_utils.gridtie_host.firewall import Firewall, firewall

DOCUMENTATION = r"""
module: gridtie_firewall
short_description: From which addresses other machines reach the station's ports
description:
  - Writes a table of nftables of the station's own and the unit that loads it at boot, and loads it where what is in
    force differs from it - also where somebody has emptied the rules since. Tables of others are neither read nor
    changed.
  - The rules are checked by C(nft) before anything is written, and loaded in one step.
options:
  table:
    description: Its name, among tables of the family C(inet).
    type: str
    required: true
  ports:
    description: TCP ports of this machine that are guarded.
    type: list
    elements: int
    default: []
  ranges:
    description: Addresses and ranges that reach them, of IPv4 and IPv6. Loopback always does.
    type: list
    elements: str
    default: []
  rules:
    description: The file for the table.
    type: path
    required: true
  unit:
    description: The unit that loads it, as M(gridtie_files) describes a file; only its C(path) with O(state=absent).
    type: dict
    required: true
  state:
    description: With V(absent), table, unit and file are removed.
    type: str
    choices: [present, absent]
    default: present
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Let the office in, and nobody else
  gridtie.gridtie.gridtie_firewall:
    table: gridtie
    ports: [8443]
    ranges: [10.1.0.0/16, "fd00::/8"]
    rules: /opt/gridtie/etc/firewall.nft
    unit: {path: /etc/systemd/system/gridtie-firewall.service, content: "..."}
"""
RETURN = r"""
loaded:
  description: Whether the table was loaded anew.
  type: bool
  returned: success
"""

_LIMIT_S = 60.0
_RUNNING = {"ActiveState": "active", "UnitFileState": "enabled", "NeedDaemonReload": "no"}


def _nft(module: AnsibleModule) -> str:
    program = module.get_bin_path("nft")
    if program is None:
        module.fail_json(msg="there is no nft command on this machine; install nftables, or leave gridtie_firewall out")
    return str(program)


def _amiss(module: AnsibleModule, wanted: Firewall) -> list[str]:
    """What differs between the kernel's table and this one."""
    asked = [_nft(module), "--stateless", "list", "table", "inet", wanted.table]
    status, listing, errors = module.run_command(asked)
    if status != 0 and "No such file" not in errors:
        module.fail_json(msg=f"nft cannot be asked for its tables: {errors.strip()[-500:]}")
    return wanted.amiss(listing) if status == 0 else ["it is not loaded"]


def _check(module: AnsibleModule, wanted: Firewall) -> None:
    """Have the kernel look at the rules without taking them."""
    status, _, errors = module.run_command([_nft(module), "--check", "--file", "-"], data=wanted.text)
    if status != 0:
        module.fail_json(msg=f"nft does not take the rules, and nothing was changed: {errors.strip()[-500:]}")


def _systemctl(verb: str, unit: str, *more: str) -> None:
    follow(["systemctl", verb, *more, unit], what=f"systemctl {verb} {unit}", limit_s=_LIMIT_S)


def _present(module: AnsibleModule, wanted: Firewall, name: str) -> dict[str, Any]:
    given, check = module.params, module.check_mode
    if not check:
        _check(module, wanted)
    files = [{"path": given["rules"], "mode": "0644", "content": wanted.text}, {"mode": "0644", **given["unit"]}]
    changes = [change for entry in files if (change := gridtie_files.ensure_file(entry, check))]
    state = gridtie_services.show(name, _RUNNING)
    # Where files change, nobody asks nft: in check mode its package may not be there yet.
    stale = bool(changes) or state != _RUNNING or bool(_amiss(module, wanted))
    if stale and not check:
        _load(name)
        if amiss := _amiss(module, wanted):
            module.fail_json(msg=f"the table {wanted.table} was loaded, and differs: {'; '.join(amiss)}")
    return {"changed": stale, "loaded": stale, "diff": [change["diff"] for change in changes]}


def _load(name: str) -> None:
    """Have systemd load the table, now and at boot."""
    follow(["systemctl", "daemon-reload"], what="systemctl daemon-reload", limit_s=_LIMIT_S)
    _systemctl("enable", name, "--quiet")
    # A table that is loaded is replaced in one step; restarted, the unit would take it away in between.
    _systemctl("reload-or-restart", name)


def _absent(module: AnsibleModule, name: str) -> dict[str, Any]:
    given, check = module.params, module.check_mode
    there = gridtie_services.show(name, ("LoadState",)).get("LoadState") == "loaded"
    if there and not check:
        # The unit takes its table with it, unless it was not active.
        _systemctl("disable", name, "--now", "--quiet")
        program = module.get_bin_path("nft")
        if program is not None:
            module.run_command([program, "delete", "table", "inet", given["table"]])
    paths = (given["rules"], given["unit"]["path"])
    changes = [change for path in paths if (change := gridtie_files.remove(path, check))]
    if changes and not check:
        follow(["systemctl", "daemon-reload"], what="systemctl daemon-reload", limit_s=_LIMIT_S)
    return {"changed": bool(changes), "loaded": False, "diff": [change["diff"] for change in changes]}


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "table": {"type": "str", "required": True},
            "ports": {"type": "list", "elements": "int", "default": []},
            "ranges": {"type": "list", "elements": "str", "default": []},
            "rules": {"type": "path", "required": True},
            "unit": {"type": "dict", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    given = module.params
    name = str(given["unit"]["path"]).rpartition("/")[2]
    try:
        if given["state"] == "absent":
            module.exit_json(**_absent(module, name))
        wanted = firewall(given["table"], given["ports"], given["ranges"])
        module.exit_json(**_present(module, wanted, name))
    except ValueError as error:
        module.fail_json(msg=str(error))
    except CommandError as error:
        module.fail_json(msg=str(error), stdout=error.output)
    except OSError as error:
        module.fail_json(msg=f"{error.filename or name}: {error.strerror or error}")


if __name__ == "__main__":
    main()
