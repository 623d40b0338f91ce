"""What speaks for and against one model: memory, speed, purpose, engine, source, licence. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Callable, Mapping, Optional, Sequence

from ..catalogue import Flag, Model, version
from .layers import layers_of_shape
from .memory import (
    CONTEXT_STEP,
    GIB,
    Need,
    Settings,
    check_cache,
    max_context,
    max_parallel,
    need_of,
    read_per_token,
)
from .offload import parts_of_layers
from .placement import Budget, Placement, best_placement, placement_with
from .purposes import CONTEXTS, PURPOSES, USUAL, Purpose
from .ranking import Standing

# A model that was chosen before is still fast enough at this share of what a new one needs: a figure that differs from
# run to run does not change a choice.
KEPT_SPEED = 0.8


@dataclass(frozen=True)
class Wishes:
    """What the station wants of a model.

    `contexts` and `least_speed` overrule what the purpose asks for. `unreachable` maps a kind of source (ollama,
    package, gguf) to the reason why it cannot be used from here; `present` names models that are already there and need
    no download. `together` counts chosen models as loaded at the same time (the embedded engine runs one server each;
    Ollama unloads what is idle). `purposes` are what `auto` chooses a model for, one each, the most important first.
    `partly` allows a model to lie partly in main memory. `pinned` are the models whose digests are known, where others
    may not be taken; None where they may. `engine_version` is "" where it is not known, `stock` whether the engine
    reads only what llama.cpp as published does. `max_download` is in bytes, 0 no limit. `measured` are tokens a second
    that models had on this machine, which count instead of an estimate; `kept` are the models that were chosen before.
    `unfit` has for a purpose the models that showed here that they are not for it, with what they showed.
    `gpu_layers` are the layers that shall lie on the cards, None as many as is best.
    """

    settings: Settings = field(default_factory=lambda: Settings(context=0))
    contexts: Optional[Sequence[int]] = None
    least_speed: Optional[float] = None
    max_download: int = 0
    unreachable: Mapping[str, str] = field(default_factory=dict)
    present: frozenset[str] = frozenset()
    together: bool = False
    purposes: Sequence[str] = USUAL
    partly: bool = False
    pinned: Optional[frozenset[str]] = None
    engine_version: str = ""
    stock: bool = False
    measured: Mapping[str, float] = field(default_factory=dict)
    kept: frozenset[str] = frozenset()
    unfit: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    gpu_layers: Optional[int] = None


@dataclass(frozen=True)
class Verdict:
    """What was found about one model. `refusals` is empty when `auto` may take it; `need` and `placement` are at
    `context`, and so is `max_parallel`. `speed` is an estimate unless it is said to be measured, None where it does
    not fit or nothing is known. `warnings` do not keep it from being taken; `purposes` are what it was chosen for.
    """

    model: Model
    context: int
    need: Optional[Need]
    max_context: int
    speed: Optional[float]
    refusals: tuple[str, ...]
    standing: Optional[Standing] = None
    warnings: tuple[str, ...] = ()
    max_parallel: int = 0
    placement: Optional[Placement] = None
    why: str = ""
    chosen: bool = False
    purposes: tuple[str, ...] = ()
    speed_measured: bool = False

    @property
    def score(self) -> Optional[float]:
        return self.standing.score if self.standing else None

    @property
    def score_estimated(self) -> bool:
        return self.standing is not None and self.standing.linked


def judge(
    model: Model, budget: Budget, wishes: Wishes, purpose: Optional[Purpose] = None, standing: Optional[Standing] = None
) -> Verdict:
    """Everything that speaks for or against one model in this budget; without a purpose only whether it can be had."""
    unfit = [*why_unfit(model, purpose, wishes), *why_flagged(model, purpose, wishes), *_engine(model, wishes)]
    warnings = tuple(_told(flag) for flag in _flags(model, purpose, wishes) if flag.warning)
    had = [*_source(model, wishes), *_pin(model, wishes), *_licence(model)]
    try:
        layers = layers_of_shape(model.shape, wishes.settings.build)
        check_cache(layers, wishes.settings)
    except ValueError as reason:
        return Verdict(model, 0, None, 0, None, (*unfit, str(reason), *had), standing, warnings)

    parts = parts_of_layers(layers, model.file.tensors)

    def needs(settings: Settings) -> Need:
        return replace(need_of(layers, model.file.tensors, settings), projector=model.file.projector)

    def placed(settings: Settings) -> Placement:
        if wishes.gpu_layers is not None:
            return placement_with(needs(settings), parts, budget, wishes.gpu_layers)
        return best_placement(needs(settings), parts, budget)

    def fitting(settings: Settings) -> bool:
        return lies_as_wanted(placed(settings), wishes)

    contexts = wishes.contexts or (purpose.contexts if purpose else CONTEXTS)
    settings = _settings(model, wishes.settings, contexts, fitting)
    needed, placement = needs(settings), placed(settings)
    largest = max_context(model.shape, settings, fitting)
    seconds = placement.seconds(read_per_token(model, settings))
    measured = wishes.measured.get(model.name) if placement.whole else None
    speed = measured or (1 / seconds if seconds else None)
    refusals = unfit + _fits(settings.context, needed, placement, largest, speed, budget, wishes)
    least = wishes.least_speed if wishes.least_speed is not None else purpose.least_speed if purpose else 0.0
    enough = least * KEPT_SPEED if model.name in wishes.kept else least
    if speed is not None and speed < enough and not refusals:
        said = "measured" if measured else "an estimated"
        refusals.append(f"too slow: {said} {speed:.1f} tokens/s, {least:g} are wanted")
    return Verdict(
        model=model,
        context=settings.context,
        need=needed,
        max_context=largest,
        speed=speed,
        refusals=tuple(refusals + had),
        standing=standing,
        warnings=warnings,
        max_parallel=max_parallel(settings, fitting),
        placement=placement,
        speed_measured=measured is not None,
    )


def lies_as_wanted(placement: Placement, wishes: Wishes) -> bool:
    """Whether it lies wholly where the engine keeps its models, or as somebody wants it laid."""
    return placement.whole or (wishes.gpu_layers is not None and placement.possible)


def beyond_training(name: str, context: int, trained: int) -> str:
    """What is said of a context that a model was not trained for; "" where it was."""
    if context <= trained:
        return ""
    return f"{name} was trained for {trained} tokens of context, found {context}: set its context to at most {trained}"


def served_purposes(model: Model, wishes: Wishes) -> list[str]:
    """What it is for on this engine: what the catalogue says, less what is known to go wrong there."""
    return [name for name in model.purposes if name not in PURPOSES or not why_flagged(model, PURPOSES[name], wishes)]


def _settings(model: Model, settings: Settings, contexts: Sequence[int], fits: Callable[[Settings], bool]) -> Settings:
    """With the first wanted context that fits, else the last one; never more than the model was trained for."""
    found = settings
    for wanted in contexts:
        found = replace(settings, context=min(wanted, model.shape.context_length))
        if fits(found):
            break
    return found


def why_unfit(model: Model, purpose: Optional[Purpose], wishes: Wishes) -> list[str]:
    """Why it does not serve the purpose at all."""
    if purpose is None:
        return []
    if purpose.name not in model.purposes:
        made = ", ".join(name for name in model.purposes if name in PURPOSES) or "tests"
        return [f"not for {purpose.name}: {_lacks(model, purpose) or f'it is for {made}'}"]
    # Who asks for less than a purpose wants has decided that it is enough.
    least = min(purpose.contexts[-1], *(wishes.contexts or purpose.contexts))
    trained = model.shape.context_length
    return [f"trained for {trained} tokens of context: {purpose.name} wants {least}"] if trained < least else []


def _lacks(model: Model, purpose: Purpose) -> str:
    return "" if purpose.capability in model.capabilities else f"it has no {purpose.capability.replace('-', ' ')}"


def _flags(model: Model, purpose: Optional[Purpose], wishes: Wishes) -> list[Flag]:
    return [flag for flag in model.flags if flag.purpose == (purpose.name if purpose else "") and _holds(flag, wishes)]


def _holds(flag: Flag, wishes: Wishes) -> bool:
    """Whether it is about this engine, in a version for which nobody says that it is mended."""
    if flag.engine and flag.engine != wishes.settings.engine:
        return False
    return not (flag.fixed_in and wishes.engine_version and version(wishes.engine_version) >= version(flag.fixed_in))


def why_flagged(model: Model, purpose: Optional[Purpose], wishes: Wishes) -> list[str]:
    """What speaks against it, by what is published and by what it has shown on this machine."""
    shown = wishes.unfit.get(purpose.name, {}).get(model.name) if purpose else None
    return [_told(flag) for flag in _flags(model, purpose, wishes) if not flag.warning] + ([shown] if shown else [])


def _told(flag: Flag) -> str:
    return f"{flag.reason} ({flag.source})"


def _engine(model: Model, wishes: Wishes) -> list[str]:
    """Why this engine cannot load it."""
    kind = wishes.settings.engine
    if wishes.stock and model.own_header and not _has_other_source(model):
        file = "the library's file" if model.sources and model.sources[0].kind == "ollama" else "this file"
        return [f"llama.cpp as published cannot read {file}: {model.own_header}"]
    least = model.engines.get(kind)
    if least and wishes.engine_version and version(wishes.engine_version) < version(least):
        return [f"needs {kind} {least} or newer: this is {wishes.engine_version}"]
    return []


def _has_other_source(model: Model) -> bool:
    """What is said of a header is about the library's file, or about the only one that there is."""
    return len(model.sources) > 1 and any(source.kind != "ollama" for source in model.sources)


def _fits(
    context: int,
    needed: Need,
    placement: Placement,
    largest: int,
    speed: Optional[float],
    budget: Budget,
    wishes: Wishes,
) -> list[str]:
    if lies_as_wanted(placement, wishes) or (wishes.partly and placement.possible):
        return []
    if wishes.gpu_layers is not None and placement.on_card:
        behind = budget.behind.available / GIB if budget.behind else 0.0
        return [
            f"does not fit: with {placement.layers} of {placement.of_layers} layers there, {budget.name} needs "
            f"{placement.on_card / GIB:.1f} GiB and main memory {placement.in_memory / GIB:.1f} GiB; "
            f"{budget.available / GIB:.1f} and {behind:.1f} GiB can be used"
        ]
    short = needed.total - budget.available
    lacks = f"{short / GIB:.1f} GiB too little" if short > 0 else "which is too little once every card has its buffers"
    hint = f"the largest context that fits is {largest}" if largest >= CONTEXT_STEP else "no context fits"
    text = (
        f"does not fit: {needed.total / GIB:.1f} GiB at {context} tokens of context, {budget.available / GIB:.1f} GiB "
        f"of {budget.name} can be used, {lacks}; {hint}"
    )
    if 0 < short <= budget.in_use:
        text += f"; other programs hold {budget.in_use / GIB:.1f} GiB"
    if placement.possible:
        pace = f"at an estimated {speed:.1f} tokens/s" if speed else "at an unknown speed"
        text += f"; {laid(placement)}, the rest on the processor, {pace}: name it in gridtie_models to have it so"
    return [text]


def laid(placement: Placement) -> str:
    """How much of a model would lie on the card."""
    if placement.without_experts:
        return f"{placement.layers} of {placement.of_layers} layers would, {placement.without_experts} without experts"
    return f"{placement.layers} of {placement.of_layers} layers would"


def _licence(model: Model) -> list[str]:
    return [] if model.license.commercial else [f"its licence ({model.license.id}) forbids commercial use"]


def _pin(model: Model, wishes: Wishes) -> list[str]:
    if wishes.pinned is None or model.name in wishes.pinned:
        return []
    return ["its digest is not known, and gridtie_pins is require"]


def _source(model: Model, wishes: Wishes) -> list[str]:
    if model.name in wishes.present:
        return []
    reasons = [wishes.unreachable[source.kind] for source in model.sources if source.kind in wishes.unreachable]
    if len(reasons) == len(model.sources):
        return [f"cannot be fetched here: {'; '.join(reasons) or 'the catalogue names no source'}"]
    if 0 < wishes.max_download < model.file.bytes:
        most, size = wishes.max_download / 1e9, model.file.bytes / 1e9
        return [f"too big a download: {size:.1f} GB, gridtie_models_max_download_gb is {most:.3g}"]
    return []
