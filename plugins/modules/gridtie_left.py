#!/usr/bin/python
"""Tell what a reset leaves behind."""

from __future__ import annotations

import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: gridtie_left
short_description: What a reset leaves behind
description:
  - Changes nothing.
options:
  paths:
    description: What may be left, path to what it is.
    type: dict
    required: true
  always:
    description: What is left in any case, in words.
    type: list
    elements: str
    default: []
  hint:
    description: How the paths are removed, too.
    type: str
    default: ""
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Tell what is left
  gridtie.gridtie.gridtie_left:
    paths: {/var/lib/gridtie/models: models}
"""
RETURN = r"""
left:
  description: The paths that are there.
  type: list
  returned: always
summary:
  description: The list for people.
  type: str
  returned: always
"""


def _size(path: str) -> int:
    """Bytes on disk; what vanishes meanwhile counts nothing."""
    total = 0
    for directory, _, files in os.walk(path):
        for name in files:
            try:
                total += (Path(directory) / name).lstat().st_blocks * 512
            except OSError:
                continue
    return total


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "paths": {"type": "dict", "required": True},
            "always": {"type": "list", "elements": "str", "default": []},
            "hint": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    given = module.params
    left = [path for path in given["paths"] if Path(path).is_dir() and any(Path(path).iterdir())]
    lines = [f"  {path}: {given['paths'][path]} ({_size(path) / 1e6:.1f} MB)" for path in left]
    lines += [f"  {what}" for what in given["always"]]
    if left and given["hint"]:
        lines.append(given["hint"])
    module.exit_json(changed=False, left=left, summary="\n".join(["What is left:", *lines]))


if __name__ == "__main__":
    main()
