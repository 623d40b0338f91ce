"""What a run does for models that were added by hand: hashes, whether they still fit, what is theirs in a store."""

from __future__ import annotations

from dataclasses import replace
from typing import Collection, Sequence

from ..catalogue import Catalogue, GgufSource, OllamaSource, Pin
from ..fit.choice import CannotChoose, choose_named
from ..fit.header import GgufError
from ..fit.judge import Wishes
from ..fit.placement import Budget
from .added import Added
from .download import FetchError
from .install import Installer, InstallError, store_names
from .own_files import read_whole
from .sources import Means, ObtainError, gguf_from_location
from .store import sha256_of


def hashed(item: Added, means: Means, installer: Installer) -> Added:
    """With the sha256 of a file whose hash nobody told: it is known once the file is here. Raises InstallError."""
    entry = item.entry
    if not entry.gguf or entry.sha256:
        return item
    try:
        path = gguf_from_location(GgufSource(entry.gguf), Pin(), means)
        read_whole(path)
    except (GgufError, ObtainError, FetchError) as error:
        raise InstallError(f"{entry.name}: {error}") from error
    sha256 = sha256_of(path)
    installer.store.add_file(path, f"sha256:{sha256}")
    installer.checked.trust(installer.store.blob(f"sha256:{sha256}"), f"sha256:{sha256}")
    return replace(item, entry=replace(entry, sha256=sha256))


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
