"""What can go wrong between us and an upstream, before anyone has looked at what it said."""

from __future__ import annotations


class UpstreamError(Exception):
    """The exchange with an upstream failed; the message says what was found."""


class ConnectFailed(UpstreamError):
    """No connection: name resolution, TCP, the proxy or TLS.

    `passing`: it may be another way a moment later, as of a server that starts; a certificate stays what it is.
    """

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


class ConnectTimeout(ConnectFailed):
    """No connection within the time allowed."""


class Broken(UpstreamError):
    """The connection ended, or what came over it is not HTTP/1.1 within our bounds.

    `unanswered`: not one byte had come back. On a connection that had served before, that is how a
    server looks which closed it while it was idle, and the request may be sent once more.
    `internal`: whoever the answer was for failed, not upstream.
    """

    def __init__(self, message: str, *, unanswered: bool = False, internal: bool = False) -> None:
        super().__init__(message)
        self.unanswered = unanswered
        self.internal = internal
