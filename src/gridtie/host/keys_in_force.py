"""Waits until the router goes by the keys on disk: who was given a key may use it, and who lost one may not."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from gridtie.host import keys
from gridtie.host.paths import StationError, find
from gridtie.host.router import Declined, Router, Unreachable

# The router looks once a second; a machine that is busy with a model may let it wait.
WAIT_S = 15.0
_PAUSE_S = 0.1


def wait(directory: Path, seconds: float = WAIT_S) -> str:
    """Why the router of the station with this configuration still goes by other keys after that time; "" where it goes
    by these, and where there is none that could be asked: a router that starts reads what is there.
    """
    try:
        endpoint = find({"GRIDTIE_CONFIG_DIR": str(directory)}, directory)
    except StationError:
        return ""
    router = Router(endpoint.url, endpoint.key)
    deadline = time.monotonic() + seconds
    while True:
        try:
            told = router.get("/gridtie/config")
            # Read each time: somebody else may be adding keys.
            wanted = hashlib.sha256((directory / keys.FILE).read_bytes()).hexdigest()
        except (Unreachable, Declined, OSError):
            return ""
        if told.get("keys", wanted) == wanted:
            return ""
        if time.monotonic() > deadline:
            return str(told.get("error") or f"it has not read {directory / keys.FILE} within {seconds:g} s")
        time.sleep(_PAUSE_S)
