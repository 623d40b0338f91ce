"""A checkpoint of safetensors by what people type: a directory, or `hf.co/OWNER/REPOSITORY`.

Only what says what it is gets read: config.json, the index or the header of the only file, the chat template. No byte
of the weights is fetched.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Optional, Sequence

from ..fit.checkpoint import (
    Checkpoint,
    CheckpointError,
    Stored,
    checkpoint_of,
    read_config,
    stored_in_file,
    stored_in_files,
)
from ..fit.safetensors import (
    LENGTH_BYTES,
    MOST_BYTES,
    SafetensorsError,
    file_bytes,
    header_length,
    parse_header,
    parse_index,
)
from .download import Fetcher, FetchError
from .hugging_face import Repository, explained, find_repository
from .remote_header import Beginning
from .sources import ObtainError

CONFIG, INDEX, ONLY = "config.json", "model.safetensors.index.json", "model.safetensors"
_TEMPLATE, _TOKENIZER = "chat_template.jinja", "tokenizer_config.json"
# No configuration is longer; an index of the largest models has some 10 MB, a tokenizer's configuration 1 MB.
_MOST_DOCUMENT = 64 << 20


@dataclass(frozen=True)
class _Place:
    """Where a checkpoint lies: its name for people, its files, one whole small file, the beginning of a large one."""

    name: str
    files: Sequence[str]
    whole: Callable[[str], bytes]
    beginning: Callable[[str, int], bytes]
    length: Callable[[str], int]


def is_checkpoint(name: str) -> bool:
    """Whether a directory is meant that may hold a checkpoint: a path, or a name that is one by what is in it."""
    try:
        path = Path(name).expanduser()
        return path.is_dir() and (name.startswith(("/", "./", "../", "~")) or (path / CONFIG).is_file())
    except (OSError, RuntimeError):
        return False


def in_directory(path: Path) -> Checkpoint:
    """The checkpoint in a directory. Raises CheckpointError."""
    folder = path.expanduser()

    def beginning(name: str, count: int) -> bytes:
        with (folder / name).open("rb") as file:
            return file.read(count)

    place = _Place(
        str(path),
        sorted(entry.name for entry in folder.iterdir()),
        lambda name: beginning(name, _MOST_DOCUMENT),
        beginning,
        lambda name: (folder / name).stat().st_size,
    )
    try:
        return _read(place)
    except OSError as error:
        raise CheckpointError(f"{error.filename or path}: {error.strerror}") from None


def on_the_hub(text: str, fetcher: Fetcher, token: str = "", endpoint: str = "") -> Checkpoint:
    """The checkpoint of a repository of Hugging Face, or of its mirror `endpoint`. Raises CheckpointError."""
    shown_to = replace(fetcher, token=token)
    repository: Optional[Repository] = None
    try:
        repository = find_repository(text, shown_to, endpoint)
        return _read(_of_the_hub(repository, shown_to))
    except FetchError as error:
        name = repository.name if repository else text.partition("/")[2]
        raise CheckpointError(explained(error, name, bool(token)) or str(error)) from None
    except ObtainError as error:
        raise CheckpointError(str(error)) from None


def _of_the_hub(repository: Repository, fetcher: Fetcher) -> _Place:
    def beginning(name: str, count: int) -> bytes:
        found = Beginning(repository.url(name), fetcher, MOST_BYTES)
        try:
            found.reach(count)
        finally:
            found.close()
        return bytes(found.data[:count])

    return _Place(
        repository.name,
        sorted(repository.files),
        lambda name: fetcher.read(repository.url(name), most=_MOST_DOCUMENT),
        beginning,
        lambda name: repository.files[name].bytes,
    )


def _read(place: _Place) -> Checkpoint:
    if CONFIG not in place.files:
        raise CheckpointError(f"{place.name}: it has no {CONFIG}; wanted is a checkpoint as transformers writes it")
    config = read_config(place.whole(CONFIG), place.name)
    try:
        stored = _stored(place)
    except SafetensorsError as error:
        raise CheckpointError(str(error)) from None
    return checkpoint_of(place.name, config, stored, _template(place))


def _stored(place: _Place) -> Stored:
    if INDEX in place.files:
        index = parse_index(place.whole(INDEX), f"{place.name}/{INDEX}")
        missing = sorted(set(index.files.values()) - set(place.files))
        if missing:
            raise SafetensorsError(f"{place.name}: it is not whole: {missing[0]} of its index is not there")
        return stored_in_files(index)
    files = [name for name in place.files if name.endswith(".safetensors")]
    only = ONLY if ONLY in files else files[0] if len(files) == 1 else ""
    if not only:
        found = f"{len(files)} files of safetensors without {INDEX}" if files else "no safetensors"
        raise SafetensorsError(f"{place.name}: it has {found}; vLLM takes safetensors, GGUF is for the other engines")
    name = f"{place.name}/{only}"
    length = header_length(place.beginning(only, LENGTH_BYTES), name)
    tensors = parse_header(place.beginning(only, LENGTH_BYTES + length)[LENGTH_BYTES:], name)
    there, wanted = place.length(only), file_bytes(length, tensors)
    if 0 < there < wanted:
        raise SafetensorsError(f"{name}: it is cut: {there} bytes are there, its header speaks of {wanted}")
    return stored_in_file(tensors)


def _template(place: _Place) -> str:
    """The chat template, "" where there is none that can be read: it says whether tools are known, and no more."""
    if _TEMPLATE in place.files:
        return place.whole(_TEMPLATE).decode("utf-8", "replace")
    if _TOKENIZER in place.files:
        with suppress(ValueError, AttributeError, RecursionError):
            return str(json.loads(place.whole(_TOKENIZER)).get("chat_template") or "")
    return ""
