"""Installs all wanted models: what each needs, whether the disk holds it, then several at once."""

from __future__ import annotations

import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Callable, Iterable, Mapping, Sequence

from ..catalogue import DerivedSource, OllamaSource, Pin
from ..fit.memory import GIB
from .download import DISK_RESERVE, FetchError
from .install import Installer, InstallError, Wanted
from .seed import SeedError
from .sources import Means, ObtainError
from .store import Manifest, Store, StoreError

# Downloads at once. One alone does not fill a fast line, more than a few starve each other.
AT_ONCE = 3

_FAILURES = (ObtainError, FetchError, StoreError, SeedError, OSError, ValueError)


def install_all(
    installer: Installer, wanted: Sequence[Wanted], means: Means, say: Callable[[str], None]
) -> list[Manifest]:
    """All models, several at once. Raises InstallError with every failure; what succeeded stays.

    All sizes are known and compared with the disk before the first file is fetched.
    """
    problems: list[str] = []
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        asked = [(item, pool.submit(installer.to_fetch, item, means)) for item in wanted]
        needs = _gathered(asked, problems)
        check_disk(installer.store, [need for _, need in needs])
        lines: dict[str, str] = {}
        found: dict[str, Manifest] = {}
        # What is made of another model's file comes when that is there.
        for made in (False, True):
            items = [item for item, _ in needs if isinstance(item.source, DerivedSource) is made]
            begun = [(item, pool.submit(_one, installer, item, means, lines, say)) for item in items]
            found.update((item.own_name, manifest) for item, manifest in _gathered(begun, problems))
    installer.checked.save()
    if problems:
        raise InstallError("\n".join([*problems, *installer.remarks]))
    return [found[item.own_name] for item in wanted]


def ask_digests(installer: Installer, wanted: Sequence[Wanted], means: Means) -> dict[str, Pin]:
    """What the library serves now for those of its models that have no pin, asked before a byte of them is fetched.

    A model that cannot be asked for is missing here: `install_all` tells it together with all other failures.
    """
    unpinned = [
        (item, item.source.name) for item in wanted if isinstance(item.source, OllamaSource) and not item.pin.manifest
    ]
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        found = _gathered([(item, pool.submit(installer.library_pin, name, means)) for item, name in unpinned], [])
    return {item.model.name: pin for item, pin in found}


def check_disk(store: Store, needs: Iterable[Mapping[str, int]]) -> None:
    """Raises InstallError when what is to come, bytes by digest, would fill the disk."""
    files: dict[str, int] = {}
    for need in needs:
        files.update(need)
    needed = sum(files.values())
    existing = store.root
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if needed and needed + DISK_RESERVE > free:
        raise InstallError(
            f"too little disk at {store.root}: {free / GIB:.1f} GiB are free, the models need "
            f"{needed / GIB:.1f} GiB and {DISK_RESERVE / GIB:.0f} GiB stays free; free some, or choose smaller models"
        )


def _one(
    installer: Installer, item: Wanted, means: Means, lines: dict[str, str], say: Callable[[str], None]
) -> Manifest:
    def progress(message: str) -> None:
        lines[item.model.name] = message
        say(" | ".join(list(lines.values())))

    try:
        return installer.install(item, replace(means, progress=progress))
    finally:
        lines.pop(item.model.name, None)


def _gathered(begun: Sequence[tuple[Wanted, Future[Any]]], problems: list[str]) -> list[tuple[Wanted, Any]]:
    """What succeeded; what failed goes into `problems`, one line a model."""
    done = []
    for item, future in begun:
        error = future.exception()
        if error is None:
            done.append((item, future.result()))
        elif isinstance(error, _FAILURES):
            problems.append(f"{item.model.name}: {error}")
        else:
            raise error
    return done
