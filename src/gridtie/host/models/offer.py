"""What somebody asks to add, looked at before anything of it is fetched: what it is, where it lies, whether it fits."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Mapping, Optional

from ..catalogue import Catalogue, CatalogueError, GgufSource, Model, OllamaSource, Pin, name_fault
from ..fit.choice import CannotChoose, choose_named
from ..fit.header import GgufError
from ..fit.judge import Verdict
from ..fit.placement import Budget
from .added import Added, read_added
from .download import FetchError
from .entries import Entry, parse_entries, unmeant
from .named import CannotTell, Named, find, is_path, of_file
from .order import Order
from .own_files import check_engine
from .resolve import AUTO, Request, is_pinned, merged_pins
from .sources import ObtainError, library_manifest
from .store import StoreError, own_name

# A look-up is watched by a person: a server that does not answer twice is said not to.
_TRIES = 2


class Refused(Exception):
    """It cannot be added; the message says what was found and what to do, one reason a line."""


@dataclass(frozen=True)
class Asked:
    """What was typed. `context` is in tokens, 0 where the station decides; `name` under which it is to be served, ""
    where its own will do; `sha256` what a file, or a library's manifest, is held to, where somebody knows it. `token`
    is for Hugging Face, `hub` its mirror.
    """

    text: str
    by: str
    since: str
    context: int = 0
    name: str = ""
    sha256: str = ""
    token: str = ""
    hub: str = ""


@dataclass(frozen=True)
class Offer:
    """What would be added, and what was found about it in this machine's memory."""

    added: Added
    model: Model
    verdict: Verdict


def look_at(asked: Asked, order: Order, budget: Budget, before: Mapping[str, int]) -> Offer:
    """Raises Refused. `before` has the contexts of what the station serves, by name in the catalogue."""
    entry, model, pin = _of_catalogue(asked, order) or _here(asked, order) or _elsewhere(asked, order)
    _refuse_declared(entry, order)
    unreachable = {} if entry.own else order.probe()
    request = Request(
        [model.name], order.engine, order.parallel, order.kv_type, order.flash_attention, 0, order.purposes,
        order.engine_version, order.stock,
    )  # fmt: skip
    wishes = replace(request.wishes(unreachable, frozenset(before)), together=False)
    contexts = {model.name: entry.context} if entry.context else {}
    try:
        verdict = choose_named(Catalogue({model.name: model}), [model.name], budget, wishes, contexts).chosen[0]
    except CannotChoose as error:
        # What is advised there is for an inventory.
        said = re.sub(r"gridtie_models: \[\{name: \S+, context: (\d+)\}\]", r"--context \1", str(error))
        raise Refused(said) from None
    if before.get(model.name) == verdict.context:
        raise Refused(
            f"{model.name} is here already, with {verdict.context} tokens of context; --context asks for more"
        )
    source = next((each for each in model.sources if each.kind not in unreachable), model.sources[0])
    _refuse_unpinned(entry, order, is_pinned(source, pin))
    added = Added(replace(entry, context=verdict.context), source.kind, asked.by, asked.since, pin)
    return Offer(added, model, replace(verdict, why=verdict.why.replace("named", "fits", 1)))


def served_name(named: Named) -> str:
    """What a model is called here unless somebody says otherwise: as the library calls it, or as its file is called.

    Ollama's own namespaces become a part of the name: `some/fable:12b` is `some-fable:12b`.
    """
    if isinstance(named.source, OllamaSource):
        return named.source.name.replace("/", "-")
    if found := re.fullmatch(r"(?:https?://)?[\w.]+/[\w.-]+/([\w.-]+?)(?:-GGUF)?:([\w.-]+)", named.name, re.IGNORECASE):
        return f"{found[1]}:{found[2]}".lower()
    stem = re.sub(r"[^a-z0-9._-]+", "-", Path(named.source.location.partition("?")[0]).stem.lower()).strip("-._")
    return f"{stem[:80] or 'model'}:latest"


def _of_catalogue(asked: Asked, order: Order) -> Optional[tuple[Entry, Model, Pin]]:
    models = order.catalogue.models
    text = asked.text.strip()
    model = models.get(text) or models.get(f"{text}:latest")
    if model is None:
        return None
    if asked.name:
        raise Refused(f"{model.name} is a name of the catalogue, and is served under it: leave --name out")
    pin = merged_pins(order.lock, order.learned).get(model.name, Pin())
    return Entry(model.name, asked.context), model, pin


def _here(asked: Asked, order: Order) -> Optional[tuple[Entry, Model, Pin]]:
    """A model of one's own that was added before, by the name under which it is served: with another context."""
    known = next((each for each in read_added(order.directories.added) if each.name == asked.text.strip()), None)
    store = order.directories.store(order.engine)
    manifest = store.read(own_name(known.name)) if known and known.entry.own else None
    if known is None or manifest is None:
        return None
    entry = replace(known.entry, context=asked.context or known.entry.context)
    try:
        model = of_file(entry.name, store.blob(manifest.model.digest)).as_model(order.build)
    except CannotTell as error:
        raise Refused(str(error)) from None
    source = OllamaSource(entry.ollama) if entry.ollama else GgufSource(entry.gguf)
    return entry, replace(model, sources=(source,)), entry.pin


def _elsewhere(asked: Asked, order: Order) -> tuple[Entry, Model, Pin]:
    means = replace(order.means, fetcher=replace(order.means.fetcher, tries=_TRIES))
    try:
        named = find(asked.text, means, asked.token, asked.hub)
        model = named.as_model(order.build)
        name = asked.name or served_name(named)
        if fault := name_fault(name):
            raise Refused(f"{fault}; give it another one with --name")
        if isinstance(named.source, OllamaSource):
            manifest = library_manifest(named.source.name, asked.sha256, means).digest.partition(":")[2]
            entry = Entry(name, asked.context, ollama=named.source.name, manifest=manifest)
        else:
            entry = Entry(name, asked.context, gguf=_location(named.source), sha256=asked.sha256 or named.sha256)
        check_engine(entry, named.header, order.engine)
    except CannotTell as error:
        raise Refused(f"{error}{_nearest(asked.text, order)}") from None
    except (GgufError, FetchError, ObtainError, StoreError) as error:
        raise Refused(" ".join(str(error).split())) from None
    if fault := unmeant(entry, order.catalogue):
        raise Refused(f"{fault} with --name")
    if asked.sha256 and named.sha256 and entry.gguf and asked.sha256 != named.sha256:
        raise Refused(f"{named.name} has sha256 {named.sha256}, wanted {asked.sha256}")
    return entry, replace(model, name=name), entry.pin


def _location(source: GgufSource) -> str:
    """A later run, and root, may stand in another directory."""
    remote = source.location.startswith(("http://", "https://"))
    return source.location if remote else str(Path(source.location).resolve())


def _nearest(text: str, order: Order) -> str:
    """Names of the catalogue that are written alike, where a name was typed."""
    if is_path(text) or "/" in text:
        return ""
    try:
        order.catalogue.find(text)
    except KeyError as error:
        return f"; {error.args[0]}"
    return ""


def _refuse_declared(entry: Entry, order: Order) -> None:
    """What the inventory declares is changed there, so that all of its hosts stay alike."""
    try:
        declared = [] if order.models == AUTO else parse_entries(list(order.models))
    except CatalogueError as error:
        raise Refused(str(error)) from None
    same = next((each for each in declared if each.name == entry.name), None)
    if same is None:
        return
    if same.context or same.own or not entry.context:
        said = f" with {same.context} tokens of context" if same.context else ""
        raise Refused(f"{entry.name} is declared by gridtie_models{said}: change it in the inventory, and `make site`")


def _refuse_unpinned(entry: Entry, order: Order, pinned: bool) -> None:
    if order.require_pins and not pinned:
        what = "the digest of its manifest" if entry.ollama else "its sha256"
        how = f"give {what} with --sha256" if entry.own else "fill the inventory's lock (`make pins`)"
        raise Refused(f"{entry.name}: gridtie_pins is require, and no digest is known for it: {how}")
