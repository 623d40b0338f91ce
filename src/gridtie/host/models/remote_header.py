"""The header of a GGUF behind a URL, by requests for its first bytes: what a model is, before it is fetched."""

from __future__ import annotations

import http.client
import re
import urllib.error
from dataclasses import dataclass
from typing import Optional

from ..fit.header import MOST_BYTES, Cut, GgufError, Header, parse_header
from .download import Fetcher, FetchError, shown
from .sources import Means, blob_url, library_manifest
from .store import Manifest

# Most headers end within this: a vocabulary of 150,000 tokens has some 6 MB.
_FIRST_BYTES = 8 << 20
_BLOCK = 1 << 20
_NO_SUCH_RANGE = 416


@dataclass(frozen=True)
class RemoteHeader:
    """A file's header, parsed and as the bytes that it is. `bytes` is the file's length, 0 where nobody says it."""

    header: Header
    raw: bytes
    bytes: int = 0


class Beginning:
    """The first bytes of the file behind a URL, as far as they were asked for.

    A connection that breaks is continued where it did. A server that ignores ranges sends from the start: what is
    there already is read over, and its one answer is read on. No more than `most` bytes are read in all.
    """

    def __init__(self, url: str, fetcher: Fetcher, most: int = MOST_BYTES) -> None:
        self.data = bytearray()
        self.length = 0
        self._url, self._fetcher, self._most = url, fetcher, most
        self._read = 0
        self._answer: Optional[http.client.HTTPResponse] = None
        # Bytes that the answer has left, None where it does not say.
        self._left: Optional[int] = None
        self._ended = False

    def reach(self, wanted: int) -> None:
        """Have `wanted` bytes, or all that there are. Raises FetchError."""
        while len(self.data) < wanted and not self._ended:
            block = self._fetcher.retried(self._url, lambda: self._next(wanted), lambda: len(self.data))
            self.data += block

    def close(self) -> None:
        """End the answer that is being read, however much of it is left."""
        if self._answer is not None:
            self._answer.close()
            self._answer = None

    def _next(self, wanted: int) -> bytes:
        """The next block; empty at the end of an answer, and of the file where `_ended` says so."""
        self._answer = self._answer or self._ask(wanted)
        if self._answer is None:
            return b""
        block = self._block(self._answer, min(_BLOCK, wanted - len(self.data)))
        if not block:
            self.close()
            self._ended = self._left is None or len(self.data) == self.length
        return block

    def _ask(self, wanted: int) -> Optional[http.client.HTTPResponse]:
        """Open the next range; None where there is none."""
        start = len(self.data)
        try:
            answer = self._fetcher.open(self._url, {"Range": f"bytes={start}-{wanted - 1}"})
        except urllib.error.HTTPError as error:
            if error.code != _NO_SUCH_RANGE:
                raise
            error.close()
            self._ended = True
            return None
        # http.client's own reading of Content-Length.
        self._left = answer.length
        if answer.status != http.client.PARTIAL_CONTENT:
            self.length = self._left or 0
            while start:
                start -= len(self._block(answer, min(_BLOCK, start))) or start
            return answer
        sent = re.fullmatch(r"bytes (\d{1,19})-\d{1,19}/(\d{1,19}|\*)", answer.headers.get("Content-Range") or "")
        if sent is None or int(sent[1]) != start:
            answer.close()
            raise FetchError(f"{shown(self._url)} answers with another part of the file than was asked for")
        self.length = int(sent[2]) if sent[2] != "*" else 0
        return answer

    def _block(self, answer: http.client.HTTPResponse, size: int) -> bytes:
        """The answer's next bytes; empty at its end. An answer that ends before that is a broken connection."""
        if self._read + size > self._most:
            answer.close()
            raise FetchError(
                f"{shown(self._url)}: its header was not found in {self._most >> 20} MiB, and no more are read"
            )
        try:
            block: bytes = answer.read(size)
            if not block and self._left:
                raise ConnectionError(f"the connection ended after {len(self.data)} bytes")
        except (OSError, http.client.HTTPException):
            answer.close()
            self._answer = None
            raise
        self._read += len(block)
        self._left = self._left - len(block) if self._left is not None else None
        return block


def read_remote_header(url: str, fetcher: Fetcher, name: str = "") -> RemoteHeader:
    """The header of the file at `url`; at most MOST_BYTES are read and held. Raises FetchError and GgufError, also for
    a file that is shorter than its header says.
    """
    name = name or shown(url)
    beginning, wanted = Beginning(url, fetcher), _FIRST_BYTES
    try:
        while True:
            beginning.reach(wanted)
            try:
                header = parse_header(beginning.data, name)
                break
            except Cut as cut:
                if len(beginning.data) < wanted or wanted == MOST_BYTES:
                    raise
                wanted = min(MOST_BYTES, max(cut.wanted, 2 * wanted))
    finally:
        beginning.close()
    if 0 < beginning.length < header.file_bytes:
        raise GgufError(
            f"{name}: it is cut: {beginning.length} bytes are there, its header speaks of {header.file_bytes}"
        )
    return RemoteHeader(header, bytes(beginning.data[: header.size]), beginning.length)


def library_header(name: str, means: Means) -> tuple[Manifest, Header]:
    """The manifest of a model of the library, and the header of its weights. Raises FetchError, ObtainError, GgufError
    and StoreError.
    """
    manifest = library_manifest(name, "", means)
    found = read_remote_header(blob_url(name, manifest.model, means), means.fetcher, name)
    return manifest, found.header
