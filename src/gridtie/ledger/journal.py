"""The append-only journal: one `write()` per record, so that what was recorded survives the death of the process.

A record is one line, `KIND CRC LENGTH JSON\\n`: kind `E` (an entry) or `B` (a cloud attempt begins), CRC-32 of kind and
JSON in hex, length of the JSON in bytes. JSON holds no raw newline, so a reader that finds a torn record picks up
again at the next line. Records go to numbered segments; a process never appends to a segment of another one.

Nothing is synced: the page cache outlives the process, not the machine. Power loss is not covered.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from zlib import crc32

import msgspec

from gridtie.ledger.entry import Entry

# A segment is replayed whole after a crash: 4 MiB is about 8000 records, a fraction of a second.
SEGMENT_BYTES = 4 * 1024 * 1024

_NAME = re.compile(r"(\d{12})\.log")


class Begin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A cloud attempt is about to be sent: from here on it may bill, whatever becomes of us."""

    id: str
    target: str
    time: float
    key: str = ""
    environment: str = ""
    # US dollars that were reserved for it; what it is counted as if its end is never seen.
    reserve_usd: float = 0.0


Record = Entry | Begin

# A record as JSON, on one line.
encode = msgspec.json.Encoder().encode

_KINDS: dict[bytes, msgspec.json.Decoder[Entry] | msgspec.json.Decoder[Begin]] = {
    b"E": msgspec.json.Decoder(Entry),
    b"B": msgspec.json.Decoder(Begin),
}
_SEED = {kind: crc32(kind) for kind in _KINDS}


class Torn(msgspec.Struct, frozen=True):
    """Bytes that are no record of ours: most likely a write that the end of the process cut off."""

    offset: int
    data: bytes


def frame(record: Record, body: bytes | None = None) -> bytes:
    """A record as its line in the journal; `body` is its JSON, if that is at hand."""
    kind = b"E" if type(record) is Entry else b"B"
    body = encode(record) if body is None else body
    return b"%b %08x %d %b\n" % (kind, crc32(body, _SEED[kind]), len(body), body)


def read(path: Path) -> Iterator[Record | Torn]:
    """Every record of a segment in order, and every stretch that is none."""
    offset = 0
    with path.open("rb") as segment:
        for line in segment:
            yield _parse(line) or Torn(offset, line)
            offset += len(line)


def _parse(line: bytes) -> Record | None:
    if not line.endswith(b"\n"):
        return None
    parts = line[:-1].split(b" ", 3)
    if len(parts) != 4 or parts[0] not in _KINDS:
        return None
    kind, crc, length, body = parts
    if crc != b"%08x" % crc32(body, _SEED[kind]) or length != b"%d" % len(body):
        return None
    try:
        return _KINDS[kind].decode(body)
    except msgspec.DecodeError:  # whole, but of a gridtie whose rows we do not know: kept aside, not fatal
        return None


class Journal:
    """The writer of one process. `append` is called from one thread."""

    def __init__(self, directory: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        """Raises OSError where the directory cannot be written."""
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._segment_bytes = segment_bytes
        self.segment = max((number for number, _ in self.segments()), default=0)
        self._fd = -1
        self._size = 0
        self._next_segment()

    def append(self, line: bytes) -> int:
        """Write one line; returns the number of its segment. Raises OSError, and then nothing of it is left."""
        if self._size >= self._segment_bytes:
            self._next_segment()
        written = os.write(self._fd, line)
        if written != len(line):
            # A disk that fills up takes part of a write. Take it back, or the next record would run into it.
            os.ftruncate(self._fd, self._size)
            raise OSError(28, f"only {written} of {len(line)} bytes could be written", str(self.directory))
        self._size += written
        return self.segment

    def turn(self) -> int:
        """Go on in a new segment; its number. Called from the thread that appends. Raises OSError."""
        self._next_segment()
        return self.segment

    def segments(self) -> list[tuple[int, Path]]:
        """Number and path of every segment there is, oldest first."""
        found = [(int(match[1]), path) for path in self.directory.iterdir() if (match := _NAME.fullmatch(path.name))]
        return sorted(found)

    def size(self) -> int:
        """Bytes of all segments; from any thread."""
        total = 0
        for _, path in self.segments():
            with suppress(FileNotFoundError):  # one that was just dropped
                total += path.stat().st_size
        return total

    def drop_before(self, segment: int) -> None:
        """Delete the segments below `segment`: their records are in the store."""
        for number, path in self.segments():
            if number < segment:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the segment; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _next_segment(self) -> None:
        path = self.directory / f"{self.segment + 1:012}.log"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self.close()
        self._fd, self._size = fd, 0
        self.segment += 1
