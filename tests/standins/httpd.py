"""A small HTTP server for tests of clients: says what it is told to, and remembers what it was asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from standins.loopback import on_loopback


@dataclass
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Httpd:
    """`answers` maps a path without its query to a status and a JSON document, or headers as a third."""

    url: str
    answers: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)


@contextmanager
def serving() -> Iterator[Httpd]:
    """A server on a free port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            headers = {name.lower(): value for name, value in self.headers.items()}
            httpd.asked.append(Asked(self.command, self.path, headers, body))
            status, document, *more = httpd.answers.get(self.path.partition("?")[0], (404, {"error": {}}))
            content = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            for name, value in (more[0] if more else {}).items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    with on_loopback(Handler) as port:
        httpd = Httpd(f"http://127.0.0.1:{port}")
        yield httpd
