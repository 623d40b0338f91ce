"""The service image is waited for where it is."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler

import pytest

from gridtie.testing.container import _wait
from standins.loopback import on_loopback


class Ready(BaseHTTPRequestHandler):
    """The router in the container, once it serves."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Not among the tests' words."""


def test_the_container_is_not_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    with on_loopback(Ready) as port:
        _wait(f"http://127.0.0.1:{port}", lambda: True, 0.5, lambda: "")
