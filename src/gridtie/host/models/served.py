"""Tells the router which models there are, between two runs of the playbook: in station.json, which it watches."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

from .. import audit
from ..paths import StationError, find, read_station
from ..router import Declined, Router, Unreachable

# The router looks once a second; a machine that is busy with a model may let it wait.
WAIT_S = 15.0
_PAUSE_S = 0.2


def write_served(config: Path, models: Sequence[Mapping[str, Any]]) -> None:
    """Put them into station.json as the playbook would. Owner and mode stay. Raises StationError."""
    path = config / "station.json"
    try:
        _write(path, models)
    except OSError as error:
        raise StationError(f"{path} cannot be written: {error.strerror or error}; run `make site`") from None


def _write(path: Path, models: Sequence[Mapping[str, Any]]) -> None:
    config = path.parent
    station = {**read_station(config), "models": list(models)}
    # As Ansible's to_nice_json has it, so that the next run finds nothing to change.
    text = json.dumps(station, indent=2, sort_keys=True, separators=(",", ": ")) + "\n"
    was = path.stat()
    descriptor, name = tempfile.mkstemp(dir=config, prefix=".station.json.")
    scratch = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        scratch.chmod(was.st_mode & 0o7777)
        os.chown(scratch, was.st_uid, was.st_gid)
        audit.note(audit.of_host(config), "models served", models=[str(each.get("name", "")) for each in models])
        scratch.replace(path)
    except BaseException:
        scratch.unlink()
        raise


def wait_until_served(config: Path, name: str, context: Optional[int], seconds: float = WAIT_S) -> Optional[str]:
    """Why the router does not offer the model with that context after that time (or still offers it, where None is
    wanted); None where it is as wanted.
    """
    try:
        endpoint = find({"GRIDTIE_CONFIG_DIR": str(config)}, config)
    except StationError as error:
        return str(error)
    router = Router(endpoint.url, endpoint.key)
    deadline = time.monotonic() + seconds
    while True:
        try:
            offered = {str(model["id"]): model["gridtie"]["context"] for model in router.get("/v1/models")["data"]}
        except (Unreachable, Declined) as error:
            return str(error)
        except (KeyError, TypeError):
            return f"{endpoint.url} does not list models as a gridtie router does"
        if offered.get(name) == context:
            return None
        if time.monotonic() > deadline:
            return f"the router has not read {config / 'station.json'} within {seconds:g} s"
        time.sleep(_PAUSE_S)
