"""One choice of models for several machines, which are to be identical because they were told the same. Pure.

`decide` makes it, for the weakest of them; `choose_agreed` is what each of them then takes, or the reasons why it
cannot.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Mapping, Optional, Sequence

from ..catalogue import Catalogue
from .choice import (
    CannotChoose,
    Choice,
    beside,
    budget_beside,
    choose_best,
    for_any_use,
    offered,
    smaller,
)
from .judge import Verdict, Wishes, judge
from .placement import Budget
from .purposes import PURPOSES
from .score import standings_of

_KEYS = {"name": str, "context": int, "for": list}


@dataclass(frozen=True)
class Pick:
    """A model of a choice, its context in tokens, and what it was chosen for (at least one purpose)."""

    name: str
    context: int
    purposes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        return {"name": self.name, "context": self.context, "for": list(self.purposes)}


class PicksError(ValueError):
    """A choice that was written down cannot be used; the message names the place."""


def picks_in(document: Any) -> tuple[Pick, ...]:
    """Read what `Pick.document` gives, a list of it. Raises PicksError at the first mistake, with its place."""
    if not isinstance(document, (list, tuple)):
        raise PicksError(": a list of models was expected, each with name, context and for")
    return tuple(_pick(entry, number) for number, entry in enumerate(document))


def _pick(entry: Any, number: int) -> Pick:
    if not isinstance(entry, Mapping) or set(entry) != set(_KEYS):
        raise PicksError(f"[{number}]: a mapping with {', '.join(_KEYS)} was expected")
    for key, kind in _KEYS.items():
        if not isinstance(entry[key], kind) or isinstance(entry[key], bool):
            raise PicksError(f"[{number}].{key}: {entry[key]!r} is of the wrong type")
    if entry["context"] < 1:
        raise PicksError(f"[{number}].context: a number of tokens from 1 on was expected, this is {entry['context']}")
    unknown = [purpose for purpose in entry["for"] if purpose not in PURPOSES]
    if unknown or not entry["for"]:
        raise PicksError(f"[{number}].for: purposes were expected ({', '.join(PURPOSES)}), this is {entry['for']!r}")
    return Pick(entry["name"], entry["context"], tuple(entry["for"]))


@dataclass(frozen=True)
class Agreement:
    """What a group of machines was told to run."""

    group: str
    picks: tuple[Pick, ...]

    @property
    def why(self) -> str:
        return f"chosen for the group {self.group}"


@dataclass(frozen=True)
class Member:
    """A machine: where its models live, and what its station asks of them."""

    name: str
    budget: Budget
    wishes: Wishes


@dataclass(frozen=True)
class Decided:
    """What was chosen, whose memory was the measure, and the choice itself as that machine would make it."""

    picks: tuple[Pick, ...]
    measure: str
    choice: Choice


def decide(catalogue: Catalogue, members: Sequence[Member]) -> Decided:
    """The best choice that fits on every member: that of the one with the least memory, at the speed of the slowest.

    Where that one has what another lacks (experts on several cards, a source that only it reaches), the next one is the
    measure. Raises CannotChoose, with each member's reason, where no choice fits on all.
    """
    reasons: dict[str, str] = {}
    for measure in sorted(members, key=_strength):
        wishes, budget = _wishes_of_all(measure, members), _as_slow_as_all(measure.budget, members)
        try:
            choice = offered(choose_best(catalogue, budget, wishes), catalogue, budget, wishes)
        except CannotChoose as error:
            reasons.setdefault(measure.name, str(error))
            continue
        verdicts = {verdict.model.name: verdict for verdict in choice.chosen}
        names = dict.fromkeys(verdict.model.name for verdict in choice.picks.values())
        picks = tuple(Pick(name, verdicts[name].context, verdicts[name].purposes) for name in names)
        unfit = {member.name: why for member in members if (why := misfits(catalogue, picks, member))}
        if not unfit:
            return Decided(picks, measure.name, choice)
        for name, why in unfit.items():
            reasons.setdefault(name, "; ".join(why))
    raise CannotChoose("\n".join(f"{name}: {why}" for name, why in reasons.items()))


def misfits(catalogue: Catalogue, picks: Sequence[Pick], member: Member) -> list[str]:
    """Every reason why this machine cannot take the choice; empty where it can."""
    try:
        agreed_verdicts(catalogue, picks, member.budget, member.wishes)
    except CannotChoose as error:
        return str(error).splitlines()
    return []


def choose_agreed(catalogue: Catalogue, picks: Sequence[Pick], budget: Budget, wishes: Wishes, why: str) -> Choice:
    """The models that were agreed on, for the reason `why`, and the one of the smoke test. Raises CannotChoose."""
    usual, standings = PURPOSES[wishes.purposes[0]], standings_of(catalogue)
    chosen = {
        verdict.model.name: replace(verdict, standing=standings.get(verdict.model.name))
        for verdict in agreed_verdicts(catalogue, picks, budget, wishes, why)
    }
    rest = (
        judge(model, budget, wishes, usual, standings.get(name))
        for name, model in catalogue.models.items()
        if name not in chosen
    )
    return Choice((*chosen.values(), *rest))


def agreed_verdicts(
    catalogue: Catalogue, picks: Sequence[Pick], budget: Budget, wishes: Wishes, why: str = ""
) -> tuple[Verdict, ...]:
    """Each model of the choice with its context, the one of the smoke test last; without scores. Raises CannotChoose
    with every reason.

    Scores, speed, licence and size of the download were weighed when it was decided; memory, what the engine can load
    and what can be reached are this machine's own.
    """
    weighed = replace(wishes, least_speed=0.0, max_download=0)
    problems: list[str] = []
    chosen: dict[str, Verdict] = {}
    small = catalogue.smoke_test
    proof = judge(small, budget, weighed) if small else None
    if proof:
        problems += [f"{proof.model.name}: {refusal}" for refusal in proof.refusals]
        proof = replace(proof, chosen=True, why="the small real model that is always there", purposes=("smoke-test",))
        budget = smaller(budget, proof) if wishes.together else budget
    for pick in picks:
        model = catalogue.models.get(pick.name)
        if model is None:
            problems.append(f"{pick.name}: the catalogue has no such model")
            continue
        left = budget_beside(budget, beside(chosen, PURPOSES[pick.purposes[0]], wishes), pick.name)
        asked = replace(weighed, contexts=(pick.context,))
        verdict = judge(for_any_use(model), left, asked)
        problems += [f"{pick.name}: {refusal}" for refusal in verdict.refusals]
        if not verdict.refusals and verdict.context < pick.context:
            problems.append(
                f"{pick.name}: trained for {verdict.context} tokens of context, and {pick.context} were agreed on"
            )
        chosen[pick.name] = replace(verdict, model=model, chosen=True, purposes=pick.purposes, why=why)
    if problems:
        raise CannotChoose("\n".join(problems))
    return (*chosen.values(), *([proof] if proof else []))


def _strength(member: Member) -> tuple[int, float]:
    """Memory first, then its speed."""
    return member.budget.available, member.budget.bandwidth or float("inf")


def _as_slow_as_all(budget: Budget, members: Sequence[Member]) -> Budget:
    """With the least speed that is known of any member's memory."""
    known = [member.budget.bandwidth for member in members if member.budget.bandwidth]
    least = min(known, default=None)

    def slowed(own: Optional[float]) -> Optional[float]:
        return min(own, least) if own and least else own or least

    cards = tuple(replace(card, bandwidth=slowed(card.bandwidth)) for card in budget.cards)
    return replace(budget, bandwidth=slowed(budget.bandwidth), cards=cards)


def _wishes_of_all(measure: Member, members: Sequence[Member]) -> Wishes:
    """Those of the measure, with what every other member cannot do, cannot reach or has not got."""
    everyone = [member.wishes for member in members]
    measured = set.intersection(*(set(wishes.measured) for wishes in everyone))
    pinned = [wishes.pinned for wishes in everyone if wishes.pinned is not None]
    limits = [wishes.max_download for wishes in everyone if wishes.max_download]
    return replace(
        measure.wishes,
        max_download=min(limits, default=0),
        unreachable={kind: why for wishes in everyone for kind, why in wishes.unreachable.items()},
        present=frozenset.intersection(*(wishes.present for wishes in everyone)),
        together=any(wishes.together for wishes in everyone),
        pinned=frozenset.intersection(*pinned) if pinned else None,
        stock=any(wishes.stock for wishes in everyone),
        measured={name: min(wishes.measured[name] for wishes in everyone) for name in measured},
        kept=frozenset.union(*(wishes.kept for wishes in everyone)),
    )
