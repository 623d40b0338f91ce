"""What the engine holds in memory now, by its own account (Ollama's `/api/ps`)."""

from __future__ import annotations

import json
import os
import urllib.request
from pathlib import Path
from typing import Any

from ..doctor.look import Look, NotThere
from ..doctor.probe import HostProbe
from ..machine.hardware import Loaded
from ..paths import state_dir
from .proof import from_host

# Where an Ollama of this machine listens unless a station says otherwise.
DEFAULT_URL = "http://127.0.0.1:11434"
# Seconds; an engine that is busy answers this at once.
TIMEOUT = 2.0


def read_loaded(config: Path) -> tuple[Loaded, ...]:
    """Models that the engine of this machine holds; none where no engine answers, or this user may not ask it."""
    try:
        station = json.loads((config / "station.json").read_text(encoding="utf-8"))
        container = station["engine"]["mode"] == "container"
        url = str(station["models"][0]["url"]) if station["models"] else DEFAULT_URL
    except (OSError, ValueError, KeyError, TypeError):
        return parse_ps(_get(DEFAULT_URL + "/api/ps"))
    if not container:
        return parse_ps(_get(from_host(url) + "/api/ps")) or parse_ps(_get(DEFAULT_URL + "/api/ps"))
    look = Look(HostProbe(), config, state_dir(os.environ), "", "")
    try:
        return parse_ps(look.from_router([url + "/api/ps"])[0].body)
    except (NotThere, OSError, ValueError, LookupError):
        return ()


def virtual_memory(config: Path) -> int:
    """What Docker has on a Mac, where the station's engine runs in it; 0 elsewhere."""
    look = Look(HostProbe(), config, state_dir(os.environ), "", "")
    try:
        return int(look.daemon.get("MemTotal") or 0) if look.probe.mac and not look.native else 0
    except (NotThere, LookupError, ValueError):
        return 0


def parse_ps(text: str) -> tuple[Loaded, ...]:
    """The answer of `/api/ps`; none where it is another one (the embedded engine has no such path)."""
    try:
        models: Any = json.loads(text)["models"]
        return tuple(
            Loaded(str(model["name"]), int(model["size"]), int(model.get("size_vram") or 0)) for model in models
        )
    except (ValueError, KeyError, TypeError):
        return ()


def _get(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=TIMEOUT) as answer:
            text: str = answer.read(1 << 20).decode("utf-8", "replace")
            return text
    except (OSError, ValueError):
        return ""
