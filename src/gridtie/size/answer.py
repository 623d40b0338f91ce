"""The whole answer to a plan, as data. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from gridtie.ledger.prices import Prices
from gridtie.size.basis import Basis
from gridtie.size.demand import Demand
from gridtie.size.errors import SizeError
from gridtie.size.ladder import RUNGS, Offer, Outgrown, Refused, Size, cheapest, outgrown, sized
from gridtie.size.plan import Limits, Machine, Plan, Targets
from gridtie.size.speeds import Speeds

SCHEMA = 1


@dataclass(frozen=True)
class Team:
    """For one number of developers: each kind of machine, the cheapest that will do, and a cloud's price."""

    developers: int
    answers: Sequence[Size | Refused]
    # None: no kind of machine meets the targets.
    chosen: Size | None
    # Of a month, list price; None: no cloud is named.
    cloud_usd: float | None


@dataclass(frozen=True)
class Answer:
    """Everything that is told."""

    teams: Sequence[Team]
    # By the name of the machine.
    outgrown: Mapping[str, Sequence[Outgrown]]
    targets: Targets
    basis: Sequence[Basis]
    cloud: str


def offers(
    machines: Sequence[Machine], speeds: Mapping[str, Speeds], places: Mapping[str, int]
) -> tuple[list[Offer], list[Refused]]:
    """The kinds of machine that there are speeds for within what their memory takes. Raises `SizeError` if none fits.

    `places` has those whose memory was looked at.
    """
    offered, refused = [], []
    for machine in machines:
        most = places.get(machine.name)
        usable = [each for each in speeds[machine.name].speeds if most is None or each.at_once <= most]
        if usable:
            offered.append(Offer(machine, usable))
        elif most:
            refused.append(Refused(machine, f"speeds are known for more at once than the {most} that its memory takes"))
        else:
            refused.append(
                Refused(
                    machine, f"{machine.model} with {machine.context:,} tokens does not fit {machine.memory_gib:g} GiB"
                )
            )
    if not offered:
        raise SizeError(
            "no model fits a card that is named: "
            + "; ".join(f"{each.machine.name}: {each.why}" for each in refused)
            + ". Name a larger card, a shorter context or a smaller model"
        )
    return offered, refused


def answer(
    plan: Plan, demand: Demand, speeds: Mapping[str, Speeds], places: Mapping[str, int], prices: Prices | None
) -> Answer:
    """Raises `SizeError` where no kind of machine meets the targets for any number of developers."""
    offered, refused = offers(plan.machines, speeds, places)
    unit = _cloud(plan.cloud, demand, prices)
    teams = []
    for developers in plan.developers:
        answers = [sized(each, developers, demand, plan.targets, plan.limits) for each in offered]
        spent = None if unit is None else unit * demand.requests_per_day * demand.working_days * developers
        teams.append(Team(developers, [*answers, *refused], cheapest(answers), spent))
    if not any(team.chosen for team in teams):
        whys = "; ".join(f"{each.machine.name}: {each.why}" for each in teams[0].answers if isinstance(each, Refused))
        raise SizeError(f"nothing meets the targets: {whys}. Name faster machines, or other `targets`")
    basis = (
        *demand.basis,
        *(speeds[machine.name].basis for machine in plan.machines),
        *(_memory(machine, places.get(machine.name)) for machine in plan.machines),
        *(_money(machine) for machine in plan.machines),
        *_ladder(plan.limits),
        Basis("cloud", plan.cloud or "none named", "unknown" if unit is None else "assumed", _listed(unit, prices)),
    )
    ends = {each.machine.name: list(outgrown(each, demand, plan.targets, plan.limits)) for each in offered}
    return Answer(teams, ends, plan.targets, basis, plan.cloud)


def document(found: Answer) -> dict[str, Any]:
    """For programs: seconds, US dollars of a month, null where nothing is known."""
    return {
        "schema": SCHEMA,
        "currency": "USD",
        "targets": msgspec.to_builtins(found.targets),
        "cloud": found.cloud or None,
        "teams": [
            {
                "developers": team.developers,
                "chosen": team.chosen.machine.name if team.chosen else None,
                "rung": team.chosen.rung if team.chosen else None,
                "cloud_usd": team.cloud_usd,
                "machines": [_line(each) for each in team.answers],
            }
            for team in found.teams
        ],
        "rungs": list(RUNGS),
        "outgrown": {name: [asdict(each) for each in ends] for name, ends in found.outgrown.items()},
        "basis": [asdict(each) for each in found.basis],
    }


def _line(each: Size | Refused) -> dict[str, Any]:
    if isinstance(each, Refused):
        return {"name": each.machine.name, "model": each.machine.model, "refused": each.why}
    told = {name: value for name, value in vars(each).items() if name not in ("machine", "developers", "cost")}
    money = {**asdict(each.cost), "usd": each.cost.usd}
    return {"name": each.machine.name, "model": each.machine.model, "refused": None, **told, "cost": money}


def _cloud(ref: str, demand: Demand, prices: Prices | None) -> float | None:
    """US dollars of one request."""
    if not ref or prices is None:
        return None
    found = prices.cost(ref, demand.mean_request)
    if found is None:
        raise SizeError(f'no price of "{ref}" is in prices.json of {prices.date}; name another `cloud`, or none')
    return found


def _listed(unit: float | None, prices: Prices | None) -> str:
    return "-" if unit is None or prices is None else f"list price of {prices.date}, the same tokens"


def _memory(machine: Machine, most: int | None) -> Basis:
    what = f"memory of {machine.name}"
    if most is None:
        return Basis(what, "not looked at", "unknown", "memory_gib and context are not in the file")
    said = f"{most} at once of {machine.context:,} tokens in {machine.memory_gib:g} GiB"
    return Basis(what, said, "computed", "the sum of `gridtie fit`, llama.cpp's server")


def _money(machine: Machine) -> Basis:
    power, bought = machine.electricity, machine.hardware
    told = (
        "watts unknown"
        if power is None
        else (f"{power.watts:g} W, {power.idle_watts:g} W idle, ${power.usd_per_kwh:g} a kWh")
    )
    told += ", price unknown" if bought is None else f", ${bought.usd:,.0f} over {bought.years:g} years"
    unknown = power is None or bought is None
    return Basis(f"cost of a card of {machine.name}", told, "unknown" if unknown else "assumed", "the file")


def _ladder(limits: Limits) -> tuple[Basis, ...]:
    default = Limits()
    measured = limits.streams_per_router == default.streams_per_router
    return (
        Basis(
            "a router's streams",
            f"{limits.streams_per_router} open at once",
            "measured" if measured else "assumed",
            "150 for an hour, docs/benchmarks.md: no limit that was found, but as far as was looked"
            if measured
            else "`limits` of the file",
        ),
        Basis(
            "servers without a cluster",
            f"{limits.servers_without_cluster}",
            "assumed",
            "`limits` of the file" if limits.servers_without_cluster != default.servers_without_cluster else "ours",
        ),
        Basis("one queue before all cards", "Allen-Cunneen", "assumed", "docs/scale.md, checked by a simulation"),
        Basis("a machine that fails", "nothing is held ready", "assumed", "add one server for it"),
    )
