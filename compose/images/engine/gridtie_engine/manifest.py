"""`embedded.json`: the models that the embedded engine serves, and the server command line of each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class ManifestError(ValueError):
    """embedded.json cannot be used; the message names the entry and what was expected."""


@dataclass(frozen=True)
class Model:
    """One model and its place: `context` tokens for each of `parallel` requests at a time, on `port`.

    With `embedding` it answers with vectors and with nothing else. `host` is the address that it listens on.
    """

    name: str
    path: Path
    port: int
    context: int
    parallel: int = 1
    threads: int | None = None
    cache_type: str | None = None
    embedding: bool = False
    host: str = "0.0.0.0"  # noqa: S104 - a station's container has a network that is internal

    def arguments(self) -> Iterator[str]:
        """The `llama-server` flags. Without --context-shift a prompt that does not fit is refused, never cut."""
        yield from ("--model", str(self.path), "--alias", self.name)
        yield from ("--host", self.host, "--port", str(self.port))
        yield from ("-c", str(self.context * self.parallel), "-np", str(self.parallel))
        yield from ("--flash-attn", "on", "--metrics", "--no-webui", "--offline")
        if self.embedding:
            yield "--embedding"
        if self.threads is not None:
            yield from ("-t", str(self.threads))
        if self.cache_type is not None:
            yield from ("--cache-type-k", self.cache_type, "--cache-type-v", self.cache_type)


_REQUIRED = {"name": str, "path": str, "port": int, "context": int}
_OPTIONAL = {"parallel": int, "threads": int, "cache_type": str, "embedding": bool, "host": str}


def read(file: Path) -> dict[str, Model]:
    """The models in `file` by name; a path in it is relative to the file's directory.

    A file that does not exist lists no model: the engine may start before the first model is there.
    Keys that only describe a model (its digest, say) may stand beside those that are used here.
    Raises ManifestError for anything else than a list of well-formed entries with distinct names and ports.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    try:
        entries = json.loads(text)
    except json.JSONDecodeError as error:
        raise ManifestError(f"{file}: not JSON: {error}") from None
    if not isinstance(entries, list):
        raise ManifestError(f"{file}: a list of models expected, {type(entries).__name__} found")
    models: dict[str, Model] = {}
    ports: dict[int, str] = {}
    for number, entry in enumerate(entries):
        model = _model(f"{file}: entry {number}", entry, file.parent)
        if model.name in models:
            raise ManifestError(f"{file}: entry {number}: the name {model.name} is taken by an earlier entry")
        if model.port in ports:
            raise ManifestError(f"{file}: entry {number}: port {model.port} is taken by {ports[model.port]}")
        models[model.name] = model
        ports[model.port] = model.name
    return models


def _model(where: str, entry: Any, directory: Path) -> Model:
    if not isinstance(entry, dict):
        raise ManifestError(f"{where}: an object expected, {type(entry).__name__} found")
    known = {key: value for key, value in entry.items() if key in _REQUIRED or key in _OPTIONAL}
    for key in _REQUIRED.keys() - known.keys():
        raise ManifestError(f"{where}: {key} is missing")
    for key, value in known.items():
        kind = _REQUIRED.get(key) or _OPTIONAL[key]
        # bool is an int to Python.
        if type(value) is not kind:
            raise ManifestError(f"{where}: {key}: {kind.__name__} expected, {value!r} found")
        if kind is int and value < 1:
            raise ManifestError(f"{where}: {key}: at least 1 expected, {value} found")
    return Model(**{**known, "path": directory / known["path"]})
