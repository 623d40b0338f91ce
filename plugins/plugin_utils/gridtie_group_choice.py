"""Which models each group of an inventory runs where its hosts say `gridtie_models: auto`. Pure.

A group's choice is that of the lock. Where that has none, it is what all of its stations run already, if that fits on
every host of it; else what fits on the weakest of them, or on the machine of a declared profile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from . import gridtie_collection  # noqa: F401 - it makes the package known

# isort: split
from gridtie.host.catalogue import Catalogue
from gridtie.host.fit.agreed import Member, Pick, agreed_verdicts, decide, misfits
from gridtie.host.fit.choice import CannotChoose
from gridtie.host.models.resolve import Former
from gridtie.host.table import table
from gridtie.lock import Choice

Problem = dict[str, str]

_HEAD = ("host", "group", "model", "for", "context", "needs", "available", "~tokens/s", "to fetch", "")
_RIGHT = (4, 5, 6, 7, 8)
_GIB = 1 << 30


@dataclass(frozen=True)
class Host:
    """A host of a group whose models are `auto`.

    `machine` is None where it was not looked at: `absent` then says whether it takes no part in this run, or is of a
    later wave; else it is off, or something stands in its way. `former` is what `auto` gave its station in an earlier
    run, `here` the models that it need not fetch, `idle` its card that counts only once its driver is there.
    """

    name: str
    machine: Member | None = None
    former: Former | None = None
    here: frozenset[str] = frozenset()
    idle: str = ""
    absent: bool = False

    @property
    def chose_itself(self) -> bool:
        return self.former is not None and not self.former.told


@dataclass(frozen=True)
class Group:
    """A group as this run finds it. `known` is the lock's choice, `profile` a machine that was declared for it, `again`
    whether it is to be chosen anew, `purposes` what models are wanted for.
    """

    name: str
    hosts: Sequence[Host]
    purposes: tuple[str, ...]
    known: Choice | None = None
    profile: Member | None = None
    again: bool = False

    @property
    def seen(self) -> list[Host]:
        return [host for host in self.hosts if host.machine is not None]

    @property
    def absent(self) -> list[str]:
        return [host.name for host in self.hosts if host.machine is None and host.absent]

    @property
    def off(self) -> list[str]:
        return [host.name for host in self.hosts if host.machine is None and not host.absent]


@dataclass(frozen=True)
class Settled:
    """What came of it: the choice (None where none can be made), whether it belongs into the lock, and what to tell."""

    group: Group
    choice: Choice | None
    new: bool = False
    lasting: bool = False
    notes: Sequence[str] = ()
    problems: Mapping[str, Sequence[Problem]] = field(default_factory=dict)


def settle(group: Group, catalogue: Catalogue, command: str) -> Settled:
    """Decide, and say which hosts it does not fit. ``command`` is what chooses anew for the whole group."""
    whole = not group.absent or group.profile is not None
    if group.known and not (group.again and whole):
        notes = list(_of_the_lock(group, group.known, command))
        return _checked(Settled(group, group.known, notes=notes), group.known, catalogue, command)
    try:
        choice, notes = _new(group, catalogue, command)
    except CannotChoose as error:
        return refused(
            group,
            f"no models fit on all hosts of the group {group.name}: {error}",
            "give the one that is too weak models of its own (gridtie_models), or a group of its own "
            "(gridtie_models_group)",
        )
    if not whole:
        notes.append(
            f"not written into the lock: {_and(group.absent)} could not be counted, taking no part in this run; "
            "the next run for all of the group decides"
        )
    elif group.off:
        notes.append(f"decided without {_and(group.off)}, which could not be looked at")
    # A library that does not answer today would else leave a group without models for good.
    lasting = whole and bool(choice.picks)
    return _checked(Settled(group, choice, new=True, lasting=lasting, notes=notes), choice, catalogue, command)


def _new(group: Group, catalogue: Catalogue, command: str) -> tuple[Choice, list[str]]:
    """What its stations run already, with what would be chosen today; else what is chosen. Raises CannotChoose."""
    running = None if group.again or group.profile else _running(group, catalogue)
    if running is None:
        return _decided(group, catalogue)
    offer = ""
    with suppress(CannotChoose):
        today, _ = _decided(group, catalogue)
        offer = "" if today.picks == running.picks else f"; today {_listed(today)} would be chosen: {command}"
    return running, [f"as its stations run it already{offer}"]


def _of_the_lock(group: Group, known: Choice, command: str) -> Iterator[str]:
    if group.again:
        yield (
            f"not chosen anew: {_and(group.absent)} would not be counted, taking no part in this run. Who takes part "
            f"gets what the lock has; {command} chooses for all"
        )
    if known.purposes and known.purposes != group.purposes:
        yield (
            f"the lock's choice was made for {_and(known.purposes)}, and gridtie_models_purposes is "
            f"{_and(group.purposes)}: {command} chooses for that"
        )
    if group.profile and known.measure != group.profile.name:
        whose = known.measure or "a person"
        yield f"the lock's choice is by {whose}, not by {group.profile.name}: {command} chooses by that"


def _running(group: Group, catalogue: Catalogue) -> Choice | None:
    """What the group's stations run, where it is the same on all that have one and every host can run it."""
    formers = [host.former for host in group.seen if host.former]
    if not formers or any((f.models, f.purposes) != (formers[0].models, formers[0].purposes) for f in formers):
        return None
    if formers[0].purposes != group.purposes:
        return None
    picks = tuple(_picks(formers[0], catalogue))
    if not picks or any(
        misfits(catalogue, picks, host.machine) for host in group.seen if host.machine and not host.former
    ):
        return None
    return Choice(picks, "", group.purposes)


def _picks(former: Former, catalogue: Catalogue) -> Iterator[Pick]:
    small = catalogue.smoke_test
    for name, context in former.models.items():
        if name in catalogue.models and not (small and name == small.name):
            purposes = tuple(each for each in former.purposes if each in catalogue.models[name].purposes)
            yield Pick(name, context, purposes or former.purposes[:1])


def _decided(group: Group, catalogue: Catalogue) -> tuple[Choice, list[str]]:
    """By the profile, or the weakest of the hosts. Raises CannotChoose."""
    members = [group.profile] if group.profile else [host.machine for host in group.seen if host.machine]
    decided = decide(catalogue, members)
    notes = [f"decided by {decided.measure}" + ("" if group.profile or len(members) == 1 else ", the weakest of them")]
    notes += [f"{purpose}: no model; {why}" for purpose, why in decided.choice.missing.items()]
    notes += [
        f"{verdict.model.name}: {verdict.why.partition('; ')[2]}"
        for verdict in decided.choice.chosen
        if "is recommended, and" in verdict.why
    ]
    idle = {host.name: host.idle for host in group.seen}.get(decided.measure, "")
    if idle:
        notes.append(
            f"{decided.measure} counts by its main memory, since {idle} has no driver yet: choose anew when it has one"
        )
    return Choice(decided.picks, decided.measure, group.purposes), notes


def _checked(settled: Settled, choice: Choice, catalogue: Catalogue, command: str) -> Settled:
    """With what stands in the way on each host that does not run the choice yet."""
    group = settled.group
    problems: dict[str, Sequence[Problem]] = {}
    notes = list(settled.notes)
    for host in group.seen:
        if host.machine is None or _runs(host, choice, group):
            continue
        if _keeps(host, group):
            notes.append(
                f"{host.name} keeps what it chose for itself ({_and(_names(host.former))}): to take the group's, "
                f"-e gridtie_models_choose_again=true --limit {host.name}"
            )
        elif why := misfits(catalogue, choice.picks, host.machine):
            problems[host.name] = [
                {
                    "found": f"the group {group.name} runs {_and([p.name for p in choice.picks])}, and "
                    f"{host.name} cannot: {'; '.join(why)}",
                    "fix": f"give {host.name} models of its own (gridtie_models), or a group of its own "
                    f"(gridtie_models_group); or choose what fits here as well for all of {group.name}: "
                    f"{command}. By itself it would get {_alone(catalogue, host.machine)}",
                }
            ]
    return Settled(group, choice, settled.new, settled.lasting, notes, problems)


def _runs(host: Host, choice: Choice, group: Group) -> bool:
    """Whether its station has these models, by whomever they were chosen."""
    if host.former is None or group.again:
        return False
    return all(host.former.models.get(pick.name) == pick.context for pick in choice.picks)


def _alone(catalogue: Catalogue, machine: Member) -> str:
    try:
        return _and([f"{pick.name} with {pick.context}" for pick in decide(catalogue, [machine]).picks]) or "none"
    except CannotChoose:
        return "none"


def refused(group: Group, found: str, fix: str) -> Settled:
    """A group for which nothing can be chosen: each of its hosts is told the same."""
    return Settled(group, None, problems={host.name: [{"found": found, "fix": fix}] for host in group.seen})


def told(settled: Sequence[Settled], catalogue: Catalogue) -> str:
    """The hosts and their models as a table, where anything changes, and what there is to say of each group."""
    rows = [row for each in settled if _changes(each) for row in _rows(each, catalogue)]
    notes = [f"{each.group.name}: {note}" for each in settled for note in each.notes]
    return "\n".join(([table(_HEAD, rows, _RIGHT)] if rows else []) + notes)


def _listed(choice: Choice) -> str:
    named = [f"{pick.name} with {pick.context} tokens" for pick in choice.picks]
    return _and(named) or "the smoke test's model alone"


def summary(settled: Sequence[Settled]) -> str:
    """In one line what each group runs."""
    return "; ".join(f"{each.group.name}: {_listed(each.choice)}" for each in settled if each.choice)


def _changes(settled: Settled) -> bool:
    """Whether anything is new: the choice, or a host that is to run it."""
    group, choice = settled.group, settled.choice
    if settled.new or choice is None:
        return True
    return not all(_runs(host, choice, group) or _keeps(host, group) for host in group.seen)


def _keeps(host: Host, group: Group) -> bool:
    """Whether a station stays with what it chose before its group had a choice."""
    return host.chose_itself and not group.again


def _rows(settled: Settled, catalogue: Catalogue) -> Iterator[tuple[str, ...]]:
    group, choice = settled.group, settled.choice
    for host in group.hosts:
        if host.machine is None or choice is None:
            remark = "no choice" if host.machine else ("takes no part" if host.absent else "not looked at")
            yield (host.name, group.name, *("",) * 7, remark)
        elif _keeps(host, group) and not _runs(host, choice, group):
            for name, context in (host.former.models if host.former else {}).items():
                yield (host.name, group.name, name, "", str(context), "", _room(host.machine), "", "", "its own choice")
        else:
            yield from _row_of_each(host, host.machine, settled, choice, catalogue)


def _row_of_each(
    host: Host, machine: Member, settled: Settled, choice: Choice, catalogue: Catalogue
) -> Iterator[tuple[str, ...]]:
    try:
        found = agreed_verdicts(catalogue, choice.picks, machine.budget, machine.wishes)
    except CannotChoose:
        names = _and([pick.name for pick in choice.picks])
        here = "as it was" if _runs(host, choice, settled.group) else "does not fit"
        yield (host.name, settled.group.name, names, "", "", "", _room(machine), "", "", here)
        return
    measure = "the measure" if settled.new and choice.measure == host.name else ""
    # The smoke test's model is everywhere, and small.
    for verdict in found[: len(choice.picks)] or found:
        need, speed, name = verdict.need, verdict.speed, verdict.model.name
        yield (
            host.name,
            settled.group.name,
            name,
            " and ".join(verdict.purposes),
            str(verdict.context),
            f"{need.total / _GIB:.1f} GiB" if need else "",
            _room(machine),
            f"{speed:.0f}" if speed else "",
            "-" if name in host.here else f"{verdict.model.file.bytes / 1e9:.1f} GB",
            measure,
        )


def _room(machine: Member) -> str:
    return f"{machine.budget.available / _GIB:.1f} GiB"


def _names(former: Former | None) -> list[str]:
    return list(former.models) if former else []


def _and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
