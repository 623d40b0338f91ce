"""The router's ledger on this host, for reading beside the router.

It is a file of SQLite, and a journal of what is not yet in there. What `gridtie.ledger` says of both is said here once
more, for a host that has only the standard library.
"""

from __future__ import annotations

import re
import sqlite3
import urllib.parse
from pathlib import Path
from typing import Mapping

from .paths import state_dir

# The newest schema that the router of this version knows, as `PRAGMA user_version` has it.
SCHEMA = 3
# A part of the journal, one record a line.
JOURNAL_SEGMENT = re.compile(r"\d{12}\.log")


def ledger_file(environ: Mapping[str, str]) -> Path:
    """Where it lies."""
    return state_dir(environ) / "ledger" / "ledger.sqlite"


def read_only(path: Path) -> sqlite3.Connection:
    """A connection that cannot write. Raises sqlite3.Error."""
    return sqlite3.connect(f"file:{urllib.parse.quote(str(path))}?mode=ro", uri=True, timeout=5.0)
