"""Models that the catalogue does not know: a GGUF of the user's, by path or URL, with its sha256.

Its own header says what it is, so that memory fit works for it as for any other model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence, Union

from ..catalogue import (
    CatalogueError,
    GgufSource,
    License,
    Model,
    ModelFile,
    OllamaSource,
    Pin,
    name_fault,
    parse_lock,
)
from ..fit.header import GgufError, Header
from ..fit.layers import UnknownArchitecture, shape_of
from ..fit.memory import BUILD, weights_of
from ..fit.stock import why_not_stock
from .gguf_file import check_length, read_header
from .sources import Means, gguf_from_location
from .store import Store


@dataclass(frozen=True)
class UserModel:
    """An entry of `gridtie_models` that is more than a name."""

    name: str
    location: str
    sha256: str

    @property
    def pin(self) -> Pin:
        return Pin(gguf=self.sha256)

    @property
    def digest(self) -> str:
        return f"sha256:{self.sha256}"

    @property
    def remote(self) -> bool:
        return self.location.startswith(("http://", "https://"))


def parse_entry(entry: Mapping[str, Any]) -> UserModel:
    """Check `{name, gguf, sha256}`. Raises CatalogueError naming the key."""
    path = ("gridtie_models",)
    for key in entry:
        if key not in ("name", "gguf", "sha256"):
            raise CatalogueError((*path, str(key)), "unknown key; known are name, gguf, sha256")
    for key in ("name", "gguf", "sha256"):
        if not isinstance(entry.get(key), str) or not entry[key]:
            raise CatalogueError(path, f"an entry with its own file needs a text for {key!r}: {dict(entry)!r:.120}")
    if fault := name_fault(entry["name"]):
        raise CatalogueError((*path, "name"), fault)
    # The lock's rule for a sha256, with the lock's words.
    pin = parse_lock({"schema": 1, "models": {entry["name"]: {"gguf": entry["sha256"]}}})[entry["name"]]
    return UserModel(entry["name"], entry["gguf"], pin.gguf)


def find_file(entry: UserModel, stores: Sequence[Store]) -> Optional[Path]:
    """The file, where it can be looked into without fetching it: a store's blob, or the path that was named."""
    blobs = [store.blob(entry.digest) for store in stores]
    return next((path for path in [*blobs, *([] if entry.remote else [Path(entry.location)])] if path.is_file()), None)


def fetch(entry: UserModel, means: Means) -> Path:
    """The file in `incoming`, downloaded and checked; installing it finds it there."""
    return gguf_from_location(GgufSource(entry.location), entry.pin, means)


def check_engine(entry: UserModel, path: Path, engine: str) -> None:
    """Raises GgufError where the embedded engine, which is stock llama.cpp, does not read the file's header."""
    reason = why_not_stock(read_header(path)) if engine == "embedded" else ""
    if reason:
        raise GgufError(
            f"{entry.name}: the embedded engine cannot load {path}, whose header is for Ollama's own build ({reason}); "
            "take another file of the model, or Ollama as the engine (gridtie_engine)"
        )


def describe(entry: UserModel, path: Path) -> Model:
    """The model as a catalogue entry, from its header. Raises GgufError, also where the file is cut."""
    header = read_header(path)
    check_length(path, header)
    return model_of(entry.name, header, path.stat().st_size, GgufSource(entry.location))


def model_of(
    name: str,
    header: Header,
    size: int,
    source: Union[GgufSource, OllamaSource],
    build: int = BUILD,
    projector: int = 0,
) -> Model:
    """A file of `size` bytes as a catalogue entry, by its header alone. Raises GgufError."""
    capabilities = capabilities_of(header)
    return Model(
        name=name,
        title=str(header.metadata.get("general.name", name)),
        maker=str(header.metadata.get("general.organization", "unknown")),
        # Whoever names a file has decided about its licence.
        license=License(str(header.metadata.get("general.license", "unknown")), commercial=True),
        parameters=header.parameters,
        active_parameters=active_parameters(header),
        shape=shape_of(header),
        file=ModelFile(size, "exact", header.quantisation, header.size, _weights(header, build), projector),
        capabilities=capabilities,
        # An alias for embeddings finds it by this.
        purposes=("embeddings",) if "embeddings" in capabilities else ("code", "chat"),
        sources=(source,),
        own_header=why_not_stock(header),
    )


def active_parameters(header: Header) -> int:
    """Parameters that work on a token, 0 where all do: of the experts only those that are used."""
    count, used = header.get("expert_count"), header.get("expert_used_count")
    if not isinstance(count, int) or not isinstance(used, int) or not 0 < used < count:
        return 0
    experts = sum(tensor.elements for name, tensor in header.tensors.items() if "_exps." in name)
    return header.parameters - experts * (count - used) // count


def _weights(header: Header, build: int) -> int:
    """Bytes of weights that are loaded; 0 where the architecture is unknown, which the choice then says."""
    try:
        return weights_of(header, build)
    except UnknownArchitecture:
        return 0


def capabilities_of(header: Header) -> tuple[str, ...]:
    """What the header shows: a template for chats and tools, tokens for the middle of a text, vectors for answers.

    A model without a template only completes text, which `chat` is not promised for.
    """
    if isinstance(header.get("pooling_type"), int) and header.get("pooling_type"):
        return ("embeddings",)
    found: tuple[str, ...] = ("chat", "json") if header.chat_template else ()
    if "tools" in header.chat_template:
        found += ("tools",)
    middle = any(f"tokenizer.ggml.{key}_token_id" in header.metadata for key in ("fim_pre", "prefix"))
    return (*found, "fill-in-the-middle") if middle else found
