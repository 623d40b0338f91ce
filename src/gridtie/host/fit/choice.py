"""Which models a station takes, and why not the others. Pure: the catalogue, the budget and the wishes decide.

`choose_best` is what `gridtie_models: auto` means; `choose_named` checks a list that a person wrote. Both judge every
model the same way (judge.py), so that `gridtie fit` shows exactly what the choice was made from.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Callable, Mapping, Optional, Sequence

from ..catalogue import Catalogue, Model
from .judge import Verdict, Wishes, beyond_training, judge, why_flagged, why_unfit
from .memory import CONTEXT_STEP, GIB
from .placement import Budget
from .purposes import PURPOSES, USUAL, Purpose
from .score import EMBEDDING, standings_of

# A model with less than the wanted context is taken where its score is more than this many times as good as that of
# the best one with all of it (docs/decisions/0005-context-or-quality.md).
SHORT_CONTEXT_WORTH = 1.5

# Where a card has room left, a longer context is taken, as long as the cache stays below this part of the weights: a
# token behind a full context then takes no more than half as long again (docs/models.md).
CACHE_SHARE = 0.5
LONGER = (262144, 131072, 65536)
# And as long as this much stays free beyond all margins, since nobody asked for it.
SPARE = 1 * GIB

# A model that is this many times as fast is named beside the best one, where that is slower than a person reads code.
MUCH_FASTER = 2.0
FAST_ENOUGH = 60.0

# Unasked, no more than this is fetched to a machine without a card; with one, what the card has room for.
UNASKED = 10_000_000_000


@dataclass(frozen=True)
class Choice:
    """All verdicts, the chosen ones marked: in the catalogue's order, but models that a person named come first.

    `missing` says for each purpose that no model was found for why the nearest one was not taken; `faster` has for a
    purpose whose best model is slow the best of those that are much faster; `picks` the chosen one of each purpose.
    """

    verdicts: tuple[Verdict, ...]
    missing: Mapping[str, str] = field(default_factory=dict)
    faster: Mapping[str, Verdict] = field(default_factory=dict)
    picks: Mapping[str, Verdict] = field(default_factory=dict)

    @property
    def chosen(self) -> tuple[Verdict, ...]:
        return tuple(verdict for verdict in self.verdicts if verdict.chosen)


class CannotChoose(ValueError):
    """No choice can be made; the message lists every reason, one a line."""


def unasked_download(budget: Budget) -> int:
    """Bytes of a model that are fetched without anybody having asked for it: what the graphics have room for."""
    return max(UNASKED, budget.total) if budget.on_graphics else UNASKED


def choose_best(catalogue: Catalogue, budget: Budget, wishes: Wishes) -> Choice:
    """The best model that `auto` may take for each purpose, and the small one of the smoke test. Raises CannotChoose
    when not even that fits.

    Verdicts of models that were not taken are those of the first purpose.
    """
    small = catalogue.smoke_test
    proof = judge(small, budget, wishes) if small else None
    if proof is None or proof.refusals:
        reason = "; ".join(proof.refusals) if proof else "the catalogue has none"
        name = small.name if small else "-"
        raise CannotChoose(f"no model can be chosen: not even that of the smoke test ({name}): {reason}")
    if wishes.together:
        budget = smaller(budget, proof)
    rivals = [model for model in catalogue.models.values() if model.name != proof.model.name]
    coding, embedding = standings_of(catalogue), standings_of(catalogue, EMBEDDING)
    verdicts: dict[str, Verdict] = {}
    chosen: dict[str, Verdict] = {}
    preferred: dict[str, Optional[Verdict]] = {}
    missing: dict[str, str] = {}
    faster: dict[str, Verdict] = {}
    for purpose in (PURPOSES[name] for name in wishes.purposes):
        standings = embedding if purpose.name == "embeddings" else coding
        taken = beside(chosen, purpose, wishes)
        judged = [
            _modest(
                judge(model, budget_beside(budget, taken, model.name), wishes, purpose, standings.get(model.name)),
                purpose.share if taken else 1.0,
                budget,
            )
            for model in rivals
        ]
        usable = [verdict for verdict in judged if not verdict.refusals]
        best, second = _best(usable, purpose, wishes)
        for verdict in judged:
            why = "" if verdict.refusals else _why_not(verdict, best, purpose, wishes)
            verdicts.setdefault(verdict.model.name, replace(verdict, why=why))
        if best is None:
            missing[purpose.name] = _nearest(judged, purpose, wishes)
            continue
        if quick := _faster(usable, best, purpose, wishes):
            faster[purpose.name] = quick
        earlier = chosen.get(best.model.name)
        wider = best if earlier is None or best.context > earlier.context else earlier
        purposes = (*(earlier.purposes if earlier else ()), purpose.name)
        preferred.setdefault(best.model.name, second)
        chosen[best.model.name] = replace(wider, chosen=True, purposes=purposes)
    if budget.cards and not wishes.together and not wishes.contexts:
        for name, verdict in list(chosen.items()):
            chosen[name] = _longer(verdict, budget_beside(budget, _always_there(chosen), name), wishes)
    turns = _taking_turns(chosen, budget, wishes)
    chosen = {name: replace(v, why=_why_best(v, preferred[name]) + turns.get(name, "")) for name, v in chosen.items()}
    why = "the small real model that is always there" if chosen else "the only model that can be used here"
    proof = replace(proof, chosen=True, why=why, purposes=("smoke-test",))
    verdicts.update({**chosen, proof.model.name: proof})
    picks = {purpose: verdict for verdict in chosen.values() for purpose in verdict.purposes}
    return Choice(tuple(verdicts[name] for name in catalogue.models), missing, faster, picks)


def recommend(catalogue: Catalogue, budget: Budget, wishes: Wishes) -> Choice:
    """What `choose_best` would take for each purpose by itself, completion and embeddings beside the usual model.

    The verdicts are those of the first purpose, apart from models that are recommended for another one alone. Raises
    CannotChoose.
    """
    first = wishes.purposes[0]
    base = choose_best(catalogue, budget, replace(wishes, purposes=(first,)))
    verdicts = {verdict.model.name: verdict for verdict in base.verdicts}
    missing, faster, picks = dict(base.missing), dict(base.faster), dict(base.picks)
    for purpose in wishes.purposes[1:]:
        together = (first, purpose) if PURPOSES[purpose].beside else (purpose,)
        found = choose_best(catalogue, budget, replace(wishes, purposes=together))
        missing.update({name: why for name, why in found.missing.items() if name == purpose})
        faster.update({name: verdict for name, verdict in found.faster.items() if name == purpose})
        if purpose in found.picks:
            pick = picks[purpose] = found.picks[purpose]
            shown = verdicts[pick.model.name]
            before = shown.purposes if shown.chosen else ()
            own = shown if first in before else pick
            verdicts[pick.model.name] = replace(own, chosen=True, purposes=(*before, purpose))
    return Choice(tuple(verdicts[name] for name in catalogue.models), missing, faster, picks)


def offered(choice: Choice, catalogue: Catalogue, budget: Budget, wishes: Wishes) -> Choice:
    """The choice, each model saying which one would be better were it not too much to fetch unasked."""
    best = choose_best(catalogue, budget, replace(wishes, max_download=0))
    recommended = {purpose: verdict for verdict in best.chosen for purpose in verdict.purposes}
    verdicts = []
    for verdict in choice.verdicts:
        better = {recommended[p].model.name: recommended[p] for p in verdict.purposes if p in recommended}
        for name, each in better.items():
            if name != verdict.model.name:
                size, most = each.model.file.bytes / 1e9, wishes.max_download / 1e9
                hint = f"{name} is recommended, and {size:.1f} GB are more than is fetched unasked ({most:.3g} GB): "
                verdict = replace(verdict, why=f"{verdict.why}; {hint}name it in gridtie_models to have it")
        verdicts.append(verdict)
    return replace(choice, verdicts=tuple(verdicts))


def choose_named(
    catalogue: Catalogue,
    names: Sequence[str],
    budget: Budget,
    wishes: Wishes,
    contexts: Mapping[str, int] = MappingProxyType({}),
) -> Choice:
    """The models that a person named, some with `contexts`, and the one of the smoke test. Raises CannotChoose with
    every reason at once.

    Licence, size, estimated speed, purpose, and whether a part may lie in main memory are the person's own decision;
    memory in all, what the engine can load and what can be reached are not.
    """
    small = catalogue.smoke_test
    wanted = list(dict.fromkeys([*names, *([small.name] if small else [])]))
    own_decision = replace(wishes, least_speed=0.0, max_download=0, partly=True)
    standings = standings_of(catalogue)
    problems: list[str] = []
    chosen: dict[str, Verdict] = {}
    for name in wanted:
        try:
            model = catalogue.find(name)
        except KeyError as error:
            problems.append(str(error.args[0]))
            continue
        context = contexts.get(name, 0)
        if fault := beyond_training(name, context, model.shape.context_length):
            problems.append(fault)
            continue
        asked = replace(own_decision, contexts=(context,)) if context else own_decision
        verdict = judge(for_any_use(model), budget, asked, None, standings.get(name))
        problems += _cannot_be_had(verdict)
        why = "named" + _partly(verdict, budget) if name in names else "the small real model that is always there"
        chosen[name] = replace(verdict, model=model, chosen=True, why=why)
        budget = smaller(budget, verdict) if wishes.together else budget
    if problems:
        raise CannotChoose("\n".join(problems))
    usual = PURPOSES[USUAL[0]]
    rest = (
        judge(model, budget, wishes, usual, standings.get(name))
        for name, model in catalogue.models.items()
        if name not in chosen
    )
    return Choice((*chosen.values(), *rest))


def _cannot_be_had(verdict: Verdict) -> list[str]:
    """What speaks against a model that was named, with the setting that would help where it is the context."""
    if not verdict.refusals:
        return []
    name, placement = verdict.model.name, verdict.placement
    short = placement is not None and not placement.possible and verdict.max_context >= CONTEXT_STEP
    hint = f"; it fits as gridtie_models: [{{name: {name}, context: {verdict.max_context}}}]" if short else ""
    return [f"{name}: {'; '.join(verdict.refusals)}{hint}"]


def side_by_side(verdicts: Sequence[Verdict], budget: Budget) -> bool:
    """Whether all of them can be in memory at once; where not, the engine swaps them, which takes seconds each time."""
    return sum(verdict.need.total for verdict in verdicts if verdict.need) <= budget.available


def _taking_turns(chosen: Mapping[str, Verdict], budget: Budget, wishes: Wishes) -> dict[str, str]:
    """For each model that shares its room with others what that means."""
    there = _always_there(chosen)
    turns = [verdict for verdict in chosen.values() if verdict not in there]
    if wishes.together or side_by_side(turns, budget_beside(budget, there, "")):
        return {}
    names = [verdict.model.name for verdict in turns]
    return {
        name: f"; not side by side with {' and '.join(other for other in names if other != name)}: Ollama swaps them"
        for name in names
        if len(names) > 1
    }


def beside(chosen: Mapping[str, Verdict], purpose: Purpose, wishes: Wishes) -> list[Verdict]:
    """What is in memory while a model of this purpose is at work.

    With servers of their own all are. Ollama swaps models that take turns, but not those that are asked between two
    questions to another one: they have to fit beside the largest.
    """
    if wishes.together:
        return list(chosen.values())
    there = _always_there(chosen)
    if not purpose.beside:
        return there
    others = [verdict for verdict in chosen.values() if verdict not in there]
    return [*there, *sorted(others, key=lambda verdict: -(verdict.need.total if verdict.need else 0))[:1]]


def _always_there(chosen: Mapping[str, Verdict]) -> list[Verdict]:
    return [verdict for verdict in chosen.values() if all(PURPOSES[name].beside for name in verdict.purposes)]


def budget_beside(budget: Budget, taken: Sequence[Verdict], name: str) -> Budget:
    """What is left for the model of that name, which does not stand in its own way."""
    for verdict in taken:
        if verdict.model.name != name:
            budget = smaller(budget, verdict)
    return budget


def _modest(verdict: Verdict, share: float, budget: Budget) -> Verdict:
    """Refused where it would take more than its share of the memory, which is there for another model."""
    need, most = verdict.need, share * budget.available
    if share == 1.0 or need is None or need.total <= most or verdict.refusals:
        return verdict
    reason = f"takes too much beside another model: {need.total / GIB:.1f} GiB, {most / GIB:.1f} are its share"
    return replace(verdict, refusals=(reason,))


def _faster(usable: Sequence[Verdict], best: Verdict, purpose: Purpose, wishes: Wishes) -> Optional[Verdict]:
    """The best of the models that are much faster than a best one that is slow, and not much worse."""
    if purpose.beside or best.speed is None or best.speed >= FAST_ENOUGH:
        return None
    least = MUCH_FASTER * best.speed
    good = (best.score or 0.0) / SHORT_CONTEXT_WORTH
    quick = [v for v in usable if (v.speed or 0.0) >= least and v.context >= best.context and (v.score or 0.0) > good]
    return _best(quick, purpose, wishes)[0]


def _longer(verdict: Verdict, budget: Budget, wishes: Wishes) -> Verdict:
    """With the longest context for which there is room, where more than the wanted one is of use."""
    if not any(PURPOSES[name].longer for name in verdict.purposes):
        return verdict
    spared = replace(
        budget,
        available=max(0, budget.available - SPARE),
        cards=tuple(replace(card, available=max(0, card.available - SPARE)) for card in budget.cards),
    )
    for context in LONGER:
        if not verdict.context < context <= verdict.model.shape.context_length:
            continue
        found = judge(verdict.model, spared, replace(wishes, contexts=(context,)), None, verdict.standing)
        if found.need and not found.refusals and found.need.kv <= CACHE_SHARE * found.need.weights:
            return replace(found, chosen=True, purposes=verdict.purposes, warnings=verdict.warnings)
    return verdict


def _partly(verdict: Verdict, budget: Budget) -> str:
    placement = verdict.placement
    if placement is None or placement.whole or not placement.possible:
        return ""
    where = f"{placement.layers} of {placement.of_layers} layers on {budget.name}"
    if placement.without_experts:
        where += f" (of {placement.without_experts} without the experts)"
    return f", with {where} and the rest on the processor"


def _rank(purpose: Purpose, wanted: int) -> Callable[[Verdict], tuple[bool, bool, float, int, float]]:
    """First who fits the full wanted context, then the score, then the speed.

    For chats a model that is made for them comes before one that is made for code; without scores the larger is taken.
    """

    def key(verdict: Verdict) -> tuple[bool, bool, float, int, float]:
        model, whole = verdict.model, verdict.context >= wanted
        made_for_chats = purpose.name == "chat" and _made_for_chats(model)
        score, speed = -1.0 if verdict.score is None else verdict.score, verdict.speed or 0.0
        return whole, made_for_chats, score, model.parameters if verdict.score is None else 0, speed

    return key


def _best(usable: Sequence[Verdict], purpose: Purpose, wishes: Wishes) -> tuple[Optional[Verdict], Optional[Verdict]]:
    """The best model, and the one with all the wanted context that it was preferred to, if there is one."""
    wanted = (wishes.contexts or purpose.contexts)[0]
    best = max(usable, key=_rank(purpose, wanted), default=None)
    if best is None or purpose.name not in ("code", "chat") or best.context < wanted:
        return best, None
    short = [v for v in usable if v.context < wanted and (purpose.name == "code" or _made_for_chats(v.model))]
    sharpest = max(short, key=lambda verdict: verdict.score or 0.0, default=None)
    if sharpest and (sharpest.score or 0.0) > SHORT_CONTEXT_WORTH * (best.score or 0.0):
        return sharpest, best
    return best, None


def _made_for_chats(model: Model) -> bool:
    return model.purposes[0] == "chat"


def _why_best(best: Verdict, second: Optional[Verdict]) -> str:
    purposes = " and ".join(best.purposes)
    text = f"the best for {purposes} that fits with {best.context} tokens of context ({_score(best)})"
    if second is None:
        return text
    return f"{text}; {second.model.name} would have {second.context}, but scores {second.score or 0:g}"


def _score(verdict: Verdict) -> str:
    return "not scored" if verdict.score is None else f"score {verdict.score:g}{'~' * verdict.score_estimated}"


def _why_not(verdict: Verdict, best: Optional[Verdict], purpose: Purpose, wishes: Wishes) -> str:
    if best is None or verdict.model.name == best.model.name:
        return ""
    wanted = (wishes.contexts or purpose.contexts)[0]
    if verdict.context < wanted <= best.context:
        return f"fits, but only with {verdict.context} tokens of context; {best.model.name} has {best.context}"
    if verdict.score is None:
        return f"fits, but is not scored; {best.model.name} is"
    coder = purpose.name == "chat" and not _made_for_chats(verdict.model)
    return f"fits, but {best.model.name} {'is made for chats' if coder else 'scores higher'}"


def _nearest(judged: Sequence[Verdict], purpose: Purpose, wishes: Wishes) -> str:
    """Why the best model that serves the purpose was not taken."""
    serving = [verdict for verdict in judged if not why_unfit(verdict.model, purpose, wishes)]

    def nearness(verdict: Verdict) -> tuple[bool, bool, int, int]:
        """One that does not fit, or is too slow, says more than one that nobody should take; the smallest is next."""
        known, need = verdict.need is not None, verdict.need.total if verdict.need else 0
        return not why_flagged(verdict.model, purpose, wishes), known, -len(verdict.refusals), -need

    nearest = max(serving, key=nearness, default=None)
    if nearest is None:
        return f"the catalogue has no model for {purpose.name}"
    return f"the nearest is {nearest.model.name}: {'; '.join(nearest.refusals)}"


def for_any_use(model: Model) -> Model:
    return replace(model, license=replace(model.license, commercial=True))


def smaller(budget: Budget, verdict: Verdict) -> Budget:
    """What a model leaves: it takes the widest card first, as the engine does."""
    taken = left = verdict.need.total if verdict.need else 0
    cards = list(budget.cards)
    for index in sorted(range(len(cards)), key=lambda at: -cards[at].available):
        share = min(left, cards[index].available)
        cards[index] = replace(cards[index], available=cards[index].available - share)
        left -= share
    return replace(budget, available=max(0, budget.available - taken), cards=tuple(cards))
