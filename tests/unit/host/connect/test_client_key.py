"""A client's own key ends with its wiring."""

from __future__ import annotations

import time
from pathlib import Path

from gridtie.host import keys
from gridtie.host.connect import client_key
from gridtie.host.connect.wiring import Wiring


def wired(directory: Path) -> Wiring:
    key = keys.add(directory, "aider-ann", [client_key.ENVIRONMENT])
    return Wiring("http://h", key, "coder", key_name="aider-ann", station=str(directory))


def test_a_key_that_was_rotated_since_ends_with_its_client(tmp_path: Path) -> None:
    wiring = wired(tmp_path)
    keys.rotate(tmp_path, "aider-ann", 3600.0, time.time())

    assert client_key.ended(wiring, tmp_path)
    assert keys.read(tmp_path) == []


def test_a_key_of_its_name_that_somebody_made_anew_stays(tmp_path: Path) -> None:
    wiring = wired(tmp_path)
    keys.revoke(tmp_path, "aider-ann")
    keys.add(tmp_path, "aider-ann", [client_key.ENVIRONMENT])

    assert client_key.ended(wiring, tmp_path)
    assert [row.name for row in keys.read(tmp_path)] == ["aider-ann"]
