"""Writes a GGUF anew with other metadata; the tensors, and all metadata that is not changed, stay byte by byte.

The same file and the same changes give the same bytes, so the result has a digest that can be pinned. Nothing but the
header is held in memory.
"""

from __future__ import annotations

import shutil
import struct
from typing import BinaryIO, Sequence

from .gguf_write import ALIGNMENT, ARRAY, MAGIC, STRING, Key, padding

# Of the format's scalar types, by number: their sizes in bytes.
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_ALIGNMENT_KEY = "general.alignment"
# A header beyond these is damaged or hostile.
_MOST_HEADER, _MOST_ENTRIES = 64 << 20, 1 << 16


class RewriteError(ValueError):
    """The file is no GGUF that can be written anew; the message says what was found."""


def rewrite(source: BinaryIO, target: BinaryIO, changes: Sequence[Key]) -> None:
    """Copy `source` with the keys of `changes` in place of those of their names, new ones at the end.

    Raises RewriteError.
    """
    reader = _Reader(source)
    version, tensors, keys = reader.beginning()
    changed = {key.name for key in changes}
    kept = [entry for name, entry in (reader.key() for _ in range(keys)) if name not in changed]
    listed = b"".join(reader.tensor() for _ in range(tensors))
    alignment = reader.alignment
    encoded = [*kept, *(key.encoded() for key in changes)]
    header = b"".join([MAGIC, struct.pack("<IQQ", version, tensors, len(encoded)), *encoded, listed])
    target.write(header + padding(len(header), alignment))
    # Where tensors lie is counted from the end of the header, so their list stays what it was.
    source.seek(source.tell() + len(padding(source.tell(), alignment)))
    shutil.copyfileobj(source, target, 1 << 20)


class _Reader:
    """Goes over a header without understanding more of it than where each entry ends."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.alignment = ALIGNMENT

    def beginning(self) -> tuple[int, int, int]:
        """Version, number of tensors, number of keys."""
        if self._take(4) != MAGIC:
            raise RewriteError("it does not begin with GGUF")
        version, tensors, keys = struct.unpack("<IQQ", self._take(20))
        if version not in (2, 3) or max(tensors, keys) > _MOST_ENTRIES:
            raise RewriteError(f"version {version} with {keys} keys and {tensors} tensors; wanted version 2 or 3")
        return version, tensors, keys

    def key(self) -> tuple[str, bytes]:
        """One entry of the metadata: its name, and all of its bytes."""
        begin = self._file.tell()
        name = self._text().decode("utf-8", "replace")
        kind = self._number(4)
        at = self._file.tell()
        self._skip(kind)
        entry = self._again(begin)
        if name == _ALIGNMENT_KEY:
            self.alignment = max(1, int.from_bytes(entry[at - begin :], "little"))
        return name, entry

    def tensor(self) -> bytes:
        """All bytes of one entry of the list of tensors."""
        begin = self._file.tell()
        self._text()
        self._take(8 * self._number(4) + 12)
        return self._again(begin)

    def _again(self, begin: int) -> bytes:
        end = self._file.tell()
        self._file.seek(begin)
        return self._take(end - begin)

    def _skip(self, kind: int) -> None:
        if kind == STRING:
            self._text()
        elif kind == ARRAY:
            item, count = self._number(4), self._number(8)
            if item in _SIZES:
                self._take(_SIZES[item] * count)
            else:
                for _ in range(count):
                    self._skip(item)
        elif kind in _SIZES:
            self._take(_SIZES[kind])
        else:
            raise RewriteError(f"it has a value of the unknown kind {kind}")

    def _text(self) -> bytes:
        return self._take(self._number(8))

    def _number(self, size: int) -> int:
        return int.from_bytes(self._take(size), "little")

    def _take(self, size: int) -> bytes:
        if size + self._file.tell() > _MOST_HEADER:
            raise RewriteError(f"its header claims more than {_MOST_HEADER} bytes")
        content = self._file.read(size)
        if len(content) != size:
            raise RewriteError("its header is cut short")
        return content
