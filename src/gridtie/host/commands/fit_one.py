"""`gridtie fit MODEL`: one model in full, by whatever name somebody has for it."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Mapping, Optional

from gridtie.host.catalogue import Catalogue
from gridtie.host.command import docker_at
from gridtie.host.fit.choice import Choice
from gridtie.host.fit.explain import document, explanation, fits
from gridtie.host.fit.judge import Verdict, Wishes, judge
from gridtie.host.fit.memory import GIB, Need
from gridtie.host.fit.placement import Budget
from gridtie.host.fit.purposes import PURPOSES
from gridtie.host.models.download import Fetcher
from gridtie.host.models.dry_run import CannotLoad, NoAnswer, agrees, disagreement
from gridtie.host.models.engine_server import NotAtHand, find_server
from gridtie.host.models.hugging_face import read_token
from gridtie.host.models.named import CannotTell, Named, find, of_file
from gridtie.host.models.sources import LIBRARY, Means
from gridtie.host.paths import StationError, state_dir

# A person waits for it: one that cannot be reached is told of after some seconds.
_TRIES = 3


@dataclass(frozen=True)
class Asked:
    """What was asked: a name, for which purpose, in which form, and with which sources. `own`: of this machine."""

    name: str
    purpose: Optional[str] = None
    as_json: bool = False
    registry: Optional[str] = None
    token_file: Optional[Path] = None
    own: bool = True


@dataclass(frozen=True)
class EngineSays:
    """What the engine `name` itself says of a model: its figure, or `cannot_load` with its reason, or `silent` with
    why it could not be asked.
    """

    name: str = ""
    need: Optional[Need] = None
    cannot_load: str = ""
    silent: str = ""
    difference: str = ""

    def lines(self) -> list[str]:
        """For people."""
        if self.cannot_load:
            return [f"{self.name} cannot load it: {self.cannot_load}"]
        if self.need is None:
            return [f"not asked: {self.silent}"] if self.silent else []
        figure = f"{self.name} would reserve {self.need.total / GIB:.2f} GiB (its own dry run)"
        return [figure, *([f"WARNING: {self.difference}"] if self.difference else [])]

    def document(self) -> Optional[dict[str, Any]]:
        """For programs: bytes."""
        if not self.name:
            return None
        need = self.need
        parts = need and {"weights": need.weights, "cache": need.kv, "state": need.state, "compute": need.compute}
        return {
            "name": self.name,
            "need": parts and {**parts, "total": need.total if need else 0},
            "cannot_load": self.cannot_load or None,
            "not_asked": self.silent or None,
            "warning": self.difference or None,
        }


def verdict_on(name: str, choice: Choice) -> Verdict:
    """The verdict on one model of a choice."""
    return next(verdict for verdict in choice.verdicts if verdict.model.name == name)


def tell_one(
    asked: Asked,
    verdict: Optional[Verdict],
    catalogue: Catalogue,
    budget: Budget,
    wishes: Wishes,
    station: Mapping[str, Any],
) -> int:
    """Print all that is known of one model: `verdict`, where the catalogue has it. 0: it fits, and the engine can load
    it where that could be asked. Raises StationError.
    """
    found: Optional[Named]
    if verdict is None:
        found = _found(asked, catalogue, station)
        verdict = _judged(found, asked, budget, wishes)
    else:
        found = _installed(asked, station)
    said = _engine_says(found, verdict, wishes, station) if found and asked.own and station else EngineSays()
    if said.cannot_load:
        verdict = replace(verdict, refusals=(f"{said.name} cannot load it: {said.cannot_load}", *verdict.refusals))
    if asked.as_json:
        sys.stdout.write(json.dumps({**document(verdict, budget), "engine": said.document()}, indent=2) + "\n")
    else:
        sys.stdout.write(explanation(verdict, budget, said.lines()))
    return 0 if fits(verdict, wishes) and not said.cannot_load else 1


def _judged(found: Named, asked: Asked, budget: Budget, wishes: Wishes) -> Verdict:
    try:
        return judge(
            found.as_model(wishes.settings.build), budget, wishes, PURPOSES[asked.purpose] if asked.purpose else None
        )
    except CannotTell as error:
        raise StationError(str(error)) from None


def _found(asked: Asked, catalogue: Catalogue, station: Mapping[str, Any]) -> Named:
    """The model behind a name that the catalogue does not have."""
    try:
        if path := _file_of_the_station(asked.name, station) if asked.own else None:
            return of_file(asked.name, path)
        means = Means(Path(tempfile.gettempdir()), _registry(asked, station), fetcher_of(station))
        return find(asked.name, means, read_token(asked.token_file), os.environ.get("HF_ENDPOINT", ""))
    except CannotTell as error:
        raise StationError(f"{error}{_near(asked.name, catalogue)}") from None


def _installed(asked: Asked, station: Mapping[str, Any]) -> Optional[Named]:
    """The file of a model of the catalogue, where the station has it and this user may read it."""
    path = _file_of_the_station(asked.name, station) if asked.own else None
    try:
        return of_file(asked.name, path) if path else None
    except CannotTell:
        return None


def _near(name: str, catalogue: Catalogue) -> str:
    """The catalogue's nearest names, for one that may be misspelt."""
    if "/" in name:
        return ""
    try:
        catalogue.find(name)
    except KeyError as error:
        return f"; {error.args[0]}"
    return ""


def _file_of_the_station(name: str, station: Mapping[str, Any]) -> Optional[Path]:
    """The file of a model that the station has, which may be a person's own."""
    engine = station.get("engine", {})
    root = Path(engine.get("store") or state_dir(os.environ) / "models" / str(engine.get("kind", "ollama")))
    for model in station.get("models", []):
        with suppress(AttributeError):
            if name in (model.get("catalogue"), model.get("name")) and model.get("file"):
                return root / "blobs" / Path(str(model["file"])).name
    return None


def _registry(asked: Asked, station: Mapping[str, Any]) -> str:
    return asked.registry or str(station.get("sources", {}).get("registry") or LIBRARY)


def fetcher_of(station: Mapping[str, Any]) -> Fetcher:
    """What downloads for a person who waits, with the station's own authorities."""
    bundle = str(station.get("sources", {}).get("ca_bundle") or "")
    return Fetcher(bundle if Path(bundle).is_file() else "", tries=_TRIES)


def _engine_says(found: Named, verdict: Verdict, wishes: Wishes, station: Mapping[str, Any]) -> EngineSays:
    """Ask the engine of this machine, where it can be asked."""
    engine = station.get("engine", {})
    name = f"{engine.get('kind', 'the engine')} {engine.get('version', '')}".strip()
    docker = docker_at(station.get("expected", {}).get("docker_host"))
    settings = replace(wishes.settings, context=verdict.context or _LEAST_CONTEXT)
    try:
        server = find_server(engine, state_dir(os.environ) / "models", docker)
        need = server.ask(found.raw, found.header, settings)
    except CannotLoad as reason:
        return EngineSays(name, cannot_load=str(reason))
    except (NotAtHand, NoAnswer) as reason:
        return EngineSays(name, silent=str(reason))
    if verdict.need is None or agrees(verdict.need, need):
        return EngineSays(name, need)
    return EngineSays(name, need, difference=disagreement(verdict.need, need, found.header))


# Of a model that nothing else is known of.
_LEAST_CONTEXT = 4096
