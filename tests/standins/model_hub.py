"""The Ollama library and Hugging Face's Hub as clients of a model's header meet them: names, listings, storage.

The wire is the real one's: a registry's manifest, and blobs that are redirected (307) to a storage under another name;
the Hub's `/api/models/REPOSITORY`, and `/resolve/` that says a file's commit, length and digest and redirects (302) to
the storage, where an answer is 206 with `Content-Range`. Refusals have the Hub's statuses and `X-Error-Code`. It was
held against huggingface_hub 2.4.0 (`model_info(files_metadata=True)`, `get_hf_file_metadata`, `hf_hub_download`).
Bodies are files on the disk, sparse ones mostly. Faults are set by a test; all that was asked and sent is noted.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gridtie.host.models.store import CONFIG_TYPE, MANIFEST_TYPE, MODEL_TYPE, PROJECTOR_TYPE, Layer, build_manifest
from standins.loopback import on_loopback

COMMIT = "b2f6c7d0e1a94835a1c1d6d5f0a9e8b7c6d5e4f3"
TOKEN = "hf_" + "x" * 34


@dataclass
class Asked:
    """One request: its path, and what it said of ranges and of who asks."""

    path: str
    range: str
    authorization: str
    host: str


@dataclass
class Hub:
    """What is served. `storage` are files by path below the storage's name; `repositories` name the files of each."""

    url: str = ""
    storage_url: str = ""
    storage: dict[str, Path] = field(default_factory=dict)
    manifests: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, str] = field(default_factory=dict)
    repositories: dict[str, dict[str, Path]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    moved: dict[str, str] = field(default_factory=dict)
    # Faults of the storage.
    ignores_ranges: bool = False
    cut_after: list[int] = field(default_factory=list)
    shifted: bool = False
    asked: list[Asked] = field(default_factory=list)
    sent: int = 0

    def publish(self, name: str, file: Path, projector: int = 0) -> str:
        """A model of the library, `[namespace/]model:tag`; the digest of its weights."""
        path, _, tag = name.partition(":")
        full = path if "/" in path else f"library/{path}"
        digest = "sha256:" + hashlib.sha256(name.encode()).hexdigest()
        layers = [Layer(MODEL_TYPE, digest, file.stat().st_size)]
        if projector:
            layers.append(Layer(PROJECTOR_TYPE, "sha256:" + "1" * 64, projector))
        self.manifests[f"/v2/{full}/manifests/{tag}"] = build_manifest(
            Layer(CONFIG_TYPE, "sha256:" + "0" * 64, 2), tuple(layers)
        ).raw
        self.blobs[f"/v2/{full}/blobs/{digest}"] = f"/ollama/{digest}"
        self.storage[f"/ollama/{digest}"] = file
        return digest

    def upload(self, repository: str, name: str, file: Path) -> None:
        """A file of a repository of the Hub."""
        self.repositories.setdefault(repository, {})[name] = file
        self.storage[f"/{repository}/{name}"] = file

    def listing(self, repository: str) -> dict[str, Any]:
        files = self.repositories[repository]
        return {
            "_id": "66e0",
            "id": repository,
            "modelId": repository,
            "author": repository.partition("/")[0],
            "sha": COMMIT,
            "private": False,
            "gated": "manual" if repository in self.gated else False,
            "disabled": False,
            "tags": ["gguf"],
            "downloads": 1,
            "siblings": [_sibling(name, file) for name, file in files.items()],
        }


def _sibling(name: str, file: Path) -> dict[str, Any]:
    size = file.stat().st_size
    found: dict[str, Any] = {"rfilename": name, "size": size, "blobId": "5f" * 20}
    if name.endswith((".json", ".jinja", ".txt")):
        content = file.read_bytes()
        found["blobId"] = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    if name.endswith(".safetensors"):
        found["lfs"] = {"sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "size": size, "pointerSize": 135}
    if name.endswith(".gguf"):
        found["lfs"] = {"sha256": _digest(name), "size": size, "pointerSize": 135}
    return found


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


@contextmanager
def serving() -> Iterator[Hub]:
    """Both on one ephemeral port; the storage has another host name."""
    hub = Hub()

    class Handler(_Handler):
        served = hub

    with on_loopback(Handler) as port:
        hub.url, hub.storage_url = f"http://127.0.0.1:{port}", f"http://localhost:{port}"
        yield hub


class _Handler(http.server.BaseHTTPRequestHandler):
    served: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        hub, host = self.served, self.headers.get("Host", "")
        authorization = self.headers.get("Authorization", "")
        hub.asked.append(Asked(self.path, self.headers.get("Range", ""), authorization, host))
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        if not host.startswith("127.0.0.1"):
            # Its own name, or any other where it is somebody's proxy.
            self._storage(path, authorization)
        elif path.startswith("/v2/"):
            self._registry(path)
        else:
            self._hub(path, authorization)

    do_HEAD = do_GET

    # The library

    def _registry(self, path: str) -> None:
        if path in self.served.manifests:
            self._answer(200, self.served.manifests[path], {"Content-Type": MANIFEST_TYPE})
        elif path in self.served.blobs:
            self._answer(307, b"", {"Location": self.served.storage_url + self.served.blobs[path] + "?sig=secret"})
        else:
            errors = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown", "detail": {}}]}
            self._answer(404, json.dumps(errors).encode(), {"Content-Type": "application/json"})

    # The Hub

    def _hub(self, path: str, authorization: str) -> None:
        hub = self.served
        listed = re.fullmatch(rf"/api/models/([^/]+/[^/]+)(?:/revision/{COMMIT})?", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        repository = (listed or file or [None, ""])[1]
        if repository in hub.moved:
            return self._answer(307, b"", {"Location": self.path.replace(repository, hub.moved[repository], 1)})
        if authorization and authorization != f"Bearer {TOKEN}":
            return self._refuse(401, "", "Invalid credentials in Authorization header")
        if repository not in hub.repositories:
            # What is private and what is not there are told apart for those who are known alone.
            return self._refuse(404 if authorization else 401, "RepoNotFound", "Repository not found")
        if listed:
            return self._answer(
                200, json.dumps(hub.listing(repository)).encode(), {"Content-Type": "application/json; charset=utf-8"}
            )
        assert file is not None
        if repository in hub.gated and not authorization:
            return self._refuse(401, "GatedRepo", f"Access to model {repository} is restricted.")
        if file[2] not in ("main", COMMIT):
            return self._refuse(404, "RevisionNotFound", f"Invalid rev id: {file[2]}")
        if file[3] not in hub.repositories[repository]:
            return self._refuse(404, "EntryNotFound", "Entry not found")
        size = hub.repositories[repository][file[3]].stat().st_size
        self._answer(
            302,
            b"Found",
            {
                "Location": f"{hub.storage_url}/{urllib.parse.quote(f'{repository}/{file[3]}')}?X-Amz-Signature=secret",
                "X-Repo-Commit": COMMIT,
                "X-Linked-Size": str(size),
                "X-Linked-Etag": f'"{_digest(file[3])}"',
                "Accept-Ranges": "bytes",
            },
        )
        return None

    def _refuse(self, status: int, code: str, message: str) -> None:
        named = {"X-Error-Code": code} if code else {}
        self._answer(
            status,
            json.dumps({"error": message}).encode(),
            {**named, "X-Error-Message": message, "Content-Type": "application/json; charset=utf-8"},
        )

    # The storage

    def _storage(self, path: str, authorization: str) -> None:
        hub = self.served
        if authorization:
            # A signed address with credentials beside it is refused, as by S3.
            return self._answer(400, b"<Error><Code>InvalidArgument</Code></Error>", {})
        file = hub.storage.get(path)
        if file is None:
            return self._answer(403, b"<Error><Code>AccessDenied</Code></Error>", {})
        size = file.stat().st_size
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")) if not hub.ignores_ranges else None
        start, end = (int(wanted[1]), min(size - 1, int(wanted[2] or size - 1))) if wanted else (0, size - 1)
        if start >= size:
            return self._answer(416, b"", {"Content-Range": f"bytes */{size}"})
        start += hub.shifted
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(end - start + 1))
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("ETag", f'"{_digest(file.name)}"')
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{end}/{size}")
        self.end_headers()
        if self.command == "GET":
            most = hub.cut_after.pop(0) if hub.cut_after else end - start + 1
            self._send(file, start, min(end - start + 1, most))
        return None

    def _send(self, file: Path, start: int, count: int) -> None:
        self.close_connection = True
        with file.open("rb") as body:
            body.seek(start)
            while count > 0 and (block := body.read(min(1 << 16, count))):
                try:
                    self.wfile.write(block)
                except OSError:
                    return
                self.served.sent += len(block)
                count -= len(block)

    def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass
