#!/usr/bin/python
"""Make a set of files, directories and links what they shall be, in one call."""

from __future__ import annotations

import datetime
from functools import partial
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import gridtie_audit, gridtie_edits, gridtie_files

DOCUMENTATION = r"""
module: gridtie_files
short_description: A set of files, directories and links, written atomically
description:
  - One call for what would be many template, copy and file tasks, each of which costs half a second.
  - Directories come first, then files, links, and what shall be gone.
options:
  directories:
    description: >-
      Each with C(path), C(mode), C(owner), C(group), and C(taken_from), a user whose files below it are given to the
      owner, or C(group_taken_from), a group whose files below it are given to the group.
    type: list
    elements: dict
    default: []
  files:
    description: >-
      Each with C(path), C(content) or C(content_base64), C(mode), C(owner), C(group); C(secret) keeps the content out
      of diffs. C(edits) says what becomes of a file that a person has edited since it was last written, C(keep) or
      C(replace); a dated copy of what is replaced stays beside it.
    type: list
    elements: dict
    default: []
  links:
    description: Each with C(path) and C(target).
    type: list
    elements: dict
    default: []
  absent:
    description: Paths that shall not be there; directories go with all that is in them.
    type: list
    elements: path
    default: []
  set_aside:
    description: Those of C(absent) of which a dated copy stays beside them where a person has edited them.
    type: list
    elements: path
    default: []
  audit:
    description: The station's configuration directory, where each change of O(files) is to be in its audit log.
    type: path
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Write the configuration
  gridtie.gridtie.gridtie_files:
    directories:
      - {path: /etc/gridtie, mode: "0750", owner: root, group: gridtie}
    files:
      - {path: /etc/gridtie/llm_routing.yaml, mode: "0640", owner: root, group: gridtie, content: "version: 1\n"}
"""
RETURN = r"""
changed_paths:
  description: What was not as it should be.
  type: list
  returned: always
"""


def _file(entry: dict[str, Any], check: bool, audit: str | None) -> dict[str, Any] | None:
    before = gridtie_audit.digest(entry["path"]) if audit else ""
    ensure = partial(gridtie_edits.ensure, now=_now()) if "edits" in entry else gridtie_files.ensure_file
    change = ensure(entry, check)
    if audit and change and not check:
        gridtie_audit.file_changed(audit, entry["path"], before, gridtie_audit.digest(entry["path"]))
    return change


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "directories": {"type": "list", "elements": "dict", "default": []},
            "files": {"type": "list", "elements": "dict", "default": []},
            "links": {"type": "list", "elements": "dict", "default": []},
            "absent": {"type": "list", "elements": "path", "default": []},
            "set_aside": {"type": "list", "elements": "path", "default": []},
            "audit": {"type": "path"},
        },
        supports_check_mode=True,
    )
    given, check = module.params, module.check_mode
    changes: list[dict[str, Any] | None] = []
    path = ""
    try:
        for kind, ensure in (
            ("directories", gridtie_files.ensure_directory),
            ("files", partial(_file, audit=given["audit"])),
            ("links", gridtie_files.ensure_link),
        ):
            for entry in given[kind]:
                path = entry["path"]
                changes.append(ensure(entry, check))
        for path in given["set_aside"]:
            if gridtie_edits.edited(path) and not check:
                gridtie_edits.set_aside(path, _now())
        for path in given["absent"]:
            changes.append(gridtie_files.remove(path, check))
    except KeyError as error:
        module.fail_json(msg=f"{path}: there is no user or group {error} on this machine")
    except OSError as error:
        module.fail_json(msg=f"{path}: {error.strerror or error}")
    done = [change for change in changes if change]
    module.exit_json(
        changed=bool(done),
        changed_paths=[change["path"] for change in done],
        diff=[change["diff"] for change in done],
    )


if __name__ == "__main__":
    main()
