"""A model's file on the disk."""

from __future__ import annotations

from pathlib import Path

from ..fit.header import MOST_BYTES, Cut, GgufError, Header, parse_header

# Most headers end within this; each further step doubles it.
_FIRST_BYTES = 4 << 20


def read_header(path: Path) -> Header:
    """What the file says that it is: at most MOST_BYTES of it are read.

    Raises GgufError, and OSError where it cannot be opened.
    """
    with path.open("rb") as file:
        data, wanted = b"", _FIRST_BYTES
        while True:
            more = file.read(wanted - len(data))
            data += more
            try:
                return parse_header(data, str(path))
            except Cut as cut:
                if not more or len(data) >= MOST_BYTES:
                    raise
                wanted = min(MOST_BYTES, max(cut.wanted, 2 * len(data)))


def check_length(path: Path, header: Header) -> None:
    """Raises GgufError where the file is shorter than its header says."""
    size = path.stat().st_size
    if size < header.file_bytes:
        raise GgufError(f"{path}: it is cut: {size} bytes are there, its header speaks of {header.file_bytes}")
