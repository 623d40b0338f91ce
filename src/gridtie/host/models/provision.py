"""Provisions a station's models: resolve, compare with what is there, install what is missing, describe the result.

The Ansible module is a thin shell around `provision`; so the whole of it can be tested and used without Ansible.
"""

from __future__ import annotations

import fcntl
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Collection, Iterator, Mapping, Optional, Sequence

from ..acceptance.record import Acceptances
from ..catalogue import Catalogue, CatalogueError, Model, Pin
from ..fit.agreed import Agreement
from ..fit.header import GgufError, Header
from ..fit.memory import need
from ..fit.score import standings_of
from ..json_file import read_json, write_json
from ..router import Unreachable
from .added import Added, beside, changed, held_to, outranked, read_added, write_added
from .by_hand import check_fits, hashed, lost, names_of, put_back
from .described import described, embedded_entry
from .download import FetchError
from .entries import LEAST_CONTEXT, Entry, parse_entries, unmeant
from .install import Installer, InstallError, Wanted, clear_scratch
from .install_all import ask_digests, check_disk, install_all
from .last_word import LastWord
from .order import ENGINES, Directories, Order, settings_of
from .own_files import check_engine, describe, fetch, find_file, read_whole
from .owned import OwnedModels
from .prune import Prunable, prunable, prune
from .remote_header import read_remote_header
from .resolve import (
    AUTO,
    Known,
    Request,
    Resolved,
    agreed_before,
    chosen_before,
    merged_pins,
    pinned_models,
    remember,
    remembered,
    resolve,
    wanted_models,
)
from .seed import DirectorySeed, Seed, SeedError, open_seed
from .shown import accepted, proved, with_acceptance
from .sources import ObtainError
from .store import NAMESPACE, Checked, Store, StoreError, own_name
from .unload import unload


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
        clear_scratch(order.directories.incoming, store)
        if not order.add and not order.remove:
            return _provision(order, check)
        names = [own_name(each.name) for each in order.add]
        files = [order.directories.added, order.directories.embedded_list]
        with put_back(store, order.directories.owned, order.engine, names, files):
            done = _provision(order, check)
            order.serve(done.models)
            return done


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
    entries = _entries(order)
    earlier = read_added(directories.added)
    more = [
        hashed(each, settings_of(order, each.entry.context or LEAST_CONTEXT), order.server, order.means, installer)
        for each in order.add
    ]
    added = changed(earlier, more, order.remove)
    catalogue, own_pins, postponed = _with_own(order, entries, added, installer, check)
    remarks += [f"{name}: its file is fetched first, then it is known what it needs" for name in postponed]
    remarks += outranked(entries, added)
    request = _request(order, entries, postponed)
    pins = {**{each.name: each.pin for each in added}, **merged_pins(order.lock, order.learned), **own_pins}
    resolved = _resolve(order, request, catalogue, pins, installer)
    known = [each for each in added if each.name in catalogue.models]
    remarks += lost(added, {*catalogue.models, *postponed})
    _check_added(order, request, resolved, known, catalogue)
    served = replace(resolved, models=tuple(beside(resolved.models, entries, known)))
    wanted = wanted_models(served, catalogue, pins, order.require_pins)
    asked = {} if check else ask_digests(installer, wanted, order.means)
    if asked:
        order.agree(asked)
        pins.update(asked)
        wanted = wanted_models(served, catalogue, pins, order.require_pins)
    before = _served(installer, wanted, resolved, request, directories)
    named = f"{order.engine} {order.engine_version}".strip()
    words = LastWord(directories.asked, named, order.engine_identity or named, order.server, installer, order.means)
    settings = [(item, settings_of(order, item.context)) for item in wanted]
    if check:
        check_disk(installer.store, [installer.to_fetch(item, order.means, ask=False) for item in wanted])
        found = [installer.find(item) for item in wanted]
    else:
        words.ask(settings)
        found = list(install_all(installer, wanted, order.means, order.say))
        # What comes in a package has no header that could be read before.
        words.ask(settings)
        remarks += [*installer.remarks, *words.remarks]
    scores = {name: standing.score for name, standing in standings_of(order.catalogue).items()}
    models = [
        described(order, installer, words, scores, request, *each)
        for each in zip(range(len(wanted)), wanted, served.models, found)
    ]
    by_hand = {each.name: {"added": each.who} for each in known}
    for model in models:
        model.update(by_hand.get(str(model["catalogue"]), {}))
    keep = {name for item in wanted for name in item.store_names} | {own_name(each.name) for each in added}
    keep |= {own_name(name) for name in postponed}
    going = names_of([each for each in earlier if each.name in order.remove], order.catalogue)
    everything = {name for engine in ENGINES for name in owned.names(engine)}
    stay = keep if order.prune else everything - going | keep
    superfluous = _prunable(directories, owned, stay) if order.prune or order.remove else []
    remarks += [_told(each, check) for each in superfluous]
    listing = [embedded_entry(model) for model in models] if order.engine == "embedded" else None
    after = _intended(wanted, resolved, request, listing)
    if superfluous:
        before["superfluous"] = [name for each in superfluous for name in each.names]
        after["superfluous"] = []
    if not check:
        dropped = {own_name(name) for name in chosen_before(directories.resolved)} - keep
        _write(directories, request, resolved, listing)
        remarks += _unloaded(order, owned, keep, dropped)
        remarks += proved(order, installer, models)
        if order.add or order.remove:
            write_added(directories.added, [held_to(each, {**pins, **installer.learned}) for each in added])
        if superfluous or order.prune:
            _prune(superfluous, directories, owned, leftovers=order.prune)
        remarks += accepted(order, models)
    models = [with_acceptance(order, model) for model in models]
    return Provisioned(before, after, models, resolved.others, remarks, {**asked, **installer.learned})


def _seeds(order: Order, checked: Checked) -> list[Seed]:
    """What lies on this host already: the other engine's store, and what a person copied here."""
    others = [order.directories.store(engine) for engine in ENGINES if engine != order.engine]
    seeds: list[Seed] = [DirectorySeed(store, checked) for store in others]
    try:
        return [*seeds, open_seed(order.seed, checked)] if order.seed else seeds
    except (SeedError, OSError) as error:
        raise InstallError(f"gridtie_models_seed: {error}") from error


def _unloaded(order: Order, owned: OwnedModels, keep: Collection[str], dropped: Collection[str]) -> list[str]:
    """Remarks on what went, and on what was `dropped` and may stay. To be asked before a name is pruned."""
    undeclared = {name: digest for name, digest in owned.names(order.engine).items() if name not in keep}
    if order.engine != "ollama" or order.reach is None or not undeclared:
        return []
    try:
        held = unload(order.reach(order.ollama_url), undeclared)
    except Unreachable as error:
        names = ", ".join(sorted(dropped))
        why = f"{names} may be in the engine's memory until Ollama has kept it long enough (gridtie_ollama_keep_alive)"
        return [f"{why}: {error}"] if dropped else []
    return [f"no longer declared, unloaded from the engine: {', '.join(held)}"] if held else []


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


def _prune(found: Sequence[Prunable], directories: Directories, owned: OwnedModels, leftovers: bool = True) -> None:
    for each in found:
        prune(each, owned)
    # All that is wanted is there: what is left was begun for something else.
    for leftover in directories.incoming.glob("*") if leftovers else ():
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


def _entries(order: Order) -> list[Entry]:
    """What was asked for by name; nothing for `auto`."""
    if order.models == AUTO:
        return []
    if isinstance(order.models, str):
        raise InstallError(f"gridtie_models is {order.models!r}; wanted: auto, or a list of names")
    try:
        return parse_entries(order.models)
    except CatalogueError as error:
        raise InstallError(str(error)) from error


def _check_added(
    order: Order, request: Request, resolved: Resolved, added: Sequence[Added], catalogue: Catalogue
) -> None:
    """Whether what was added before still fits, where the rest is decided anew. Raises InstallError."""
    new = {each.name for each in order.add}
    before = [each for each in added if each.name not in new]
    if resolved.remembered or not before:
        return
    budget = order.budget()
    if order.engine == "embedded":
        # All of them are in memory at once.
        settings = settings_of(order, 0)
        taken = sum(
            need(model.shape, model.file.tensors, replace(settings, context=context)).total
            for model, context in ((catalogue.models[name], context) for name, context, *_ in resolved.models)
        )
        budget = replace(budget, available=max(0, budget.available - taken))
    check_fits(before, catalogue, budget, request.wishes({}, frozenset(each.name for each in before)))


def _with_own(
    order: Order, entries: Sequence[Entry], added: Sequence[Added], installer: Installer, check: bool
) -> tuple[Catalogue, dict[str, Pin], list[str]]:
    """The catalogue with the user's own models in it, their pins, and names that cannot be judged without fetching."""
    models: dict[str, Model] = dict(order.catalogue.models)
    pins: dict[str, Pin] = {}
    postponed: list[str] = []
    declared = {entry.name for entry in entries}
    own_models = [*entries, *(each.entry for each in added if each.name not in declared)]
    for own in (entry for entry in own_models if entry.own):
        # The catalogue may have come to know what was added by hand: that stays what it is.
        if own in entries and own.name in order.catalogue.models:
            raise InstallError(unmeant(own, order.catalogue))
        try:
            found = _looked_into(own, order, installer, check)
            if found is None:
                postponed.append(own.name)
                continue
            check_engine(own, found[0], order.engine)
            models[own.name] = describe(own, order.build, *found)
        except (CatalogueError, GgufError, ObtainError, FetchError, StoreError) as error:
            raise InstallError(str(error)) from error
        pins[own.name] = own.pin
    return replace(order.catalogue, models=models), pins, postponed


def _looked_into(own: Entry, order: Order, installer: Installer, check: bool) -> Optional[tuple[Header, int, int]]:
    """Header, size and projector's size of a model of the user's own; None where `check` forbids to ask for it."""
    if own.ollama:
        if check and not installer.library_at_hand(own.ollama, own.pin):
            return None
        return installer.library_header(own.ollama, own.pin, order.means)
    path = find_file(own, installer.stores)
    if path is None and check and (own.remote or installer.seeded(own.digest)):
        return None
    if path is None and installer.take_over(own.digest, order.means):
        path = installer.store.blob(own.digest)
    if path is None and own.remote:
        found = read_remote_header(own.gguf, order.means.fetcher, own.name)
        return found.header, found.bytes or found.header.file_bytes, 0
    return (*read_whole(path or fetch(own, order.means)), 0)


def _request(order: Order, entries: Sequence[Entry], postponed: Sequence[str]) -> Request:
    known = [entry for entry in entries if entry.name not in postponed]
    return Request(
        AUTO if order.models == AUTO else [entry.name for entry in known],
        order.engine,
        order.parallel,
        order.kv_type,
        order.flash_attention,
        order.max_download,
        order.purposes,
        order.engine_version,
        order.stock,
        {entry.name: entry.context for entry in known if entry.context},
        order.agreed,
    )


def _resolve(
    order: Order, request: Request, catalogue: Catalogue, pins: Mapping[str, Pin], installer: Installer
) -> Resolved:
    kept = None if order.choose_again else _kept(order.directories.resolved, request, catalogue)
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
    unfit = Acceptances(order.directories.accepted).unfit(order.engine, order.engine_version)
    known = Known(order.speeds(), chosen_before(order.directories.resolved), unfit)
    return resolve(catalogue, request, order.budget(), unreachable, present, pinned, known)


def _kept(path: Path, request: Request, catalogue: Catalogue) -> Optional[Resolved]:
    """The answer of an earlier run. What a station chose for itself stays, also where its group has a choice by now;
    and what it was told stays where nobody tells it anything.
    """
    kept = remembered(path, request, catalogue)
    if kept or request.models != AUTO:
        return kept
    told = Agreement("", agreed_before(path)) if request.agreed is None else None
    return remembered(path, replace(request, agreed=told), catalogue)


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
