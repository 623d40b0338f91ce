"""A model registry of plain files, as Ollama's pull protocol wants it, with faults on demand.

It serves /v2/<namespace>/<model>/manifests/<tag> and .../blobs/<digest>, honours Range, names each blob's Location (as
Ollama's own puller wants it before it asks for ranges), and can cut a transfer short,
send damaged bytes or answer with an error status a given number of times. Everything that was asked is recorded.
"""

from __future__ import annotations

import hashlib
import http.server
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from gridtie.host.models.store import (
    CONFIG_TYPE,
    MANIFEST_TYPE,
    MODEL_TYPE,
    PARAMS_TYPE,
    Layer,
    Manifest,
    build_manifest,
)
from standins.loopback import on_loopback


@dataclass
class Registry:
    """What is served: bodies by path. Faults are counted down, one a request of a blob."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    cut_after: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    retry_after: str = ""
    damaged: int = 0
    ignores_ranges: bool = False

    def add_model(
        self,
        name: str,
        weights: bytes,
        parameters: bytes = b'{"stop":["<|end|>"]}',
        configuration: bytes = b'{"model_format":"gguf"}',
    ) -> Manifest:
        """Publish a model of the library; gives its manifest."""
        model, _, tag = name.partition(":")
        parts = [(CONFIG_TYPE, configuration), (MODEL_TYPE, weights), (PARAMS_TYPE, parameters)]
        layers = [self._add_blob(model, kind, content) for kind, content in parts]
        manifest = build_manifest(layers[0], tuple(layers[1:]))
        self.files[f"/v2/library/{model}/manifests/{tag}"] = manifest.raw
        return manifest

    def ranges(self, digest: str) -> list[str]:
        """The Range headers of the requests for a blob, empty strings where there was none."""
        return [header for path, header in self.requests if path.endswith(digest)]

    def _add_blob(self, model: str, kind: str, content: bytes) -> Layer:
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self.files[f"/v2/library/{model}/blobs/{digest}"] = content
        return Layer(kind, digest, len(content))


@contextmanager
def serving() -> Iterator[Registry]:
    """A registry on an ephemeral port of 127.0.0.1."""
    registry = Registry()

    class Handler(_Handler):
        served = registry

    with on_loopback(Handler) as port:
        registry.url = f"http://127.0.0.1:{port}"
        yield registry


class _Handler(http.server.BaseHTTPRequestHandler):
    served: Registry

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "")
        if self.command == "GET":
            self.served.requests.append((self.path, asked))
        blob = "/blobs/" in self.path
        content = self.served.files.get(self.path)
        if blob and self.served.statuses:
            self._empty(self.served.statuses.pop(0))
        elif content is None:
            self._empty(404)
        else:
            self._send(content, asked, blob)

    do_HEAD = do_GET

    def _send(self, content: bytes, asked: str, blob: bool) -> None:
        if blob and self.served.damaged:
            self.served.damaged -= 1
            content = bytes(len(content))
        asked = "" if self.served.ignores_ranges else asked
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", asked)
        start, end = (int(match[1]), int(match[2] or len(content) - 1)) if match else (0, len(content) - 1)
        if start >= len(content) > 0 and asked:
            self._empty(416)
            return
        body = content[start : end + 1]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(body)))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{start + len(body) - 1}/{len(content)}")
        self.send_header("Content-Type", "application/octet-stream" if blob else MANIFEST_TYPE)
        if blob:
            self.send_header("Location", self.path)
        self.end_headers()
        if self.command == "HEAD":
            return
        most = self.served.cut_after.pop(0) if blob and self.served.cut_after else len(body)
        with suppress(ConnectionError):  # Clients are killed by some tests.
            self.wfile.write(body[:most])

    def _empty(self, status: int) -> None:
        self.send_response(status)
        if self.served.retry_after:
            self.send_header("Retry-After", self.served.retry_after)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass
