"""A key for one client alone: its rows in the ledger have its name, and it ends without ending any other."""

from __future__ import annotations

import getpass
import shutil
import subprocess
import sys
from pathlib import Path
from typing import List, Optional

from .. import keys, keys_in_force

ENVIRONMENT = "dev"


def name_of(client: str) -> str:
    """What the ledger calls it: each person's own."""
    return f"{client}-{getpass.getuser()}"[:64]


def made(directory: Path, name: str) -> Optional[str]:
    """A new key of that name in place of an older one; None where this user may not make one, also not by sudo."""
    try:
        _forget(directory, name)
        key = keys.add(directory, name, [ENVIRONMENT])
    except keys.KeysError:
        _as_root(["keys", "revoke", name])
        return _as_root(["keys", "add", name, "--environment", ENVIRONMENT])
    keys_in_force.wait(directory)
    return key


def ended(directory: Path, name: str) -> bool:
    """Whether the key is gone."""
    try:
        keys.revoke(directory, name)
    except keys.KeysError:
        return _as_root(["keys", "revoke", name]) is not None
    return True


def _forget(directory: Path, name: str) -> None:
    if any(row.name == name for row in keys.read(directory)):
        keys.revoke(directory, name)


def _as_root(words: List[str]) -> Optional[str]:
    """What `gridtie` prints as root. sudo asks for a password where somebody is there to type it."""
    command = shutil.which("gridtie")
    if not command or not shutil.which("sudo"):
        return None
    asking = [] if sys.stdin.isatty() else ["--non-interactive"]
    done = subprocess.run(
        ["sudo", *asking, command, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else None
