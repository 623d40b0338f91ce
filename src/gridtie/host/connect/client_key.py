"""A key for one client alone: its rows in the ledger have its name, and it ends without ending any other."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import List, Optional, Sequence

from .. import keys, keys_in_force
from ..paths import CONFIG_DIR
from .wiring import Wiring

ENVIRONMENT = "dev"
_MOST = 9


def name_of(client: str) -> str:
    """What the ledger calls it: each person's own."""
    try:
        person = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        person = str(os.getuid())
    return f"{client}-{re.sub('[^A-Za-z0-9._-]', '-', person)}"[:60]


def free_name(directory: Path, wanted: str) -> Optional[str]:
    """`wanted`, or with a number where a key has that name; None where this user may not make keys, nor by sudo."""
    rows = _rows(directory)
    if rows is None:
        return None
    taken = {row.name.lower() for row in rows}
    names = [wanted, *(f"{wanted}-{number}" for number in range(2, _MOST + 1))]
    return next((name for name in names if name.lower() not in taken), None)


def made(directory: Path, name: str, origins: Sequence[str] = ()) -> Optional[str]:
    """A new key of that name, with which pages of these origins may ask; None where none could be made."""
    try:
        key = keys.add(directory, name, [ENVIRONMENT], origins=origins)
    except keys.KeysError:
        pages = [word for origin in origins for word in ("--origin", origin)]
        return _as_root(directory, ["keys", "add", name, "--environment", ENVIRONMENT, *pages])
    keys_in_force.wait(directory)
    return key


def ended(wiring: Wiring, usual: Path) -> bool:
    """Whether the client's key is gone. A key of its name that is another one stays."""
    directory = Path(wiring.station) if wiring.station else usual
    rows = _rows(directory)
    if rows is None:
        return False
    if not any(row.name == wiring.key_name and _is_its(row, wiring) for row in rows):
        return True
    try:
        keys.revoke(directory, wiring.key_name)
    except keys.KeysError:
        return _as_root(directory, ["keys", "revoke", wiring.key_name]) is not None
    return True


def _is_its(row: keys.KeyRow, wiring: Wiring) -> bool:
    """Without the key, since the writing was killed before it was noted, what was made since then under that name."""
    if wiring.key:
        return keys.digest(wiring.key) in keys.digests(row)
    plain = not (row.admin or row.relay or row.managed) and row.environments == (ENVIRONMENT,)
    return plain and row.created[:19] >= wiring.at[:19]


def _rows(directory: Path) -> Optional[List[keys.KeyRow]]:
    """The stored keys; None where this user may not change them, nor by sudo."""
    try:
        rows = keys.read(directory)
        if os.access(directory, os.W_OK):
            return rows
    except keys.KeysError:
        pass
    said = _as_root(directory, ["keys", "list", "--json"])
    if said is None:
        return None
    return [keys.row_of(row) for row in json.loads(said)]


def _as_root(directory: Path, words: List[str]) -> Optional[str]:
    """What `gridtie` prints as root. sudo asks for a password where somebody is there to type it."""
    command = shutil.which("gridtie")
    if not command or not shutil.which("sudo"):
        return None
    asking = [] if sys.stdin.isatty() else ["--non-interactive"]
    # Else root would ask the usual station, and change the keys of that one.
    station = [] if directory == CONFIG_DIR else ["env", f"GRIDTIE_CONFIG_DIR={directory}"]
    done = subprocess.run(
        ["sudo", *asking, *station, command, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else None
