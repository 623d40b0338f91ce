"""A Python package index on loopback that wants a password: one package of one empty module."""

from __future__ import annotations

import base64
import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class PackageIndex(ThreadingHTTPServer):
    """Answers only requests with the password; `served` counts the wheels that were fetched."""

    daemon_threads = True

    def __init__(self, package: str, version: str, password: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.file = f"{package}-{version}-py3-none-any.whl"
        self.wheel = _wheel(package, version)
        self.token = "Basic " + base64.b64encode(f"user:{password}".encode()).decode()
        self.url = f"http://user:{password}@127.0.0.1:{self.server_address[1]}/simple"
        self.served = 0

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.wheel).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    server: PackageIndex

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != self.server.token:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="index"')
            self.end_headers()
            return
        wheel = self.path.endswith(".whl")
        page = f'<a href="/files/{self.server.file}#sha256={self.server.sha256}">{self.server.file}</a>'
        content = self.server.wheel if wheel else page.encode()
        self.server.served += wheel
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream" if wheel else "text/html")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        pass


def _wheel(package: str, version: str) -> bytes:
    info = f"{package}-{version}.dist-info"
    files = {
        f"{package}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@contextmanager
def package_index(package: str, version: str, password: str) -> Iterator[PackageIndex]:
    """A running index, gone afterwards."""
    server = PackageIndex(package, version, password)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
