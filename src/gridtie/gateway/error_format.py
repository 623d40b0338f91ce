"""How clients of a dialect are told about errors and waiting."""

from __future__ import annotations

from typing import Protocol

import msgspec

from gridtie.gateway.errors import Fault

_encode = msgspec.json.Encoder().encode


class ErrorFormat(Protocol):
    """What differs between surfaces in an answer."""

    # Header line of a streamed answer.
    stream_type: bytes

    def error(self, fault: Fault) -> bytes:
        """The body of an error answer."""
        ...

    def error_event(self, fault: Fault) -> bytes:
        """The last event of a stream that broke off."""
        ...

    def comment(self, text: str) -> bytes:
        """Something in a stream that clients pass over."""
        ...


class OpenAIErrorFormat:
    """How OpenAI's clients are told about errors and waiting; also the form of everything that is nobody's surface."""

    stream_type = b"content-type: text/event-stream; charset=utf-8\r\n"

    def error(self, fault: Fault) -> bytes:
        """The error envelope."""
        return _encode(
            {
                "error": {
                    "message": fault.message,
                    "type": fault.type,
                    "code": fault.code,
                    "param": None,
                    "source": fault.source,
                }
            }
        )

    def error_event(self, fault: Fault) -> bytes:
        """The envelope as an event, and no end mark after it: nobody may take the answer for whole."""
        return b"data: %b\n\n" % self.error(fault)

    def comment(self, text: str) -> bytes:
        """A comment of server-sent events."""
        return b": %b\n\n" % text.encode()
