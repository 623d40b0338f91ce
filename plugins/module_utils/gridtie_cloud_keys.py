"""Which key files came from the inventory. Only those are replaced or removed by a run; others are a person's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Iterable, Iterator, Mapping

from .gridtie_files import ensure_file
from .gridtie_machine import read_text

_RECORD = "managed_secrets.json"


def managed(config_dir: str) -> list[str]:
    """The files that an earlier run wrote, relative to the configuration directory."""
    try:
        files = json.loads(read_text(f"{config_dir}/{_RECORD}") or "{}").get("files", [])
    except (ValueError, AttributeError):
        return []  # Cut by a crash: what it named counts as a person's until it is written again.
    return [str(name) for name in files]


def remember(config_dir: str, files: Iterable[str], group: str, check: bool) -> dict[str, Any] | None:
    """Write down which files are managed; the change, if it is one."""
    wanted = sorted(set(files))
    if not wanted and not Path(config_dir, _RECORD).exists():
        return None
    content = json.dumps({"schema": 1, "files": wanted}, indent=2) + "\n"
    entry = {"path": f"{config_dir}/{_RECORD}", "content": content, "mode": "0640", "owner": "root", "group": group}
    return ensure_file(entry, check)


def keyless(config_dir: str, key_files: Mapping[str, str], given: Iterable[str]) -> Iterator[tuple[str, str, bool]]:
    """(provider, file, whether a run wrote it before) for each whose key nobody gave and no person put there."""
    ours = managed(config_dir)
    for provider, file in key_files.items():
        if provider not in set(given) and (file in ours or not Path(config_dir, file).is_file()):
            yield provider, file, file in ours
