"""What was asked for, turned into models, contexts and sources, and remembered.

The first run decides; its answer is kept and stays until the request changes, so that a second run neither measures
nor probes anything, and a station does not change its models because a browser took some memory.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence, Union

from ..catalogue import Catalogue, Model, OllamaSource, Pin, Source
from ..fit.agreed import Agreement, Pick, PicksError, choose_agreed, picks_in
from ..fit.builds import build_of
from ..fit.choice import CannotChoose, Choice, choose_best, choose_named, offered, unasked_download
from ..fit.judge import Wishes
from ..fit.memory import Settings
from ..fit.placement import Budget
from ..fit.purposes import USUAL
from ..json_file import read_table, write_json
from .install import InstallError, Wanted

AUTO = "auto"

# Of one model: name, context, kind of source, reason.
Row = tuple[str, int, str, str]


@dataclass(frozen=True)
class Known:
    """What this station knows of models: tokens a second that they had here, which were chosen before, and for which
    purposes they showed themselves unfit, with the reason.
    """

    speeds: Mapping[str, float] = field(default_factory=dict)
    chosen: frozenset[str] = frozenset()
    unfit: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """What a station asks for: `auto` or names, for one engine with these settings.

    `max_download` is in bytes; 0 is no limit, None what the machine's graphics have room for. `agreed` is what `auto`
    means where a group of machines has one choice.
    """

    models: Union[str, Sequence[str]]
    engine: str
    parallel: int = 1
    kv_type: str = "f16"
    flash_attention: bool = True
    max_download: Optional[int] = 0
    purposes: Sequence[str] = USUAL
    engine_version: str = ""
    stock: bool = False
    # Tokens, of models that were named with a context.
    contexts: Mapping[str, int] = field(default_factory=dict)
    agreed: Optional[Agreement] = None

    def document(self) -> dict[str, Any]:
        """What the remembered answer is valid for. Download limit and engine version only guard a new choice."""
        document: dict[str, Any] = {
            "models": self.models if self.models == AUTO else list(self.models),
            "engine": self.engine,
            "parallel": self.parallel,
            "kv_type": self.kv_type,
            "flash_attention": self.flash_attention,
        }
        # Only where they say something: what stations remember from before there were such wishes stays valid.
        unusual = self.models == AUTO and tuple(self.purposes) != USUAL
        if unusual:
            document["purposes"] = list(self.purposes)
        if self.contexts:
            document["contexts"] = dict(self.contexts)
        if self.agreed and self.models == AUTO:
            document["agreed"] = [pick.document() for pick in self.agreed.picks]
        return document

    def wishes(
        self,
        unreachable: Mapping[str, str],
        present: frozenset[str],
        pinned: Optional[frozenset[str]] = None,
        known: Known = Known(),
    ) -> Wishes:
        build = build_of(self.engine, self.engine_version, self.stock)
        settings = Settings(0, self.parallel, self.kv_type, self.flash_attention, self.engine, build)
        return Wishes(
            settings=settings,
            max_download=self.max_download or 0,
            unreachable=unreachable,
            present=present,
            together=self.engine == "embedded",
            purposes=tuple(self.purposes),
            pinned=pinned,
            engine_version=self.engine_version,
            stock=self.stock or self.engine == "embedded",
            measured=known.speeds,
            kept=known.chosen,
            unfit=known.unfit,
        )


@dataclass(frozen=True)
class Resolved:
    """Name, context, kind of source and reason of each model; `others` says why the rest was not taken."""

    models: tuple[Row, ...]
    others: Mapping[str, str]
    remembered: bool = False

    def document(self, request: Request) -> dict[str, Any]:
        rows = [{"name": n, "context": c, "source": s, "why": w} for n, c, s, w in self.models]
        return {"schema": 1, "request": request.document(), "models": rows, "others": dict(self.others)}


def remembered(path: Path, request: Request, catalogue: Catalogue) -> Optional[Resolved]:
    """The kept answer to the same request, None where there is none or it names a model that is no longer known."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["schema"] != 1 or document["request"] != request.document():
            return None
        rows = tuple((m["name"], int(m["context"]), m["source"], m["why"]) for m in document["models"])
        others = dict(document["others"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    for name, _, kind, _ in rows:
        model = catalogue.models.get(name)
        if model is None or all(source.kind != kind for source in model.sources):
            return None
    return Resolved(rows, others, remembered=True)


def chosen_before(path: Path) -> frozenset[str]:
    """The names of the kept answer, whatever it was that was asked for; none where there is none."""
    try:
        return frozenset(str(model["name"]) for model in read_table(path)["models"])
    except (KeyError, TypeError):
        return frozenset()


@dataclass(frozen=True)
class Former:
    """What `auto` gave a station: models with their contexts; whether its group was told, or it chose for itself."""

    models: Mapping[str, int]
    purposes: tuple[str, ...]
    told: bool


def former_answer(path: Path) -> Optional[Former]:
    """The kept answer to `auto`, None where there is none: names were asked for, nothing was, or it is damaged."""
    document = read_table(path)
    try:
        request = document["request"]
        if request["models"] != AUTO:
            return None
        models = {str(model["name"]): int(model["context"]) for model in document["models"]}
        return Former(models, tuple(request.get("purposes", USUAL)), "agreed" in request)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def agreed_before(path: Path) -> tuple[Pick, ...]:
    """What the kept answer was told to take; empty where it chose for itself, or there is none."""
    try:
        return picks_in(read_table(path)["request"].get("agreed", ()))
    except (KeyError, AttributeError, PicksError):
        return ()


def remember(path: Path, request: Request, resolved: Resolved) -> None:
    write_json(path, resolved.document(request))


def resolve(
    catalogue: Catalogue,
    request: Request,
    budget: Budget,
    unreachable: Mapping[str, str],
    present: frozenset[str],
    pinned: Optional[frozenset[str]] = None,
    known: Known = Known(),
) -> Resolved:
    """Choose, among those in `pinned` where it is given. Raises InstallError with every reason why nothing can be."""
    wishes = request.wishes(unreachable, present, pinned, known)
    if request.max_download is None:
        wishes = replace(wishes, max_download=unasked_download(budget))
    try:
        if request.agreed and request.models == AUTO:
            choice = choose_agreed(catalogue, request.agreed.picks, budget, wishes, request.agreed.why)
        elif isinstance(request.models, str):
            choice = offered(choose_best(catalogue, budget, wishes), catalogue, budget, wishes)
        else:
            choice = choose_named(catalogue, request.models, budget, wishes, request.contexts)
    except CannotChoose as error:
        raise InstallError(str(error)) from error
    rows = tuple((v.model.name, v.context, _source(v.model, unreachable).kind, v.why) for v in choice.chosen)
    return Resolved(rows, _others(choice))


def wanted_models(resolved: Resolved, catalogue: Catalogue, pins: Mapping[str, Pin], strict: bool) -> list[Wanted]:
    """The models with their sources and pins. With `strict`, one without a pin is an InstallError."""
    wanted, missing = [], []
    for name, context, kind, _ in resolved.models:
        model = catalogue.models[name]
        source = next(source for source in model.sources if source.kind == kind)
        pin = pins.get(name, Pin())
        if strict and not is_pinned(source, pin):
            missing.append(
                f"{name}: gridtie_pins is require, and no digest is known for its source ({kind}): `make pins` asks"
            )
        wanted.append(Wanted(model, context, source, pin))
    if missing:
        raise InstallError("\n".join(missing))
    return wanted


def pinned_models(catalogue: Catalogue, pins: Mapping[str, Pin], unreachable: Mapping[str, str]) -> frozenset[str]:
    """Those whose digest is known at the source that they would be taken from."""
    return frozenset(
        name
        for name, model in catalogue.models.items()
        if model.sources and is_pinned(_source(model, unreachable), pins.get(name, Pin()))
    )


def is_pinned(source: Source, pin: Pin) -> bool:
    """Whether the pin says what this source must serve."""
    return bool(pin.manifest if isinstance(source, OllamaSource) else pin.gguf)


def merged_pins(lock: Mapping[str, Pin], learned: Mapping[str, Pin]) -> dict[str, Pin]:
    """The project's pins, and what was learned where they say nothing."""
    merged = dict(learned)
    for name, pin in lock.items():
        own = merged.get(name, Pin())
        merged[name] = Pin(pin.gguf or own.gguf, pin.package or own.package, pin.manifest or own.manifest)
    return merged


def _source(model: Model, unreachable: Mapping[str, str]) -> Source:
    return next((source for source in model.sources if source.kind not in unreachable), model.sources[0])


def _others(choice: Choice) -> dict[str, str]:
    rest = (verdict for verdict in choice.verdicts if not verdict.chosen)
    return {v.model.name: v.why or "; ".join(v.refusals) or "fits, but was not asked for" for v in rest}
