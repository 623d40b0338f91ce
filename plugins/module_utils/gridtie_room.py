"""What a machine has room for, and what it reaches: what models are chosen by, for one station and for a group."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Optional

from . import gridtie_reach
from .gridtie_host.catalogue import CatalogueError
from .gridtie_host.machine.detect import this_machine
from .gridtie_host.machine.hardware import Hardware, in_docker
from .gridtie_host.machine.record import SpeedRecord, beside


def hardware(catalogue_json: str, docker_memory: int, *, again: bool, write: bool) -> Hardware:
    """What the engine finds; its container perhaps in a virtual machine of Docker, of so much memory (0: no container).

    How fast the memory is comes from the record beside the host's catalogue; it is measured where that has none, or
    ``again``. Raises OSError where the system does not tell.
    """
    kept = record(catalogue_json)
    found = this_machine(kept and replace(kept, write=write), again)
    return in_docker(found, docker_memory)


def record(catalogue_json: str) -> Optional[SpeedRecord]:
    """Where it is written down how fast this machine's memory is; nowhere without the host's catalogue."""
    return SpeedRecord(beside(Path(catalogue_json)), write=True) if catalogue_json else None


def unreachable(registry: str) -> dict[str, str]:
    """Only the library is asked: pip says by itself what it cannot reach, and it knows more ways than one URL."""
    answer = gridtie_reach.probe_all({"registry": registry.rstrip("/") + "/v2/"})["registry"]
    if answer["state"] == "ok":
        return {}
    return {"ollama": f"the model library {answer['url']} does not answer ({answer['detail']})"}


def adopted(store: str) -> Optional[tuple[Path, tuple[int, int]]]:
    """Somebody else's store and its owner; one that its engine has not made yet belongs to whom its directory does."""
    if not store:
        return None
    existing = Path(store)
    while not existing.exists():
        existing = existing.parent
    found = existing.stat()
    return Path(store), (found.st_uid, found.st_gid)


def most_bytes(limit: str) -> Optional[int]:
    """The limit in bytes; None where it follows the machine. Raises CatalogueError."""
    text = limit.strip()
    if text == "auto":
        return None
    most = float(text) if re.fullmatch(r"\d{1,6}(\.\d+)?", text) else None
    if most is None:
        wanted = "wanted: auto, or a number of GB (0: no limit)"
        raise CatalogueError(("gridtie_models_max_download_gb",), f"found {text!r}, {wanted}")
    return int(most * 1e9)
