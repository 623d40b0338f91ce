"""A container registry on loopback, which Docker trusts without TLS: one image of one small layer."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


class Registry(ThreadingHTTPServer):
    """Serves what `push` put in; with `broken`, answers every request for content with that status."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.broken = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def push(self, name: str, tag: str, content: bytes) -> str:
        """An image with one file that holds `content`; its digest. What was here before is gone."""
        self.blobs.clear()
        self.manifests.clear()
        layer = _layer(content)
        config = {
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]}, "history": [{}],
        }  # fmt: skip
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._blob("container.image.v1+json", json.dumps(config).encode()),
            "layers": [self._blob("image.rootfs.diff.tar.gzip", gzip.compress(layer, mtime=0))],
        }
        text = json.dumps(manifest).encode()
        self.manifests[f"{name}/{tag}"] = self.manifests[f"{name}/{_digest(text)}"] = text
        return _digest(text)

    def _blob(self, kind: str, content: bytes) -> dict[str, object]:
        self.blobs[_digest(content)] = content
        return {"mediaType": f"application/vnd.docker.{kind}", "size": len(content), "digest": _digest(content)}


class _Handler(BaseHTTPRequestHandler):
    server: Registry
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        _, _, path = self.path.partition("/v2/")
        name, _, reference = path.rpartition("/")
        if not path:
            self._answer(200, b"{}", "application/json")
        elif self.server.broken:
            self._answer(self.server.broken, b"{}", "application/json")
        elif name.endswith("/manifests"):
            self._answer_with(self.server.manifests.get(f"{name.removesuffix('/manifests')}/{reference}"), MANIFEST)
        else:
            self._answer_with(self.server.blobs.get(reference), "application/octet-stream")

    do_HEAD = do_GET

    def _answer_with(self, content: bytes | None, kind: str) -> None:
        if content is None:
            self._answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"not here"}]}', "application/json")
        else:
            self._answer(200, content, kind)

    def _answer(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Docker-Content-Digest", _digest(content))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        pass


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _layer(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo("content")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@contextmanager
def registry() -> Iterator[Registry]:
    """A running registry, gone afterwards."""
    server = Registry()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
