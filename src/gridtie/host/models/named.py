"""A model by what people type: a path, a URL, a name of the Ollama library, `hf.co/owner/repository:quantisation`.

Of a file that is somewhere else only the header is read, by range: what a model is and needs is known before a byte of
its weights is fetched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Union

from ..catalogue import GgufSource, Model, OllamaSource
from ..fit.header import GgufError, Header
from ..fit.purposes import PURPOSES, Purpose
from ..ollama_name import runs_at_ollama_com
from .download import FetchError, shown
from .gguf_file import check_length, read_header
from .hugging_face import explained, find_file, is_hub_name
from .own_files import model_of
from .remote_header import RemoteHeader, read_remote_header
from .sources import Means, ObtainError, blob_url, library_manifest
from .store import StoreError

# The library as Ollama itself names it; any other host is a registry of somebody's own.
_LIBRARY = re.compile(r"(?:https?://)?(?:registry\.ollama\.ai|(?:www\.)?ollama\.com)/", re.IGNORECASE)
# Characters of a name; Ollama's own parts of one have 80 each (types/model/name.go).
_LONGEST = 256
_NAME = re.compile(r"(?:[\w.-]+/)?[\w.-]+(?::[\w.-]+)?", re.ASCII)


class CannotTell(Exception):
    """Nothing can be said of what was named; the message is one sentence: what was found, and what to do."""


@dataclass(frozen=True)
class Named:
    """What was found behind a name. `raw` are the bytes of the header, `bytes` the length of the file.

    `sha256` is "" where nobody says it before the file is fetched; `projector` the length of what turns pictures into
    embeddings, where that is a file of its own.
    """

    name: str
    source: Union[OllamaSource, GgufSource]
    header: Header
    raw: bytes
    bytes: int
    sha256: str = ""
    projector: int = 0

    def as_model(self, build: int) -> Model:
        """As a catalogue entry, for llama.cpp's `build`. Raises CannotTell."""
        try:
            model = model_of(self.name, self.header, self.bytes, self.source, build, self.projector)
        except GgufError as error:
            raise CannotTell(_one_line(f"{self.name}: {error}")) from None
        return replace(model, purposes=tuple(each.name for each in PURPOSES.values() if _serves(model, each)))


def find(text: str, means: Means, token: str = "", hub: str = "") -> Named:
    """What somebody typed, found and its header read. Raises CannotTell.

    `means.registry` is the library, or the mirror that stands for it; `token` is for Hugging Face (`hub`: its mirror)
    and for nobody else.
    """
    name = text.strip()
    try:
        if is_hub_name(name):
            return _of_the_hub(name, means, token, hub)
        if library := _LIBRARY.match(name):
            return _of_the_library(name[library.end() :], means)
        if name.startswith(("http://", "https://")):
            found = read_remote_header(name, means.fetcher)
            return Named(shown(name), GgufSource(name), found.header, found.raw, _length(found))
        if is_path(name):
            return of_file(name, Path(name).expanduser())
        return _of_the_library(name, means)
    except (FetchError, ObtainError, StoreError, GgufError) as error:
        raise CannotTell(_one_line(error)) from None
    except RuntimeError:
        raise CannotTell(f"{name:.120}: there is no such user here; wanted was the path of a GGUF file") from None


def is_path(name: str) -> bool:
    """Whether it is a path of this machine, and no name: it says so, or there is such a file."""
    if name.startswith(("/", "./", "../", "~")) or name.lower().endswith(".gguf"):
        return True
    try:
        return Path(name).is_file()
    except OSError:
        # Longer than any path.
        return False


def of_file(name: str, path: Path) -> Named:
    """A file of this machine. Raises CannotTell."""
    try:
        header = read_header(path)
        check_length(path, header)
        with path.open("rb") as file:
            return Named(name, GgufSource(str(path)), header, file.read(header.size), path.stat().st_size)
    except GgufError as error:
        raise CannotTell(_one_line(error)) from None
    except OSError as error:
        raise CannotTell(f"{path}: {error.strerror}; wanted was a GGUF file") from None


def _serves(model: Model, purpose: Purpose) -> bool:
    """By its capabilities, which are all that a header says."""
    return purpose.capability in model.capabilities


def _of_the_library(name: str, means: Means) -> Named:
    if len(name) > _LONGEST or not _NAME.fullmatch(name):
        raise ObtainError(
            f"{name!r:.120} is neither a name (model:tag), a path nor a URL; other registries than the library are "
            "named by gridtie_mirror_url"
        )
    if runs_at_ollama_com(name):
        raise ObtainError(f"{name} runs at ollama.com and not here: nothing of it would be in this machine's memory")
    plain = name[len("library/") :] if name.startswith("library/") else name
    full = plain if ":" in plain else f"{plain}:latest"
    try:
        manifest = library_manifest(full, "", means)
    except FetchError as error:
        if error.status in (401, 404):
            raise ObtainError(f"the library {shown(means.registry)} has no {full}") from None
        raise
    projector = manifest.projector_bytes
    found = read_remote_header(blob_url(full, manifest.model, means), means.fetcher, full)
    digest = manifest.model.digest.partition(":")[2]
    size = manifest.model.size
    if size < found.header.file_bytes:
        raise GgufError(f"{full}: its manifest says {size} bytes, its header speaks of {found.header.file_bytes}")
    return Named(full, OllamaSource(full), found.header, found.raw, size, digest, projector)


def _of_the_hub(name: str, means: Means, token: str, hub: str) -> Named:
    fetcher = replace(means.fetcher, token=token)
    repository = re.sub(r"^.*?/", "", re.sub(r"^https?://", "", name)).partition(":")[0]
    try:
        file = find_file(name, fetcher, hub)
        repository = file.repository
        found = read_remote_header(file.url, fetcher, name)
    except FetchError as error:
        raise ObtainError(explained(error, repository, bool(token)) or str(error)) from None
    size = file.bytes or _length(found)
    return Named(name, GgufSource(file.url), found.header, found.raw, size, file.sha256)


def _length(found: RemoteHeader) -> int:
    return found.bytes or found.header.file_bytes


def _one_line(error: object) -> str:
    return " ".join(str(error).split())
