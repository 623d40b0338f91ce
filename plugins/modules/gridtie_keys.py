#!/usr/bin/python
"""The station's own key and its copy for the person who runs the playbook. Keys never appear in the result."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import gridtie_files, gridtie_keys
from ..module_utils.gridtie_machine import read_text

DOCUMENTATION = r"""
module: gridtie_keys
short_description: The station's key
description:
  - Makes the key once and writes it to C(station.key), its SHA-256 to C(keys.json), whose other entries stay.
options:
  config_dir:
    description: The station's configuration directory; it must be there.
    type: path
    required: true
  group:
    description: Group that may read the files.
    type: str
    required: true
  person:
    description: Who gets a copy, with C(uid), C(gid) and C(home).
    type: dict
  copy_dir:
    description: Directory of the copy, below that home.
    type: str
    default: .config/gridtie
  endpoint:
    description: The address that is written beside the copy.
    type: str
    required: true
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Make the station's key
  gridtie_keys:
    config_dir: /etc/gridtie
    group: gridtie
    endpoint: http://127.0.0.1:8484
"""
RETURN = r"""
created:
  description: Whether a new key was made.
  type: bool
  returned: always
copied_to:
  description: Where the person's copy is; empty where there is none.
  type: str
  returned: always
"""


def _copy(directory: str, key: str, endpoint: str) -> bool:
    """Runs as the person. The key is readable to nobody else."""
    Path(directory).mkdir(mode=0o700, exist_ok=True, parents=True)
    changed = False
    for name, content, mode in (("key", key + "\n", 0o600), ("endpoint", endpoint + "\n", 0o644)):
        path = f"{directory}/{name}"
        if read_text(path) != content or Path(path).stat().st_mode & 0o777 != mode:
            gridtie_files.write_atomically(path, content.encode(), mode)
            changed = True
    return changed


def _copy_differs(directory: str, key: str, endpoint: str) -> bool:
    return read_text(f"{directory}/key") != key + "\n" or read_text(f"{directory}/endpoint") != endpoint + "\n"


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "config_dir": {"type": "path", "required": True},
            "group": {"type": "str", "required": True},
            "person": {"type": "dict"},
            "copy_dir": {"type": "str", "default": ".config/gridtie"},
            "endpoint": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    given, check = module.params, module.check_mode
    key_file, keys_file = f"{given['config_dir']}/station.key", f"{given['config_dir']}/keys.json"
    key = read_text(key_file).strip()
    created = not gridtie_keys.valid(key)
    if created:
        key = gridtie_keys.new_key()
    try:
        document = gridtie_keys.parse(read_text(keys_file))
    except gridtie_keys.KeyFileError as error:
        module.fail_json(
            msg=f"{keys_file}: {error}. Correct it, or move it away: then one with the station's key alone is written."
        )
    wanted = gridtie_keys.with_station_key(document, key, datetime.datetime.now(datetime.timezone.utc))
    changes = []
    for path, content, secret in (
        (key_file, key + "\n", True),
        (keys_file, json.dumps(wanted, indent=2) + "\n" if wanted != document else read_text(keys_file), False),
    ):
        entry = {
            "path": path,
            "content": content,
            "mode": "0640",
            "owner": "root",
            "group": given["group"],
            "secret": secret,
        }
        changes.append(gridtie_files.ensure_file(entry, check))
    done = [change for change in changes if change]
    person = given["person"]
    directory = ""
    copied = False
    if person and Path(person["home"]).is_dir():
        directory = f"{person['home']}/{given['copy_dir']}"
        uid, gid = int(person["uid"]), int(person["gid"])
        if check:
            copied = created or _copy_differs(directory, key, given["endpoint"])
        else:
            try:
                copied = gridtie_keys.as_user(uid, gid, lambda: _copy(directory, key, given["endpoint"]))
            except OSError as error:
                module.fail_json(msg=f"{directory}: {error}")
    module.exit_json(
        changed=bool(done) or copied, created=created, copied_to=directory, diff=[change["diff"] for change in done]
    )


if __name__ == "__main__":
    main()
