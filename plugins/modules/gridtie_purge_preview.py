#!/usr/bin/python
"""What a purge would take away from this machine."""

from __future__ import annotations

import datetime
import json
import sqlite3
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import gridtie_cloud_keys, gridtie_edits
from ..module_utils.gridtie_machine import read_text
from ..module_utils.gridtie_station import station

DOCUMENTATION = r"""
module: gridtie_purge_preview
short_description: What a purge would take away from a machine
description:
  - Models, requests in the ledger, keys. Changes nothing.
options:
  config_dir:
    description: Where the station's configuration is.
    type: path
    required: true
  state_dir:
    description: Where the station's state is.
    type: path
    required: true
author: Gridtie contributors
"""
EXAMPLES = r"""
- name: Look at what would go
  gridtie.gridtie.gridtie_purge_preview:
    config_dir: /etc/gridtie
    state_dir: /var/lib/gridtie
"""
RETURN = r"""
lines:
  description: What would be removed, a line for each kind; empty where there is nothing.
  type: list
  returned: always
"""


def preview(config_dir: Path, state_dir: Path) -> list[str]:
    """A line for each kind of thing that cannot be had back by a run."""
    kinds = (_models(config_dir, state_dir), _ledger(state_dir), _keys(config_dir), _cloud_keys(config_dir))
    lines = [line for line in kinds if line]
    routing = config_dir / "llm_routing.yaml"
    if gridtie_edits.edited(str(routing)):
        lines.append(f"routing file: {routing}, which was edited here")
    if copies := gridtie_edits.copies(str(routing)):
        lines.append(f"dated copies of routing files: {len(copies)}")
    return lines


def _models(config_dir: Path, state_dir: Path) -> str:
    names = [str(model.get("name")) for model in station(str(config_dir)).get("models") or []]
    sizes = [path.lstat().st_size for path in (state_dir / "models").rglob("*") if path.is_file()]
    if not names and not sizes:
        return ""
    return f"models: {', '.join(names) or 'of an earlier run'} ({sum(sizes) / 1e9:.1f} GB)"


def _ledger(state_dir: Path) -> str:
    path = state_dir / "ledger/ledger.sqlite"
    if not path.is_file():
        return ""
    try:
        # Rows that a running router has not yet moved into the file count; SQLite reads them by what is there for it.
        # Else as if the file never changed: nothing is made beside it that its owner could not write.
        running = path.with_name(f"{path.name}-shm").exists()
        ledger = sqlite3.connect(f"file:{path}?{'mode=ro' if running else 'immutable=1'}", uri=True)
        try:
            count, first = ledger.execute("SELECT count(*), min(time) FROM requests").fetchone()
        finally:
            ledger.close()
    except sqlite3.Error as error:
        return f"ledger: {path}, which cannot be read ({error})"
    since = f" since {datetime.datetime.fromtimestamp(first, datetime.timezone.utc):%Y-%m-%d}" if count else ""
    return f"ledger: {count} request{'s' if count != 1 else ''}{since}"


def _keys(config_dir: Path) -> str:
    try:
        rows = json.loads(read_text(str(config_dir / "keys.json")) or "{}").get("keys") or []
        names = [str(row["name"]) for row in rows]
    except (ValueError, AttributeError, KeyError, TypeError):
        names = ["a file that cannot be read"]
    return f"keys: {', '.join(names)}" if names else ""


def _cloud_keys(config_dir: Path) -> str:
    """Those that a person put there: no run can write them again. A pool's are made by the run."""
    ours = gridtie_cloud_keys.managed(str(config_dir))
    files = [path.relative_to(config_dir) for path in sorted(config_dir.glob("secrets/*")) if path.is_file()]
    names = [str(file) for file in files if str(file) not in ours and not file.name.startswith("pool-")]
    return f"keys of clouds: {', '.join(names)}" if names else ""


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={
            "config_dir": {"type": "path", "required": True},
            "state_dir": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    lines = preview(Path(module.params["config_dir"]), Path(module.params["state_dir"]))
    module.exit_json(changed=False, lines=lines)


if __name__ == "__main__":
    main()
