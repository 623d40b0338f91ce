#!/usr/bin/python
"""The service users of a station: the one that owns its state and that its router runs as, and its engine's."""

from __future__ import annotations

import grp
import os
import pwd
import sys
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: gridtie_account
short_description: A service user of the station
description:
  - Makes a system user and group without a login.
  - A rootless Docker maps its own user to root inside containers and every other one to a number that owns nothing
    here. There the service user is the one that the engine runs as, and containers run as their root, which is it.
    Docker Desktop does the same with the files that it shares.
  - On a Mac the service user is the person who runs this, and none is made.
  - A rootless Docker keeps a view of /etc from when it was started. A directory that is made there later does not exist
    for it, so the configuration then lives beside the state and O(config_dir) is a link to it.
  - The engine's service user is to own nothing, and to read nothing of the router's. With such a Docker it is a number
    that owns nothing anywhere; on a Mac there is no other than the person's.
options:
  user:
    description: Name of the system user.
    type: str
    required: true
  group:
    description: Name of its group.
    type: str
    required: true
  home:
    description: Home directory of the user; it is not made.
    type: path
    required: true
  comment:
    description: What the service user is for, as the list of users says it.
    type: str
    default: Gridtie station
  apart:
    description: With O(rootless), a number that owns nothing, in place of the user whose Docker it is.
    type: bool
    default: false
  rootless:
    description: Whether the Docker that is used is a person's own, rootless or Docker Desktop.
    type: bool
    default: false
  docker_host:
    description: Endpoint of that Docker.
    type: str
    default: ""
  config_dir:
    description: The station's configuration; it is not made.
    type: path
    default: ""
  state:
    description: V(absent) removes the service user. The user of a rootless Docker stays.
    type: str
    choices: [present, absent]
    default: present
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Make the service user
  gridtie.gridtie.gridtie_account:
    user: gridtie
    group: gridtie
    home: /var/lib/gridtie
"""
RETURN = r"""
account:
  description:
    - Its C(user), C(group), C(uid), C(gid), and C(container_user), which is how a compose file names it.
    - With a person's own Docker also C(config_mount), the directory of the configuration as that Docker sees it.
  type: dict
  returned: always
"""


# Within the numbers that any rootless Docker has for its containers. What they are outside, nobody is.
_APART = 1484


def _apart() -> dict[str, object]:
    return {"user": "root", "group": "root", "uid": 0, "gid": 0, "container_user": f"{_APART}:{_APART}"}


def _rootless(host: str, config_dir: str, state_dir: str) -> dict[str, object]:
    # A directory that was there before this station stays what it is.
    kept = Path(config_dir).is_dir() and not Path(config_dir).is_symlink()
    owner = Path(host[len("unix://") :]).stat()
    account = pwd.getpwuid(owner.st_uid)
    group = grp.getgrgid(account.pw_gid).gr_name
    return {
        "user": account.pw_name,
        "group": group,
        "uid": owner.st_uid,
        "gid": account.pw_gid,
        "container_user": "0:0",
        "config_mount": config_dir if kept else f"{state_dir}/config",
    }


def _own() -> dict[str, object]:
    """A Mac's person. Virtual machines of Docker show files with the owner that they have on the Mac."""
    account = pwd.getpwuid(os.getuid())
    return {
        "user": account.pw_name,
        "group": grp.getgrgid(account.pw_gid).gr_name,
        "uid": account.pw_uid,
        "gid": account.pw_gid,
        "container_user": f"{account.pw_uid}:{account.pw_gid}",
    }


def _group_exists(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def _find(user: str, group: str) -> dict[str, object] | None:
    try:
        account, members = pwd.getpwnam(user), grp.getgrnam(group)
    except KeyError:
        return None
    ids = f"{account.pw_uid}:{members.gr_gid}"
    return {"user": user, "group": group, "uid": account.pw_uid, "gid": members.gr_gid, "container_user": ids}


def _remove(module: AnsibleModule) -> None:
    user, group = module.params["user"], module.params["group"]
    found = _find(user, group)
    # Never a person's account, whatever the variable says: system accounts have numbers below 1000 (login.defs).
    if module.params["rootless"] or not found or not 0 < int(str(found["uid"])) < 1000:
        module.exit_json(changed=False, account=found or {})
    if not module.check_mode:
        module.run_command(["userdel", user], check_rc=True)
        if _group_exists(group):
            module.run_command(["groupdel", group], check_rc=True)
    diff = {"before": f"{user}:{group}\n", "after": "", "before_header": "service user"}
    module.exit_json(changed=True, account=found, diff=diff)


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "user": {"type": "str", "required": True},
            "group": {"type": "str", "required": True},
            "home": {"type": "path", "required": True},
            "comment": {"type": "str", "default": "Gridtie station"},
            "apart": {"type": "bool", "default": False},
            "rootless": {"type": "bool", "default": False},
            "docker_host": {"type": "str", "default": ""},
            "config_dir": {"type": "path", "default": ""},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    given = module.params
    if sys.platform == "darwin":
        module.exit_json(changed=False, account=_own())
    if given["state"] == "absent":
        _remove(module)
    if given["rootless"] and given["apart"]:
        module.exit_json(changed=False, account=_apart())
    if given["rootless"]:
        module.exit_json(changed=False, account=_rootless(given["docker_host"], given["config_dir"], given["home"]))
    found = _find(given["user"], given["group"])
    if found:
        module.exit_json(changed=False, account=found)
    diff = {"before": "", "after": f"{given['user']}:{given['group']}\n", "after_header": "service user"}
    if module.check_mode:
        # No number can be known yet; nothing is written with it in check mode.
        account = {"user": given["user"], "group": given["group"], "uid": -1, "gid": -1, "container_user": "-1:-1"}
        module.exit_json(changed=True, account=account, diff=diff)
    if not _group_exists(given["group"]):
        module.run_command(["groupadd", "--system", given["group"]], check_rc=True)
    try:
        pwd.getpwnam(given["user"])
    except KeyError:
        module.run_command(
            ["useradd", "--system", "--gid", given["group"], "--home-dir", given["home"], "--no-create-home",
             "--shell", "/usr/sbin/nologin", "--comment", given["comment"], given["user"]],
            check_rc=True,
        )  # fmt: skip
    module.exit_json(changed=True, account=_find(given["user"], given["group"]), diff=diff)


if __name__ == "__main__":
    main()
