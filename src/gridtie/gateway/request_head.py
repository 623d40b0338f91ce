"""What is wrong with a request's head, apart from who sent it and what it asks for: pure, and before any body."""

from __future__ import annotations

from gridtie.config.schema import Limits
from gridtie.gateway.exchange import Head

# Headers of which a second one would leave open which of them holds.
SINGLE = frozenset(
    (
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"content-type",
        b"authorization",
        b"x-api-key",
        b"origin",
        b"expect",
        b"x-gridtie-environment",
        b"x-gridtie-agent",
        b"x-gridtie-purpose",
    )
)

# Status, code, message.
Wrong = tuple[int, str, str]


def judge(head: Head, announced: int, repeated: bytes, most: Limits) -> Wrong | None:
    """Read the target of a head that parsed; what is wrong with the head, None if nothing is.

    `announced` is the body's length as far as it is known; `repeated` a header of `SINGLE` that was given twice.
    """
    headers = head.headers
    if repeated:
        return 400, "invalid_request", f"header {repeated.decode('latin-1')!r} is given twice"
    size = len(head.url) + sum(len(name) + len(value) + 4 for name, value in headers.items())
    if size > most.max_header_bytes or len(headers) > most.max_headers:
        return head_too_large(most)
    wrong = _read_target(head)
    if wrong is not None:
        return wrong
    coding = headers.get(b"transfer-encoding")
    if coding is not None and (head.http_1_0 or coding.lower() != b"chunked"):
        return 501, "invalid_request", "the only transfer coding that is read is chunked, in HTTP/1.1"
    if announced > most.max_body_bytes:
        return body_too_large(most)
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        return 415, "unsupported_encoding", "compressed request bodies are not read; send it as it is"
    if headers.get(b"expect", b"100-continue").lower() != b"100-continue":
        return 417, "invalid_request", "the only expectation that is met is 100-continue"
    return None


def head_too_large(most: Limits) -> Wrong:
    """The answer to a head without measure."""
    bounds = f"headers exceed {most.max_header_bytes} bytes or {most.max_headers} fields"
    return 431, "headers_too_large", f"{bounds} (limits.max_header_bytes, limits.max_headers)"


def framing_too_large(most: Limits) -> Wrong:
    """The answer to chunk extensions or trailers without measure."""
    bounds = f"chunk extensions or trailers exceed {most.max_header_bytes} bytes or {most.max_headers} fields"
    return 431, "headers_too_large", f"{bounds} (limits.max_header_bytes, limits.max_headers)"


def body_too_large(most: Limits) -> Wrong:
    """The answer to a body without measure."""
    return 413, "body_too_large", f"the body exceeds {most.max_body_bytes} bytes (limits.max_body_bytes)"


def _read_target(head: Head) -> Wrong | None:
    """Host, path and query of the request target in any of its forms (RFC 9112, 3.2)."""
    head.host = head.headers.get(b"host", b"")
    target = head.url
    if head.method == b"CONNECT":
        return 400, "invalid_request", "CONNECT found: this router is no proxy; ask for a path, such as /v1/models"
    if target == b"*" and head.method == b"OPTIONS":
        head.path = "*"
        return None
    if not target.startswith(b"/"):
        scheme, separator, rest = target.partition(b"://")
        if not separator or scheme.lower() not in (b"http", b"https"):
            return 400, "invalid_request", "the request target must be a path, or a URL of this router"
        end = min((at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0), default=len(rest))
        authority, target = rest[:end], rest[end:]
        if not target.startswith(b"/"):
            target = b"/" + target
        if head.host and head.host.lower() != authority.lower():
            return 400, "invalid_request", "the URL in the request line names another host than the Host header"
        head.host = authority
    path, _, query = target.partition(b"?")
    head.path, head.query = path.decode("latin-1"), query.decode("latin-1")
    return None
