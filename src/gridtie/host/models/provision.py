"""Provisions a station's models: resolve, compare with what is there, install what is missing, describe the result.

The Ansible module is a thin shell around `provision`; so the whole of it can be tested and used without Ansible.
"""

from __future__ import annotations

import fcntl
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable, Collection, Iterator, Mapping, Optional, Sequence, Union

from ..catalogue import Catalogue, CatalogueError, Model, Pin
from ..fit.header import GgufError
from ..fit.judge import served_purposes
from ..fit.layers import UnknownArchitecture
from ..fit.memory import Settings, need, need_of_file
from ..fit.placement import Budget
from ..fit.purposes import USUAL
from ..fit.score import standings_of
from ..json_file import read_json, write_json
from ..router import Unreachable
from .download import FetchError
from .install import Installer, InstallError, Wanted, clear_scratch
from .install_all import ask_digests, check_disk, install_all
from .own_files import check_engine, describe, fetch, find_file, parse_entry
from .owned import OwnedModels
from .proof import DoesNotRun, Proofs, answers
from .prune import Prunable, prunable, prune
from .resolve import (
    AUTO,
    Known,
    Request,
    Resolved,
    chosen_before,
    merged_pins,
    pinned_models,
    remember,
    remembered,
    resolve,
    wanted_models,
)
from .seed import DirectorySeed, Seed, SeedError, open_seed
from .sources import Means, ObtainError
from .store import NAMESPACE, Checked, Manifest, Store, StoreError, own_name

# The first port of the embedded engine; each model's server has its own (compose/compose.yaml exposes them).
EMBEDDED_PORT = 8080
ENGINES = ("ollama", "embedded")
OLLAMA_URL = "http://engine:11434"


@dataclass(frozen=True)
class Directories:
    """Directories of a station's models: both stores, what is under way, and what was decided."""

    root: Path
    owner: Optional[tuple[int, int]] = None
    # Of an Ollama that somebody else installed, its store and that store's owner.
    adopted: Optional[tuple[Path, tuple[int, int]]] = None

    def store(self, engine: str) -> Store:
        if self.adopted and engine == "ollama":
            return Store(*self.adopted)
        return Store(self.root / engine, self.owner)

    @property
    def incoming(self) -> Path:
        """On the file system of the store, so that what is complete gets there by a rename."""
        return self.adopted[0] / ".gridtie" if self.adopted else self.root / "incoming"

    @property
    def owned(self) -> Path:
        return self.root / "brought.json"

    @property
    def resolved(self) -> Path:
        return self.root / "resolved.json"

    @property
    def proofs(self) -> Path:
        """Which models have answered."""
        return self.root / "proved.json"

    @property
    def checked(self) -> Path:
        return self.root / "checked.json"

    @property
    def embedded_list(self) -> Path:
        """What the embedded engine serves; it watches this file."""
        return self.root / "embedded.json"


@dataclass
class Order:
    """Everything that `provision` needs to know. `probe` tells unreachable kinds of source, `budget` the memory there
    is; both are asked only when a choice is made. `lock` has the project's pins, `learned` those of this inventory.
    """

    directories: Directories
    catalogue: Catalogue
    lock: Mapping[str, Pin]
    models: Union[str, Sequence[Union[str, Mapping[str, Any]]]]
    engine: str
    means: Means
    budget: Callable[[], Budget]
    probe: Callable[[], Mapping[str, str]]
    # Tokens a second that models had on this machine.
    speeds: Callable[[], Mapping[str, float]] = field(default=dict)
    # Where the router reaches Ollama.
    ollama_url: str = OLLAMA_URL
    parallel: int = 1
    kv_type: str = "f16"
    flash_attention: bool = True
    max_download: Optional[int] = 0
    purposes: Sequence[str] = USUAL
    engine_version: str = ""
    # Whether the engine computes with llama.cpp as published, not with Ollama's own build of it.
    stock: bool = False
    learned: Mapping[str, Pin] = field(default_factory=dict)
    require_pins: bool = False
    choose_again: bool = False
    deep: bool = False
    seed: Optional[Path] = None
    prune: bool = False
    # The address at which this host reaches the engine that station.json names, or Unreachable; None asks no model for
    # an answer.
    reach: Optional[Callable[[str], str]] = None
    # Told the library's digests that nobody knew, before anything of those models is fetched; may raise.
    agree: Callable[[Mapping[str, Pin]], None] = field(default=lambda pins: None)
    say: Callable[[str], None] = field(default=lambda message: None)


@dataclass(frozen=True)
class Provisioned:
    """What there was and is (for a diff), the models as station.json holds them, and remarks for people.

    `learned` are digests that nobody knew before.
    """

    before: Mapping[str, Any]
    after: Mapping[str, Any]
    models: Sequence[Mapping[str, Any]]
    others: Mapping[str, str]
    remarks: Sequence[str]
    learned: Mapping[str, Pin] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        return self.before != self.after


def provision(order: Order, check: bool = False) -> Provisioned:
    """Bring the station's models to what the order says; with `check` only say what would be. Raises InstallError."""
    if check:
        return _provision(order, check)
    Store(order.directories.root, order.directories.owner).make_directory(order.directories.root)
    store = order.directories.store(order.engine)
    store.make_directory(store.root)
    with _alone(order.directories.root / ".lock"):
        clear_scratch(order.directories.incoming, order.directories.store(order.engine))
        return _provision(order, check)


def _provision(order: Order, check: bool) -> Provisioned:
    directories = order.directories
    checked = Checked(directories.checked, order.deep)
    owned = OwnedModels(directories.owned)
    installer = Installer(directories.store(order.engine), checked, order.engine, owned, _seeds(order, checked))
    if owned.is_new and not check:
        _note_earlier(installer)
    if directories.adopted and not check:
        owned.note_adopted(str(directories.adopted[0]))
    remarks: list[str] = []
    catalogue, own_pins, postponed = _with_own_files(order, installer, check)
    remarks += [f"{name}: its file is fetched first, then it is known what it needs" for name in postponed]
    request = _request(order, postponed)
    pins = {**merged_pins(order.lock, order.learned), **own_pins}
    resolved = _resolve(order, request, catalogue, pins, installer)
    wanted = wanted_models(resolved, catalogue, pins, order.require_pins)
    asked = {} if check else ask_digests(installer, wanted, order.means)
    if asked:
        order.agree(asked)
        pins.update(asked)
        wanted = wanted_models(resolved, catalogue, pins, order.require_pins)
    before = _served(installer, wanted, resolved, request, directories)
    if check:
        check_disk(installer.store, [installer.to_fetch(item, order.means, ask=False) for item in wanted])
        found = [installer.find(item) for item in wanted]
    else:
        found = list(install_all(installer, wanted, order.means, order.say))
        remarks += installer.remarks
    scores = {name: standing.score for name, standing in standings_of(order.catalogue).items()}
    models = [
        _described(order, installer, scores, request, *each)
        for each in zip(range(len(wanted)), wanted, resolved.models, found)
    ]
    keep = {name for item in wanted for name in item.store_names} | {own_name(name) for name in postponed}
    superfluous = _prunable(directories, owned, keep) if order.prune else []
    remarks += [_told(each, check) for each in superfluous]
    listing = [_embedded(model) for model in models] if order.engine == "embedded" else None
    after = _intended(wanted, resolved, request, listing)
    if superfluous:
        before["superfluous"] = [name for each in superfluous for name in each.names]
        after["superfluous"] = []
    if not check:
        _write(directories, request, resolved, listing)
        remarks += _proved(order, installer, models)
        if order.prune:
            _prune(superfluous, directories, owned)
    return Provisioned(before, after, models, resolved.others, remarks, {**asked, **installer.learned})


def _seeds(order: Order, checked: Checked) -> list[Seed]:
    """What lies on this host already: the other engine's store, and what a person copied here."""
    others = [order.directories.store(engine) for engine in ENGINES if engine != order.engine]
    seeds: list[Seed] = [DirectorySeed(store, checked) for store in others]
    try:
        return [*seeds, open_seed(order.seed, checked)] if order.seed else seeds
    except (SeedError, OSError) as error:
        raise InstallError(f"gridtie_models_seed: {error}") from error


def _proved(order: Order, installer: Installer, models: Sequence[Mapping[str, Any]]) -> list[str]:
    """Let every model that is new answer once. Raises InstallError for those that cannot; remarks on the rest."""
    if order.reach is None:
        return []
    proofs = Proofs(order.directories.proofs, order.engine, again=order.deep)
    problems, remarks = [], []
    for model in proofs.missing(models):
        problem, remark = _asked(model, order.reach, order.say)
        if problem and installer.whole:
            installer.store.remove(str(model["name"]))
        elif not problem:
            proofs.add(model)
        problems += [problem] if problem else []
        remarks += [remark] if remark else []
    if problems:
        raise InstallError("\n".join(problems))
    return remarks


def _asked(model: Mapping[str, Any], reach: Callable[[str], str], say: Callable[[str], None]) -> tuple[str, str]:
    """Why it does not run, or why it could not be asked; both empty where it answered."""
    try:
        answers(model, reach(str(model["url"])), say)
    except DoesNotRun as error:
        wrong = f"{model['name']} is whole ({model['digest']}) and does not run: {error}. It is not offered; choose "
        return wrong + "another model, or a version of the engine that can load it", ""
    except Unreachable as error:
        return "", f"{model['name']} could not be asked for an answer from here: {error}"
    return "", ""


def withdraw(directories: Directories, check: bool = False) -> list[str]:
    """Take away everything that the station installed, from a store that belongs to somebody else; what went, in words.

    Raises InstallError.
    """
    owned = OwnedModels(directories.owned)
    found = _prunable(directories, owned, frozenset())
    if not check:
        _prune(found, directories, owned)
        if directories.adopted and directories.incoming.is_dir():
            directories.incoming.rmdir()
    return [_told(each, check) for each in found]


def _prunable(directories: Directories, owned: OwnedModels, keep: Collection[str]) -> list[Prunable]:
    try:
        found = [prunable(engine, directories.store(engine), owned, keep) for engine in ENGINES]
    except StoreError as error:
        raise InstallError(f"nothing was pruned, for nobody can tell which files this needs: {error}") from error
    return [each for each in found if each.names or each.blobs]


def _prune(found: Sequence[Prunable], directories: Directories, owned: OwnedModels) -> None:
    for each in found:
        prune(each, owned)
    # All that is wanted is there: what is left was begun for something else.
    for leftover in directories.incoming.glob("*"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def _told(found: Prunable, check: bool) -> str:
    names = ", ".join(found.names) or "files of a model that is gone"
    return f"{'to be removed' if check else 'removed'}: {names} ({found.bytes / 1e9:.2f} GB)"


def _note_earlier(installer: Installer) -> None:
    """A station from before there was a record of what it installed: the namespace was its own."""
    for name in installer.store.names():
        manifest = installer.store.read(name) if name.startswith(f"{NAMESPACE}/") else None
        if manifest:
            installer.owned.note(installer.engine, name, manifest.digest)


def _with_own_files(order: Order, installer: Installer, check: bool) -> tuple[Catalogue, dict[str, Pin], list[str]]:
    """The catalogue with the user's own files in it, their pins, and names that cannot be judged without fetching."""
    models: dict[str, Model] = dict(order.catalogue.models)
    pins: dict[str, Pin] = {}
    postponed: list[str] = []
    for entry in [] if isinstance(order.models, str) else order.models:
        if isinstance(entry, str):
            continue
        try:
            own = parse_entry(entry)
            if own.name in order.catalogue.models:
                raise InstallError(
                    f"gridtie_models: {own.name} is a name of the catalogue; give your own file another one"
                )
            path = find_file(own, installer.stores)
            if path is None and check and (own.remote or installer.seeded(own.digest)):
                postponed.append(own.name)
                continue
            if path is None and installer.take_over(own.digest, order.means):
                path = installer.store.blob(own.digest)
            path = path or fetch(own, order.means)
            check_engine(own, path, order.engine)
            models[own.name] = describe(own, path)
        except (CatalogueError, GgufError, ObtainError, FetchError) as error:
            raise InstallError(str(error)) from error
        pins[own.name] = own.pin
    return replace(order.catalogue, models=models), pins, postponed


def _request(order: Order, postponed: Sequence[str]) -> Request:
    names: Union[str, list[str]]
    if isinstance(order.models, str):
        names = order.models
        if names != AUTO:
            raise InstallError(f"gridtie_models is {names!r}; wanted: auto, or a list of names")
    else:
        listed = [entry if isinstance(entry, str) else str(entry["name"]) for entry in order.models]
        names = [name for name in listed if name not in postponed]
    return Request(
        names,
        order.engine,
        order.parallel,
        order.kv_type,
        order.flash_attention,
        order.max_download,
        order.purposes,
        order.engine_version,
        order.stock,
    )


def _resolve(
    order: Order, request: Request, catalogue: Catalogue, pins: Mapping[str, Pin], installer: Installer
) -> Resolved:
    kept = None if order.choose_again else remembered(order.directories.resolved, request, catalogue)
    if kept:
        return kept
    order.say("looking at memory and sources to choose models")
    present = frozenset(
        name
        for name, model in catalogue.models.items()
        if installer.store.read(own_name(name)) is not None or installer.at_hand(model, pins.get(name, Pin()))
    )
    unreachable = order.probe()
    pinned = pinned_models(catalogue, pins, unreachable) if order.require_pins else None
    known = Known(order.speeds(), chosen_before(order.directories.resolved))
    return resolve(catalogue, request, order.budget(), unreachable, present, pinned, known)


def _served(
    installer: Installer, wanted: Sequence[Wanted], resolved: Resolved, request: Request, directories: Directories
) -> dict[str, Any]:
    models = {item.own_name: item.context for item in wanted if installer.find(item)}
    kept = read_json(directories.resolved)
    decision = kept if kept and resolved.remembered else {}
    state: dict[str, Any] = {"models": models, "decision": decision.get("models")}
    if request.engine == "embedded":
        state["embedded.json"] = read_json(directories.embedded_list)
    return state


def _intended(
    wanted: Sequence[Wanted], resolved: Resolved, request: Request, listing: Optional[list[dict[str, Any]]]
) -> dict[str, Any]:
    models = {item.own_name: item.context for item in wanted}
    state: dict[str, Any] = {"models": models, "decision": resolved.document(request)["models"]}
    if listing is not None:
        state["embedded.json"] = listing
    return state


def _described(
    order: Order,
    installer: Installer,
    scores: Mapping[str, float],
    request: Request,
    index: int,
    wanted: Wanted,
    row: tuple[str, int, str, str],
    found: Optional[Manifest],
) -> dict[str, Any]:
    """One model as station.json holds it. Before it is there, size and need are the catalogue's."""
    model = wanted.model
    settings = Settings(wanted.context, order.parallel, order.kv_type, order.flash_attention, order.engine)
    embedded = order.engine == "embedded"
    return {
        "name": wanted.own_name,
        "catalogue": model.name,
        "dialect": "openai" if embedded else "ollama",
        "url": f"http://engine:{EMBEDDED_PORT + index}" if embedded else order.ollama_url,
        "context": wanted.context,
        "parallel": order.parallel,
        "digest": (found.model.digest if embedded else found.digest) if found else "",
        "quantisation": _quantisation(model, installer, found),
        "source": wanted.source.kind,
        "capabilities": list(model.capabilities),
        "purposes": served_purposes(model, request.wishes({}, frozenset())),
        "score": scores.get(model.name),
        "bytes": found.model.size if found else model.file.bytes,
        "predicted_bytes": _predicted(model, installer, found, settings),
        "why": row[3],
        "file": f"{order.engine}/blobs/{found.model.digest.replace(':', '-')}" if found else "",
    }


def _quantisation(model: Model, installer: Installer, found: Optional[Manifest]) -> str:
    """As the file says; where it does not, or is not there yet, as the catalogue does."""
    told = installer.header(found).quantisation if found else "unknown"
    return model.file.quantisation if told == "unknown" else told


def _predicted(model: Model, installer: Installer, found: Optional[Manifest], settings: Settings) -> Optional[int]:
    """The memory of a model; None where nothing is known of its architecture. Its file is the authority: the
    catalogue's figures were good enough to choose by.
    """
    try:
        if found is None:
            return need(model.shape, model.file.tensors, settings).total
        needed = need_of_file(installer.header(found), settings)
        return replace(needed, projector=found.projector_bytes).total
    except UnknownArchitecture:
        return None


def _embedded(model: Mapping[str, Any]) -> dict[str, Any]:
    entry = {
        "name": model["name"],
        "path": model["file"],
        "port": int(str(model["url"]).rpartition(":")[2]),
        "context": model["context"],
        "parallel": model["parallel"],
    }
    return {**entry, "embedding": True} if "embeddings" in model["capabilities"] else entry


def _write(
    directories: Directories, request: Request, resolved: Resolved, listing: Optional[list[dict[str, Any]]]
) -> None:
    if not resolved.remembered:
        remember(directories.resolved, request, resolved)
    if listing is not None and read_json(directories.embedded_list) != listing:
        write_json(directories.embedded_list, listing)
        directories.store("embedded").hand_over(directories.embedded_list)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One run at a time: two would continue the same partial file. The lock ends with the process, also killed."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InstallError(
                f"another run is installing models ({path} is held); wait for it and run again"
            ) from None
        yield
