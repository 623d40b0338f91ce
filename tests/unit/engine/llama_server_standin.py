"""Stands in for the launcher: answers /health on --port as the file named by --model says, or ends at once.

The file holds a status code, or `end` for a process that does not stay.
"""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

flags = dict(zip(sys.argv[1:], sys.argv[2:], strict=False))
word = Path(flags["--model"]).read_text()
with Path(flags["--model"] + ".starts").open("a") as starts:
    starts.write("x")


class Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(int(word))
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


if word == "end":
    sys.exit(3)
HTTPServer(("127.0.0.1", int(flags["--port"])), Health).serve_forever()
