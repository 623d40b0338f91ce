#!/usr/bin/python
"""The keys by which other stations' routers may ask this one. Only their hashes are ever here."""

from __future__ import annotations

import datetime
import json

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import gridtie_audit, gridtie_files, gridtie_keys
from ..module_utils.gridtie_machine import read_text

DOCUMENTATION = r"""
module: gridtie_relays
short_description: Other stations' routers that may ask this one
description:
  - Writes them to C(keys.json), whose other entries stay. A station that is no longer named is refused from then on.
  - Notes in the station's audit log which come, go and change.
options:
  config_dir:
    description: The station's configuration directory; it must be there.
    type: path
    required: true
  group:
    description: Group that may read the file.
    type: str
    required: true
  relays:
    description: Name of each station to the SHA-256 of its key; empty for one that keeps the key it has.
    type: dict
    required: true
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Let the workstations ask
  gridtie.gridtie.gridtie_relays:
    config_dir: /etc/gridtie
    group: gridtie
    relays: {alice-laptop: 3f0a...}
"""
RETURN = r"""
names:
  description: The stations that may ask.
  type: list
  returned: always
"""


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "config_dir": {"type": "path", "required": True},
            "group": {"type": "str", "required": True},
            "relays": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    given = module.params
    path = f"{given['config_dir']}/keys.json"
    with gridtie_keys.alone(given["config_dir"]):
        try:
            document = gridtie_keys.parse(read_text(path))
            now = datetime.datetime.now(datetime.timezone.utc)
            wanted = gridtie_keys.with_relays(document, given["relays"], now)
        except gridtie_keys.KeyFileError as error:
            module.fail_json(msg=f"{path}: {error}. Correct it, or move it away and run this again.")
        text = json.dumps(wanted, indent=2) + "\n" if wanted != document else read_text(path)
        entry = {"path": path, "content": text, "mode": "0640", "owner": "root", "group": given["group"]}
        if wanted != document and not module.check_mode:
            try:
                gridtie_audit.keys_changed(given["config_dir"], document, wanted)
            except OSError as error:
                module.fail_json(msg=f"{error.filename}: {error.strerror}; a change of keys is noted there first")
        change = gridtie_files.ensure_file(entry, module.check_mode)
    names = [row["name"] for row in wanted["keys"] if row.get("relay")]
    module.exit_json(changed=bool(change), names=names, diff=[change["diff"]] if change else [])


if __name__ == "__main__":
    main()
