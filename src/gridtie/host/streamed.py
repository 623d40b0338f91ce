"""One streamed chat completion from the router, by the standard library alone."""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.parse
from typing import Any, Iterator, Mapping, Sequence

from .router import Answer, Declined, Unreachable

# A model may have to be read from a slow disk before its first word.
_SILENCE_S = 600.0


def chat(endpoint: str, key: str, model: str, messages: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """The answer's text, piece by piece. Closing the iterator ends the request. Raises `Declined`, `Unreachable`."""
    parts = urllib.parse.urlsplit(endpoint)
    body = json.dumps({"model": model, "stream": True, "messages": list(messages)}).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "x-gridtie-agent": "chat"}
    connection = _connection(parts)
    try:
        connection.request("POST", "/v1/chat/completions", body, headers)
        answer = connection.getresponse()
        if answer.status >= 400:
            refused = Answer(answer.status, {}, answer.read(65536))
            code, message = refused.error()
            raise Declined(answer.status, code, message or f"{endpoint} answered {answer.status}")
        for event in _events(answer):
            if "error" in event:
                raise _interrupted(event["error"])
            for choice in event.get("choices") or ():
                text = (choice.get("delta") or {}).get("content")
                if text:
                    yield text
    except (ValueError, AttributeError, TypeError):
        raise Declined(502, "", f"{endpoint} did not answer as a gridtie router does (no events)") from None
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"{endpoint} does not answer: {error or type(error).__name__}") from None
    finally:
        connection.close()


def _interrupted(error: Any) -> Declined:
    told = error if isinstance(error, dict) else {"message": error}
    return Declined(502, str(told.get("code") or ""), str(told.get("message") or "the answer was interrupted"))


def _connection(parts: urllib.parse.SplitResult) -> http.client.HTTPConnection:
    host, port = parts.hostname or "", parts.port
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=_SILENCE_S, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, port, timeout=_SILENCE_S)


def _events(answer: http.client.HTTPResponse) -> Iterator[Mapping[str, Any]]:
    """The router writes an event's data on one line."""
    for line in answer:
        data = line.strip()
        if data.startswith(b"data:") and data != b"data: [DONE]":
            yield json.loads(data[5:])
