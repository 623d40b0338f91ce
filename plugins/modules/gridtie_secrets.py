#!/usr/bin/python
"""The keys of clouds, as files that the router reads. None appears in the result."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import gridtie_audit, gridtie_cloud_keys, gridtie_files

DOCUMENTATION = r"""
module: gridtie_secrets
short_description: The keys of clouds
description:
  - Writes the key of each provider into the file that the routing file names, readable to root and the router's group.
    A key that changes is replaced in one step; the router reads it within a second and drops no request.
  - Which files came from here is written down. Those alone are removed again; what a person put beside them stays.
options:
  config_dir:
    description: The station's configuration directory; it must be there.
    type: path
    required: true
  group:
    description: Group that may read the files.
    type: str
    required: true
  secrets:
    description: Provider to key.
    type: dict
    default: {}
  key_files:
    description: Provider to file, relative to the configuration directory.
    type: dict
    default: {}
  prune:
    description: >-
      Remove files of providers that have no key any more. Before that, the routing file must not name them.
    type: bool
    default: false
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Write the keys of clouds
  gridtie.gridtie.gridtie_secrets:
    config_dir: /etc/gridtie
    group: gridtie
    secrets: "{{ gridtie_secrets }}"
    key_files: {openai: secrets/openai}
"""
RETURN = r"""
superfluous:
  description: Files that came from here, and that no provider with a key has.
  type: list
  returned: always
"""


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "config_dir": {"type": "path", "required": True},
            "group": {"type": "str", "required": True},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "key_files": {"type": "dict", "default": {}, "no_log": False},
            "prune": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    given, check = module.params, module.check_mode
    directory, group = given["config_dir"], given["group"]
    wanted = {given["key_files"][name]: key for name, key in given["secrets"].items()}
    before = gridtie_cloud_keys.managed(directory)
    superfluous = sorted(set(before) - set(wanted))
    changes: list[dict[str, Any] | None] = []
    path = directory
    try:
        # Written down first: a run that is killed in between must still know them for its own.
        changes.append(gridtie_cloud_keys.remember(directory, [*before, *wanted], group, check))
        for file, key in wanted.items():
            path = f"{directory}/{file}"
            entry = {"path": path, "content": key.strip() + "\n", "mode": "0640", "owner": "root", "group": group}
            written = gridtie_files.ensure_file({**entry, "secret": True}, check)
            if written and not check:
                gridtie_audit.secret_changed(directory, path, removed=False)
            changes.append(written)
        if given["prune"]:
            for file in superfluous:
                path = f"{directory}/{file}"
                removed = gridtie_files.remove(path, check)
                if removed and not check:
                    gridtie_audit.secret_changed(directory, path, removed=True)
                changes.append(removed)
            changes.append(gridtie_cloud_keys.remember(directory, wanted, group, check))
    except KeyError as error:
        module.fail_json(msg=f"{path}: there is no user or group {error} on this machine")
    except OSError as error:
        module.fail_json(msg=f"{path}: {error.strerror or error}")
    done = [change for change in changes if change]
    module.exit_json(changed=bool(done), superfluous=superfluous, diff=[change["diff"] for change in done])


if __name__ == "__main__":
    main()
