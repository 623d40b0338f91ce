"""HTTP to the router, by the standard library alone. No proxies, no redirects: there is a key in the request."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, Mapping, Optional


class Unreachable(Exception):
    """No answer; the message names the endpoint, the cause and what to do."""


class Declined(Exception):
    """The router answered with an error; the message is the router's own."""

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status = status
        self.code = code
        super().__init__(message)


@dataclass(frozen=True)
class Answer:
    """One HTTP answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body; None if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def error(self) -> tuple[str, str]:
        """Code and message of an error body; of any other, "" and the beginning of its text."""
        content = self.json()
        error = content.get("error") if isinstance(content, dict) else None
        if isinstance(error, dict):
            return str(error.get("code") or ""), str(error.get("message") or "")
        return "", self.body[:200].decode("utf-8", "replace").strip()


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay())


def send(
    method: str,
    url: str,
    *,
    body: Optional[Any] = None,
    headers: Optional[Mapping[str, str]] = None,
    timeout: float = 10.0,
) -> Answer:
    """One request; any status is an answer. Raises `Unreachable`."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers=dict(headers or {}))  # noqa: S310 (http and https are checked in `paths`)
    if data is not None:
        request.add_header("Content-Type", "application/json")
    try:
        with _OPENER.open(request, timeout=timeout) as response:
            return Answer(response.status, _lower(response.headers), response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, _lower(error.headers), error.read())
    except (OSError, HTTPException) as error:
        raise Unreachable(f"{url} does not answer: {_cause(error, timeout)}") from None


class Router:
    """The router of one station, as one caller."""

    def __init__(self, endpoint: str, key: str, timeout: float = 10.0) -> None:
        self.endpoint = endpoint
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._timeout = timeout

    def get(self, path: str) -> Any:
        """A JSON document. Raises `Unreachable`, `Declined`."""
        return self._json(send("GET", self.endpoint + path, headers=self._headers, timeout=self._timeout))

    def post(self, path: str, body: Any) -> Any:
        """Raises `Unreachable`, `Declined`."""
        return self._json(send("POST", self.endpoint + path, body=body, headers=self._headers, timeout=self._timeout))

    def _json(self, answer: Answer) -> Any:
        if answer.status >= 400:
            code, message = answer.error()
            raise Declined(answer.status, code, message or f"{self.endpoint} answered {answer.status}")
        content = answer.json()
        if content is None:
            raise Declined(answer.status, "", f"{self.endpoint} did not answer as a gridtie router does (no JSON)")
        return content


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _cause(error: Exception, timeout: float) -> str:
    reason = getattr(error, "reason", error)
    if isinstance(reason, (socket.timeout, TimeoutError)):
        return f"nothing within {timeout:g} s"
    if isinstance(reason, ConnectionRefusedError):
        return "connection refused, nothing listens there"
    return str(reason) or type(reason).__name__
