"""What a run does for models that were added by hand: hashes, whether they still fit, what is theirs in a store."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Callable, Collection, Iterator, Sequence

from ..catalogue import Catalogue, GgufSource, OllamaSource, Pin
from ..fit.choice import CannotChoose, choose_named
from ..fit.header import GgufError
from ..fit.judge import Wishes
from ..fit.memory import Settings
from ..fit.placement import Budget
from ..new_file import put
from .added import Added
from .download import FetchError
from .engine_server import EngineServer
from .install import Installer, InstallError, store_names
from .last_word import check_loads
from .own_files import read_whole
from .owned import OwnedModels
from .sources import Means, ObtainError, gguf_from_location
from .store import Store, sha256_of


def hashed(
    item: Added, settings: Settings, server: Callable[[], EngineServer], means: Means, installer: Installer
) -> Added:
    """With the sha256 of a file whose hash nobody told: it is known once the file is here. Whether the engine loads it
    is asked before. Raises InstallError.
    """
    entry = item.entry
    if not entry.gguf or entry.sha256:
        return item
    try:
        if entry.remote:
            check_loads(entry.name, entry.gguf, settings, server, means)
        path = gguf_from_location(GgufSource(entry.gguf), Pin(), means)
        read_whole(path)
    except (GgufError, ObtainError, FetchError) as error:
        raise InstallError(f"{entry.name}: {error}") from error
    sha256 = sha256_of(path)
    # Until a model is made of it, nothing else tells that it is ours to remove.
    installer.owned.note_deletion(installer.engine, [f"sha256:{sha256}"])
    installer.store.add_file(path, f"sha256:{sha256}")
    installer.checked.trust(installer.store.blob(f"sha256:{sha256}"), f"sha256:{sha256}")
    return replace(item, entry=replace(entry, sha256=sha256))


@contextmanager
def put_back(store: Store, owned: Path, engine: str, names: Sequence[str], files: Sequence[Path]) -> Iterator[None]:
    """Where what is done inside fails, or somebody ends it, these names of the store and these files are as they were:
    the station goes on with what it had, and the same command can be given again.
    """
    manifests = {name: manifest for name in names if (manifest := store.read(name))}
    contents = {path: (path.read_text("utf-8"), path.stat()) for path in files if path.is_file()}
    try:
        yield
    except BaseException:
        for name, manifest in manifests.items():
            OwnedModels(owned).note(engine, name, manifest.digest)
            store.write(name, manifest)
        for path in files:
            if path in contents:
                text, was = contents[path]
                put(path, text, was.st_mode & 0o7777)
                os.chown(path, was.st_uid, was.st_gid)
            elif path.is_file():
                path.unlink()
        raise


def lost(added: Sequence[Added], known: Collection[str]) -> list[str]:
    """For people: what was added and is in no catalogue any more."""
    return [
        f"{each.name} was added by hand ({each.who}) and is not in the catalogue any more; it is not served. Add it by "
        f"its name in the library, or forget it: `gridtie models remove {each.name}`"
        for each in added
        if each.name not in known
    ]


def check_fits(added: Sequence[Added], catalogue: Catalogue, budget: Budget, wishes: Wishes) -> None:
    """Raises InstallError for what does not fit any more, with other settings than it was added under."""
    models = {each.name: catalogue.models[each.name] for each in added}
    contexts = {each.name: each.entry.context for each in added}
    try:
        choose_named(Catalogue(models), list(models), budget, wishes, contexts)
    except CannotChoose as error:
        lines = [f"{line}; it was added by hand: `gridtie models remove NAME`" for line in str(error).splitlines()]
        raise InstallError("\n".join(lines)) from error


def names_of(added: Sequence[Added], catalogue: Catalogue) -> set[str]:
    """Every name that they may have in a store."""
    names: set[str] = set()
    for each in added:
        model = catalogue.models.get(each.name)
        libraries = [source.name for source in model.sources if isinstance(source, OllamaSource)] if model else []
        names.update(*(store_names(each.name, library) for library in [each.entry.ollama, *libraries]))
    return names
