"""Models that the catalogue does not know: a GGUF of the user's by path or URL, or any model of the Ollama library.

Its own header says what it is, so that memory fit works for it as for any other model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Sequence, Union

from ..catalogue import GgufSource, License, Model, ModelFile, OllamaSource
from ..fit.header import GgufError, Header
from ..fit.layers import UnknownArchitecture, shape_of
from ..fit.memory import BUILD, weights_of
from ..fit.stock import why_not_stock
from .download import shown
from .entries import Entry
from .gguf_file import check_length, read_header
from .sources import Means, gguf_from_location
from .store import Store


def find_file(entry: Entry, stores: Sequence[Store]) -> Optional[Path]:
    """The file, where it can be looked into without fetching it: a store's blob, or the path that was named."""
    paths = [store.blob(entry.digest) for store in stores] if entry.sha256 else []
    return next((path for path in [*paths, *([] if entry.remote else [Path(entry.gguf)])] if path.is_file()), None)


def fetch(entry: Entry, means: Means) -> Path:
    """The file in `incoming`, downloaded and checked; installing it finds it there."""
    return gguf_from_location(GgufSource(entry.gguf), entry.pin, means)


def check_engine(entry: Entry, header: Header, engine: str) -> None:
    """Raises GgufError where the embedded engine, which is stock llama.cpp, does not read the file's header."""
    reason = why_not_stock(header) if engine == "embedded" else ""
    if reason:
        place = shown(entry.gguf) if entry.gguf and entry.remote else entry.gguf or entry.ollama
        raise GgufError(
            f"{entry.name}: the embedded engine cannot load {place}, whose header is for Ollama's "
            f"own build ({reason}); take another file of the model, or Ollama as the engine (gridtie_engine)"
        )


def read_whole(path: Path) -> tuple[Header, int]:
    """The file's header and size. Raises GgufError, also where it is cut."""
    header = read_header(path)
    check_length(path, header)
    return header, path.stat().st_size


def describe(entry: Entry, build: int, header: Header, size: int, projector: int = 0) -> Model:
    """The model as a catalogue entry for llama.cpp's `build`, from the header of its file of `size` bytes.

    Raises GgufError.
    """
    source = OllamaSource(entry.ollama) if entry.ollama else GgufSource(entry.gguf)
    return model_of(entry.name, header, size, source, build, projector)


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
        # Whoever names a model has decided about its licence.
        license=License(str(header.metadata.get("general.license", "unknown")), commercial=True),
        parameters=header.parameters,
        active_parameters=active_parameters(header),
        shape=shape_of(header),
        file=ModelFile(size, "exact", header.quantisation, header.size, _weights(header, build), projector),
        capabilities=capabilities,
        # Aliases find it by this.
        purposes=_purposes(capabilities),
        sources=(source,),
        own_header=why_not_stock(header),
    )


def _purposes(capabilities: Sequence[str]) -> tuple[str, ...]:
    """Vectors are for nothing else, and what has no template for chats completes text."""
    if "embeddings" in capabilities:
        return ("embeddings",)
    return ("code", "chat") if "chat" in capabilities else ("completion",)


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
