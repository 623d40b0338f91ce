"""One question to a local engine: are you there, and what is in memory? Never inference.

Deliberately not the request path's connection pool: a probe must see whether a *new* connection is accepted. It asks in
HTTP/1.0; engines that answer in HTTP/1.1 all the same, and keep their connection open, are read to the end that they
announce.
"""

from __future__ import annotations

import asyncio
import ssl
from urllib.parse import urlsplit

import httptools
import msgspec

from gridtie.upstream import tls

# An engine that lists a thousand models answers with some hundred kilobytes.
MAX_BYTES = 1024 * 1024
# With its head, and with what frames its chunks: engines send some kilobytes in each.
_MAX_WIRE = 2 * MAX_BYTES
_PIECE = 64 * 1024
# Below it a status comes before the answer.
_FIRST_FINAL = 200


class Answer(msgspec.Struct, frozen=True):
    """What came back."""

    status: int
    body: bytes


class Unanswered(Exception):
    """No answer. `certain` where a connection was refused or broken, and not merely slow."""

    def __init__(self, reason: str, *, certain: bool) -> None:
        super().__init__(reason)
        self.certain = certain


async def get(url: str, headers: tuple[tuple[str, str], ...], ca_file: str | None, seconds: float) -> Answer:
    """GET, with so many seconds for all of it. Raises `Unanswered`."""
    try:
        async with asyncio.timeout(seconds):
            return await _exchange(url, headers, ca_file)
    except TimeoutError as error:
        raise Unanswered(f"no answer within {seconds:g} s", certain=False) from error
    except ssl.SSLCertVerificationError as error:
        raise Unanswered(f"its certificate is not trusted: {error.verify_message}", certain=True) from error
    except OSError as error:
        raise Unanswered(error.strerror or str(error), certain=True) from error
    except ValueError as error:  # a host name that no resolver takes
        raise Unanswered(f"its address cannot be used: {error}", certain=True) from error


async def _exchange(url: str, headers: tuple[tuple[str, str], ...], ca_file: str | None) -> Answer:
    parts = urlsplit(url)
    context = tls.context(ca_file) if parts.scheme == "https" else None
    port = parts.port or (443 if context else 80)
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
    try:
        lines = [f"GET {parts.path or '/'} HTTP/1.0", f"host: {parts.netloc}", "accept: application/json"]
        lines += [f"{name}: {value}" for name, value in headers]
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        return await _read(reader)
    finally:
        # No farewell: a probe that was given up must not wait for its peer.
        writer.transport.abort()


async def _read(reader: asyncio.StreamReader) -> Answer:
    """One answer, to its end or to `MAX_BYTES`."""
    reading = _Reading()
    while not reading.over and (piece := await reader.read(_PIECE)):
        reading.feed(piece)
    return reading.answer()


class _Reading:
    """An answer while it comes; the parser calls the methods that begin with `on_`."""

    def __init__(self) -> None:
        self._body = bytearray()
        self.on_body = self._body.extend
        self._parser = httptools.HttpResponseParser(self)
        # Bytes of it as they came: the framing of chunks among them, whose data may be less than that.
        self._wire = 0
        self._status = 0
        self._whole = self._cut = self._chunks = False

    @property
    def over(self) -> bool:
        return self._whole or self._cut

    def feed(self, piece: bytes) -> None:
        """The next bytes. Raises `Unanswered` where they are no HTTP."""
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserError:
            # What follows a whole answer changes nothing about it.
            if not self._whole:
                raise self._broken("does not come in the chunks that it announces") from None
        self._wire += len(piece)
        self._cut = len(self._body) >= MAX_BYTES or self._wire > _MAX_WIRE

    def answer(self) -> Answer:
        """What came until it was over, or the connection ended. Raises `Unanswered` where that is no answer."""
        if self._cut or self._whole or (self._status and not self._chunks):
            return Answer(self._status, bytes(self._body[:MAX_BYTES]))
        raise self._broken("ends in the middle")

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"transfer-encoding":
            self._chunks = True

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()

    def on_message_complete(self) -> None:
        self._whole = self._status >= _FIRST_FINAL

    def _broken(self, how: str) -> Unanswered:
        reason = f"its answer {how}" if self._status else "it answers, but not with HTTP"
        return Unanswered(reason, certain=True)
