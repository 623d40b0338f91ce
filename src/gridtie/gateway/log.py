"""Logging as JSON lines: one for each request, and the router's own messages. No prompts, no keys."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import BinaryIO

import msgspec

_encode = msgspec.json.Encoder().encode

# Lines are written together, ten times a second (by the sweeper) or when there are this many.
_BATCH = 256


class AccessLog:
    """One line per request; `None` as the stream turns it off."""

    def __init__(self, stream: BinaryIO | None) -> None:
        self._stream = stream
        self._lines: list[bytes] = []

    def request(self, row: bytes) -> None:
        """Note a request that has ended by its row in the ledger: it holds no prompt and no key, and reports are made
        of it.
        """
        if self._stream is None:
            return
        self._lines.append(row)
        if len(self._lines) >= _BATCH:
            self.flush()

    def sweep(self, now: float) -> None:
        """Called ten times a second."""
        self.flush()

    def flush(self) -> None:
        """Write what has been noted."""
        if self._lines and self._stream is not None:
            lines, self._lines = self._lines, []
            self._stream.write(b"\n".join(lines) + b"\n")
            self._stream.flush()


class JsonFormatter(logging.Formatter):
    """The router's own messages as JSON lines."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _iso(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _encode(line).decode()


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
