"""Which models a station takes, and why not the others. Pure: the catalogue, the budget and the wishes decide.

`choose_best` is what `gridtie_models: auto` means; `choose_named` checks a list that a person wrote. Both judge every
model the same way (`judge`), so that `gridtie fit` shows exactly what the choice was made from.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Callable, Mapping, Optional, Sequence

from ..catalogue import Catalogue, Model
from .header import GgufError
from .layers import layers_of_shape
from .memory import CONTEXT_STEP, GIB, Need, Settings, largest_context, largest_parallel, need_of, read_per_token
from .offload import parts_of_layers
from .placement import Budget, Placement, best_placement

# Models are wanted with 32K tokens of context, which coding tools fill; 8K is the least that is useful to them.
CONTEXTS = (32768, 16384, 8192)

# A model with less than the wanted context is taken where its score is more than this many times as good as that of
# the best one with all of it (docs/decisions/0005-context-or-quality.md).
SHORT_CONTEXT_WORTH = 1.5

# What `auto` chooses a model for unless it is told otherwise, and what it can choose for. The probe is always there.
PURPOSES = ("code",)
CHOOSABLE = ("code", "chat")

# Below this a person waits for every line (docs/models.md).
LEAST_SPEED = 8.0

# Least-squares line from HumanEval to aider's edit benchmark over the models that have both figures; a test computes it
# anew from the catalogue. HumanEval is saturated, so this ranks coarsely and is always flagged as an estimate.
HUMANEVAL_SLOPE = 1.505
HUMANEVAL_OFFSET = -69.56


@dataclass(frozen=True)
class Wishes:
    """What the station wants of a model.

    `unreachable` maps a kind of source (ollama, package, gguf) to the reason why it cannot be used from here;
    `present` names models that are already there and need no download. `together` counts chosen models as loaded at
    the same time (the embedded engine runs one server each; Ollama unloads what is idle). `purposes` are what `auto`
    chooses a model for, one each, the most important first. `partly` allows a model to lie partly in main memory.
    `pinned` are the models whose digests are known, where others may not be taken; None where they may.
    """

    settings: Settings = field(default_factory=lambda: Settings(context=0))
    contexts: Sequence[int] = CONTEXTS
    least_speed: float = LEAST_SPEED
    max_download: int = 0
    unreachable: Mapping[str, str] = field(default_factory=dict)
    present: frozenset[str] = frozenset()
    together: bool = False
    purposes: Sequence[str] = PURPOSES
    partly: bool = False
    pinned: Optional[frozenset[str]] = None


@dataclass(frozen=True)
class Verdict:
    """What was found about one model. `refusals` is empty when `auto` may take it; `need` and `placement` are at
    `context`, and so is `largest_parallel`. `speed` is an estimate, None where it does not fit or nothing is known.
    """

    model: Model
    context: int
    need: Optional[Need]
    largest_context: int
    speed: Optional[float]
    score: Optional[float]
    score_estimated: bool
    refusals: tuple[str, ...]
    largest_parallel: int = 0
    placement: Optional[Placement] = None
    why: str = ""
    chosen: bool = False


@dataclass(frozen=True)
class Choice:
    """All verdicts, the chosen ones marked: in the catalogue's order, but models that a person named come first."""

    verdicts: tuple[Verdict, ...]

    @property
    def chosen(self) -> tuple[Verdict, ...]:
        return tuple(verdict for verdict in self.verdicts if verdict.chosen)


class CannotChoose(ValueError):
    """No choice can be made; the message lists every reason, one a line."""


def coding_score(model: Model) -> tuple[Optional[float], bool]:
    """The figure that ranks a model, in percent of aider's edit benchmark, and whether it is an estimate."""
    measured = model.score("aider-edit")
    if measured:
        return measured.value, False
    assigned = model.score("assigned")
    if assigned:
        return assigned.value, True
    humaneval = model.score("humaneval")
    if humaneval:
        return max(0.0, round(HUMANEVAL_SLOPE * humaneval.value + HUMANEVAL_OFFSET, 1)), True
    return None, False


def judge(model: Model, budget: Budget, wishes: Wishes) -> Verdict:
    """Everything that speaks for or against one model in this budget."""
    score, estimated = coding_score(model)
    try:
        layers = layers_of_shape(model.shape, wishes.settings.build)
    except GgufError as unknown:
        refusals = [str(unknown), *_source(model, wishes), *_pin(model, wishes), *_licence(model)]
        return Verdict(model, 0, None, 0, None, score, estimated, tuple(refusals))

    parts = parts_of_layers(layers, model.file.tensors)

    def placed(settings: Settings) -> Placement:
        return best_placement(need_of(layers, model.file.tensors, settings), parts, budget)

    settings = _settings(model, wishes, lambda wanted: placed(wanted).whole)
    needed, placement = need_of(layers, model.file.tensors, settings), placed(settings)
    largest = largest_context(model.shape, settings, lambda wanted: placed(wanted).whole)
    seconds = placement.seconds(read_per_token(model, settings))
    speed = 1 / seconds if seconds else None
    refusals = _fits(settings.context, needed, placement, largest, speed, budget, wishes)
    refusals += _source(model, wishes) + _pin(model, wishes)
    if speed is not None and speed < wishes.least_speed and not refusals:
        refusals.append(f"too slow: an estimated {speed:.1f} tokens/s, {wishes.least_speed:g} are wanted")
    return Verdict(
        model=model,
        context=settings.context,
        need=needed,
        largest_context=largest,
        speed=speed,
        score=score,
        score_estimated=estimated,
        refusals=tuple(refusals + _licence(model)),
        largest_parallel=largest_parallel(settings, lambda wanted: placed(wanted).whole),
        placement=placement,
    )


def choose_best(catalogue: Catalogue, budget: Budget, wishes: Wishes) -> Choice:
    """The best model that `auto` may take for each purpose, and the probe. Raises CannotChoose when not even the probe
    fits.
    """
    probe = next((model for model in catalogue.models.values() if "probe" in model.purposes), None)
    verdicts = {name: judge(model, budget, wishes) for name, model in catalogue.models.items()}
    if probe is None or verdicts[probe.name].refusals:
        reason = "; ".join(verdicts[probe.name].refusals) if probe else "the catalogue has none"
        raise CannotChoose(f"no model can be chosen: not even the probe ({probe.name if probe else '-'}): {reason}")
    left = _smaller(budget, verdicts[probe.name]) if wishes.together else budget
    chosen: dict[str, Verdict] = {}
    for purpose in wishes.purposes:
        rivals = [judge(model, left, wishes) for model in catalogue.models.values() if model.name != probe.name]
        usable = [rival for rival in rivals if not rival.refusals and purpose in rival.model.purposes]
        verdicts.update((rival.model.name, rival) for rival in rivals if rival.model.name not in chosen)
        best, second = _best(usable, purpose, wishes)
        for verdict in usable:
            verdicts[verdict.model.name] = replace(verdict, why=_why_not(verdict, best, purpose, wishes))
        if best is not None and best.model.name not in chosen:
            chosen[best.model.name] = replace(best, chosen=True, why=_why_best(best, second, purpose))
            left = _smaller(left, best) if wishes.together else left
    why = "the small real model that is always there" if chosen else "the only model that can be used here"
    verdicts.update({**chosen, probe.name: replace(verdicts[probe.name], chosen=True, why=why)})
    return Choice(tuple(verdicts[name] for name in catalogue.models))


def choose_named(catalogue: Catalogue, names: Sequence[str], budget: Budget, wishes: Wishes) -> Choice:
    """The models that a person named, and the probe. Raises CannotChoose with every reason at once.

    Licence, size, estimated speed, and whether a part may lie in main memory are the person's own decision; memory in
    all and what can be reached are not.
    """
    wanted = list(dict.fromkeys(names))
    wanted += [m.name for m in catalogue.models.values() if "probe" in m.purposes and m.name not in wanted][:1]
    own_decision = replace(wishes, least_speed=0.0, max_download=0, partly=True)
    problems: list[str] = []
    chosen: dict[str, Verdict] = {}
    for name in wanted:
        try:
            model = catalogue.find(name)
        except KeyError as error:
            problems.append(str(error.args[0]))
            continue
        verdict = judge(_for_any_use(model), budget, own_decision)
        problems += [f"{name}: {refusal}" for refusal in verdict.refusals]
        why = "named" + _partly(verdict, budget) if name in names else "the small real model that is always there"
        chosen[name] = replace(verdict, model=model, chosen=True, why=why)
        budget = _smaller(budget, verdict) if wishes.together else budget
    if problems:
        raise CannotChoose("\n".join(problems))
    rest = (judge(model, budget, wishes) for name, model in catalogue.models.items() if name not in chosen)
    return Choice((*chosen.values(), *rest))


def _settings(model: Model, wishes: Wishes, fits: Callable[[Settings], bool]) -> Settings:
    """With the first wanted context that fits, else the last one; never more than the model was trained for."""
    settings = wishes.settings
    for wanted in wishes.contexts:
        settings = replace(wishes.settings, context=min(wanted, model.shape.context_length))
        if fits(settings):
            break
    return settings


def _fits(
    context: int,
    needed: Need,
    placement: Placement,
    largest: int,
    speed: Optional[float],
    budget: Budget,
    wishes: Wishes,
) -> list[str]:
    if placement.whole or (wishes.partly and placement.possible):
        return []
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


def _partly(verdict: Verdict, budget: Budget) -> str:
    placement = verdict.placement
    if placement is None or placement.whole or not placement.possible:
        return ""
    where = f"{placement.layers} of {placement.of_layers} layers on {budget.name}"
    if placement.without_experts:
        where += f" (of {placement.without_experts} without the experts)"
    return f", with {where} and the rest on the processor"


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
        return [f"too big a download: {size:.1f} GB, gridtie_models_max_download_gb is {most:g}"]
    return []


def _rank(purpose: str, wishes: Wishes) -> Callable[[Verdict], tuple[bool, bool, float, float, float]]:
    """First who fits the full wanted context, then the score, then the speed.

    The catalogue has no scores of chats: for `chat` a model that is made for it comes before one that is made for
    code, and the larger before the smaller.
    """

    def key(verdict: Verdict) -> tuple[bool, bool, float, float, float]:
        model, whole = verdict.model, verdict.context >= wishes.contexts[0]
        score, speed = -1.0 if verdict.score is None else verdict.score, verdict.speed or 0.0
        made_for_chats = purpose == "chat" and model.purposes[0] == "chat"
        return whole, made_for_chats, float(model.parameters if purpose == "chat" else 0), score, speed

    return key


def _best(usable: Sequence[Verdict], purpose: str, wishes: Wishes) -> tuple[Optional[Verdict], Optional[Verdict]]:
    """The best model, and the one with all the wanted context that it was preferred to, if there is one."""
    best = max(usable, key=_rank(purpose, wishes), default=None)
    if best is None or purpose != "code" or best.context < wishes.contexts[0]:
        return best, None
    sharpest = max(usable, key=lambda verdict: verdict.score or 0.0)
    if (sharpest.score or 0.0) > SHORT_CONTEXT_WORTH * (best.score or 0.0):
        return sharpest, best
    return best, None


def _why_best(best: Verdict, second: Optional[Verdict], purpose: str) -> str:
    if purpose == "chat":
        return f"the largest chat model that fits with {best.context} tokens of context"
    score = "no published score" if best.score is None else f"coding score {best.score:g}"
    flag = " (estimated)" if best.score_estimated else ""
    text = f"the best coding model that fits with {best.context} tokens of context ({score}{flag})"
    if second is None:
        return text
    return f"{text}; {second.model.name} would have {second.context}, but scores {second.score or 0:g}"


def _why_not(verdict: Verdict, best: Optional[Verdict], purpose: str, wishes: Wishes) -> str:
    if best is None or verdict.model.name == best.model.name:
        return ""
    if verdict.context < wishes.contexts[0] <= best.context:
        return f"fits, but only with {verdict.context} tokens of context; {best.model.name} has {best.context}"
    return f"fits, but {best.model.name} {'is made for chats or larger' if purpose == 'chat' else 'scores higher'}"


def _for_any_use(model: Model) -> Model:
    return replace(model, license=replace(model.license, commercial=True))


def _smaller(budget: Budget, verdict: Verdict) -> Budget:
    taken = verdict.need.total if verdict.need else 0
    widest = max(budget.cards, key=lambda card: card.available, default=None)
    cards = tuple(replace(c, available=max(0, c.available - taken)) if c is widest else c for c in budget.cards)
    return replace(budget, available=max(0, budget.available - taken), cards=cards)
