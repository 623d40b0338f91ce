"""Logging as JSON lines: one for each request, and the router's own messages. No prompts, no keys."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import BinaryIO

import msgspec

from gridtie.ledger.entry import Entry

_encode = msgspec.json.Encoder().encode

# Lines are written together, ten times a second (by the sweeper) or when there are this many.
_BATCH = 256


class Line(msgspec.Struct, omit_defaults=True):
    """What one request's line says."""

    time: str
    level: str
    id: str
    key: str
    environment: str
    asked: str
    status: int
    duration: float
    agent: str | None = None
    rule: str = ""
    target: str | None = None
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    first_token: float | None = None
    cost_usd: float | None = None
    complete: bool = True
    error: str = ""


class AccessLog:
    """One line per request; `None` as the stream turns it off."""

    def __init__(self, stream: BinaryIO | None) -> None:
        self._stream = stream
        self._lines: list[bytes] = []

    def request(self, entry: Entry) -> None:
        """Note a request that has ended."""
        if self._stream is None:
            return
        self._lines.append(
            _encode(
                Line(
                    time=_iso(entry.time),
                    level="info" if entry.status < 500 else "warning",
                    id=entry.id,
                    key=entry.key,
                    environment=entry.environment,
                    asked=entry.asked,
                    status=entry.status,
                    duration=round(entry.duration, 6),
                    agent=entry.agent,
                    rule=entry.rule,
                    target=entry.target,
                    attempts=len(entry.tries),
                    input_tokens=entry.input_tokens,
                    output_tokens=entry.output_tokens,
                    first_token=entry.first_token,
                    cost_usd=entry.cost_usd,
                    complete=entry.complete,
                    error=entry.error,
                )
            )
        )
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
