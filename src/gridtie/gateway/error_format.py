"""How clients of a dialect are told about errors and waiting."""

from __future__ import annotations

from collections.abc import Mapping
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


_NO_TIME = "1970-01-01T00:00:00Z"
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class AnthropicErrorFormat:
    """How Anthropic's clients are told."""

    stream_type = b"content-type: text/event-stream; charset=utf-8\r\n"

    def error(self, fault: Fault) -> bytes:
        """The error envelope. Claude Code shortens a conversation by itself when it reads that it is too long."""
        kind = _ANTHROPIC_TYPES.get(fault.status) or ("invalid_request_error" if fault.status < 500 else "api_error")
        too_long = fault.code == "context_length_exceeded"
        message = f"prompt is too long: {fault.message}" if too_long else fault.message
        error = {"type": kind, "message": message, "code": fault.code, "source": fault.source}
        return _encode({"type": "error", "error": error})

    def error_event(self, fault: Fault) -> bytes:
        """The envelope as an event; no message ends after it."""
        return b"event: error\ndata: %b\n\n" % self.error(fault)

    def comment(self, text: str) -> bytes:
        """A comment of server-sent events."""
        return b": %b\n\n" % text.encode()


class OllamaErrorFormat:
    """How Ollama's clients are told: by a text, which is all that they show."""

    stream_type = b"content-type: application/x-ndjson\r\n"

    def error(self, fault: Fault) -> bytes:
        """The text under the name that they read; of a 401 the `ollama` command reads another one."""
        told = {"error": fault.message}
        return _encode({**told, "status": fault.message} if fault.status == 401 else told)

    def error_event(self, fault: Fault) -> bytes:
        """The same as a line."""
        return self.error(fault) + b"\n"

    def comment(self, text: str) -> bytes:
        """Lines have no comments: a piece of an answer with nothing in it, as a chat and as a text."""
        message = {"role": "assistant", "content": ""}
        return _encode({"model": "", "created_at": _NO_TIME, "message": message, "response": "", "done": False}) + b"\n"


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


class ResponsesErrorFormat(OpenAIErrorFormat):
    """The same for OpenAI's responses, whose streams have a type for each event."""

    def error_event(self, fault: Fault) -> bytes:
        """An event `error`, with the envelope beside what that type has, and one `response.failed`.

        SDKs read the first; Codex passes it over and waits for the second.
        """
        said = {"code": fault.code, "message": fault.message}
        told = {"type": "error", "sequence_number": 0, **said, "param": None}
        fields = _encode(told)[:-1] + b"," + self.error(fault)[1:]
        failed: dict[str, object] = {
            "id": "resp_0",
            "object": "response",
            "status": "failed",
            "error": said,
            "output": [],
            "usage": None,
        }
        event = _encode({"type": "response.failed", "sequence_number": 0, "response": failed})
        return b"event: error\ndata: %b\n\nevent: response.failed\ndata: %b\n\n" % (fields, event)


_OPENAI, _ANTHROPIC, _OLLAMA = OpenAIErrorFormat(), AnthropicErrorFormat(), OllamaErrorFormat()


def format_for(path: str, headers: Mapping[bytes, bytes]) -> ErrorFormat:
    """How whoever asked at a path is told of an error before its surface has it, or where there is none."""
    if path.startswith("/v1/messages") or b"anthropic-version" in headers:
        return _ANTHROPIC
    return _OLLAMA if path.startswith("/api/") else _OPENAI
