"""What the engine holds in memory now, by its own account (Ollama's `/api/ps`)."""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

from ..command import run_command
from ..machine.hardware import Loaded
from ..paths import StationError, read_station
from .proof import from_host
from .station_docker import CannotRun, StationDocker

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
    try:
        return parse_ps(StationDocker(station, run_command).from_router([url + "/api/ps"])[0].body)
    except (CannotRun, OSError, ValueError, LookupError):
        return ()


def virtual_memory(config: Path) -> int:
    """What Docker has on a Mac, where the station's engine runs in it; 0 elsewhere."""
    if sys.platform != "darwin":
        return 0
    try:
        station = read_station(config)
        native = station["engine"].get("mode") == "native"
        return 0 if native else int(StationDocker(station, run_command).info().get("MemTotal") or 0)
    except (StationError, LookupError, ValueError):
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
