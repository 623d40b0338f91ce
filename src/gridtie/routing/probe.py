"""One question to a local engine: are you there, and what is in memory? Never inference.

Deliberately not the request path's connection pool: a probe must see whether a *new* connection is accepted, and one
exchange per connection needs no parser worth the name. It asks in HTTP/1.0; engines that answer in HTTP/1.1 all the
same, and keep their connection open, are read to the end that they announce.
"""

from __future__ import annotations

import asyncio
import ssl
from urllib.parse import urlsplit

import msgspec

from gridtie.upstream import tls

# An engine that lists a thousand models answers with some hundred kilobytes.
MAX_BYTES = 1024 * 1024


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
    return await _within(seconds, url, headers, ca_file, None)


async def post(url: str, body: bytes, seconds: float) -> Answer:
    """POST JSON to an engine of this station, with so many seconds for all of it. Raises `Unanswered`."""
    headers = (("content-type", "application/json"), ("content-length", str(len(body))))
    return await _within(seconds, url, headers, None, body)


async def _within(
    seconds: float, url: str, headers: tuple[tuple[str, str], ...], ca_file: str | None, body: bytes | None
) -> Answer:
    try:
        async with asyncio.timeout(seconds):
            return await _exchange(url, headers, ca_file, body)
    except TimeoutError as error:
        raise Unanswered(f"no answer within {seconds:g} s", certain=False) from error
    except ssl.SSLCertVerificationError as error:
        raise Unanswered(f"its certificate is not trusted: {error.verify_message}", certain=True) from error
    except OSError as error:
        raise Unanswered(error.strerror or str(error), certain=True) from error
    except ValueError as error:  # a host name that no resolver takes
        raise Unanswered(f"its address cannot be used: {error}", certain=True) from error


async def _exchange(url: str, headers: tuple[tuple[str, str], ...], ca_file: str | None, body: bytes | None) -> Answer:
    parts = urlsplit(url)
    context = tls.context(ca_file) if parts.scheme == "https" else None
    port = parts.port or (443 if context else 80)
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
    try:
        verb = "GET" if body is None else "POST"
        lines = [f"{verb} {parts.path or '/'} HTTP/1.0", f"host: {parts.netloc}", "accept: application/json"]
        lines += [f"{name}: {value}" for name, value in headers]
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))
        return await _read(reader)
    finally:
        # No farewell: a probe that was given up must not wait for its peer.
        writer.transport.abort()


async def _read(reader: asyncio.StreamReader) -> Answer:
    """One answer, to its end or to `MAX_BYTES`."""
    raw = b""
    while b"\r\n\r\n" not in raw and len(raw) <= MAX_BYTES:
        piece = await reader.read(65536)
        if not piece:
            break
        raw += piece
    head, blank, body = raw.partition(b"\r\n\r\n")
    status, fields = _head(head) if blank else (None, {})
    if status is None:
        raise Unanswered("it answers, but not with HTTP", certain=True)
    if fields.get(b"transfer-encoding", b"").lower() == b"chunked":
        return Answer(status, await _dechunked(reader, body))
    length = fields.get(b"content-length", b"")
    most = min(int(length), MAX_BYTES) if length.isdigit() and len(length) < 20 else MAX_BYTES
    body = await _up_to(reader, body, most)
    return Answer(status, body[:most] if length else body)


async def _up_to(reader: asyncio.StreamReader, start: bytes, most: int) -> bytes:
    """`start` and what follows, until there is so much of it, or no more."""
    pieces, size = [start], len(start)
    while size < most and (piece := await reader.read(65536)):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


async def _dechunked(reader: asyncio.StreamReader, raw: bytes) -> bytes:
    """A body that comes in chunks. What ends in the middle of a chunk is no answer."""
    body = b""
    while len(body) <= MAX_BYTES:
        while b"\r\n" not in raw and len(raw) <= MAX_BYTES and (piece := await reader.read(65536)):
            raw += piece
        line, _, raw = raw.partition(b"\r\n")
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            raise Unanswered("its answer does not come in the chunks that it announces", certain=True) from None
        if size <= 0:
            break
        # With the line end behind it.
        raw = await _up_to(reader, raw, min(size + 2, 2 * MAX_BYTES))
        if len(raw) < min(size, MAX_BYTES):
            raise Unanswered("its answer ends in the middle", certain=True)
        body, raw = body + raw[:size], raw[size + 2 :]
    return body


def _head(head: bytes) -> tuple[int | None, dict[bytes, bytes]]:
    """Status and header fields; None where this is no head of HTTP/1."""
    first, *lines = head.split(b"\r\n")
    version, _, rest = first.partition(b" ")
    status = rest[:3]
    if not version.startswith(b"HTTP/1.") or not status.isdigit():
        return None, {}
    fields = (line.partition(b":") for line in lines)
    return int(status), {name.strip().lower(): value.strip() for name, _, value in fields}
