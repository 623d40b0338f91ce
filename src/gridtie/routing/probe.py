"""One question to a local engine: are you there, and what is in memory? Never inference.

Deliberately not the request path's connection pool: a probe must see whether a *new* connection is
accepted, and HTTP/1.0 with one exchange per connection needs no parser worth the name.
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
    try:
        async with asyncio.timeout(seconds):
            return _parsed(await _exchange(url, headers, ca_file))
    except TimeoutError as error:
        raise Unanswered(f"no answer within {seconds:g} s", certain=False) from error
    except ssl.SSLCertVerificationError as error:
        raise Unanswered(f"its certificate is not trusted: {error.verify_message}", certain=True) from error
    except OSError as error:
        raise Unanswered(error.strerror or str(error), certain=True) from error
    except ValueError as error:  # a host name that no resolver takes
        raise Unanswered(f"its address cannot be used: {error}", certain=True) from error


async def _exchange(url: str, headers: tuple[tuple[str, str], ...], ca_file: str | None) -> bytes:
    parts = urlsplit(url)
    context = tls.context(ca_file) if parts.scheme == "https" else None
    port = parts.port or (443 if context else 80)
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
    try:
        lines = [f"GET {parts.path or '/'} HTTP/1.0", f"host: {parts.netloc}", "accept: application/json"]
        lines += [f"{name}: {value}" for name, value in headers]
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        chunks, size = [], 0
        while size <= MAX_BYTES and (chunk := await reader.read(65536)):
            chunks.append(chunk)
            size += len(chunk)
        return b"".join(chunks)
    finally:
        # No farewell: a probe that was given up must not wait for its peer.
        writer.transport.abort()


def _parsed(raw: bytes) -> Answer:
    head, blank, body = raw.partition(b"\r\n\r\n")
    version, _, rest = head.partition(b" ")
    status = rest[:3]
    if not blank or not version.startswith(b"HTTP/1.") or not status.isdigit():
        raise Unanswered("it answers, but not with HTTP", certain=True)
    return Answer(int(status), body)
