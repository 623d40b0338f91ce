"""The router's ledger on this host, for reading beside the router."""

from __future__ import annotations

import sqlite3
import urllib.parse
from pathlib import Path
from typing import Mapping

from .paths import state_dir


def ledger_file(environ: Mapping[str, str]) -> Path:
    """Where it lies."""
    return state_dir(environ) / "ledger" / "ledger.sqlite"


def read_only(path: Path) -> sqlite3.Connection:
    """A connection that cannot write. Raises sqlite3.Error."""
    return sqlite3.connect(f"file:{urllib.parse.quote(str(path))}?mode=ro", uri=True, timeout=5.0)
