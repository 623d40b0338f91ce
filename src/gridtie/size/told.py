"""What `gridtie size` says, as text."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gridtie.host.table import table
from gridtie.report.words import money, percent
from gridtie.size.answer import Answer, Team
from gridtie.size.ladder import Refused, Size

TEAMS = ("developers", "take", "rung", "cards", "servers", "routers", "p95 wait", "answer", "cost a month", "cloud")
MACHINES = (
    "machine",
    "rung",
    "cards",
    "at once",
    "load",
    "mean wait",
    "p95 wait",
    "answer",
    "electricity",
    "written off",
)
ENDS = ("machine", "rung", "up to developers", "then")
BASIS = ("what", "value", "", "source")


def text(found: Answer) -> str:
    """For a terminal."""
    wanted = (
        f"In the busiest hour 95 of 100 requests wait at most {found.targets.wait_p95_s:g} s, and an answer takes at "
        f"most {found.targets.answer_s:g} s on average. What is taken is the cheapest that does; quality is not "
        "looked at."
    )
    parts = [
        wanted,
        table(TEAMS, list(teams(found)), right=(0, *range(3, len(TEAMS)))),
        *(_team(team) for team in found.teams),
        "Where one outgrows what:",
        table(ENDS, list(ends(found)), right=(2,)),
        "What this rests on:",
        table(BASIS, list(basis(found))),
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def teams(found: Answer) -> Iterator[list[str]]:
    """A line for each number of developers, under TEAMS."""
    for team in found.teams:
        cloud = "-" if not found.cloud else money(team.cloud_usd)
        took = team.chosen
        if took is None:
            yield [f"{team.developers:,}", "nothing that is named will do", *["-"] * 7, cloud]
            continue
        counts = (f"{each:,}" for each in (took.cards, took.servers, took.routers))
        times = (seconds(took.wait_p95_s), seconds(took.answer_s))
        yield [f"{team.developers:,}", took.machine.name, took.rung, *counts, *times, money(took.cost.usd), cloud]


def machines(team: Team) -> Iterator[list[str]]:
    """A line for each kind of machine that will do, under MACHINES."""
    for each in team.answers:
        if isinstance(each, Size):
            yield [
                each.machine.name,
                each.rung,
                f"{each.cards:,}",
                str(each.at_once),
                percent(each.load),
                *(seconds(time) for time in (each.wait_mean_s, each.wait_p95_s, each.answer_s)),
                money(each.cost.electricity_usd),
                money(each.cost.amortisation_usd),
            ]


def refusals(team: Team) -> Iterator[str]:
    """A sentence for each that will not."""
    for each in team.answers:
        if isinstance(each, Refused):
            yield f"{each.machine.name} will not do: {each.why}."


def ends(found: Answer) -> Iterator[list[str]]:
    """Where each kind of machine outgrows each rung, under ENDS."""
    for name, rungs in found.outgrown.items():
        for each in rungs:
            yield [name, each.rung, "any" if each.developers is None else f"{each.developers:,}", each.why]


def basis(found: Answer) -> Iterator[list[str]]:
    """What was put in, under BASIS."""
    for each in found.basis:
        yield [each.what, each.value, each.status, each.source]


def seconds(time: float) -> str:
    """To a tenth; what is less is said to be."""
    if not math.isfinite(time):
        return "no end"
    return "0 s" if time == 0 else "< 0.1 s" if time < 0.1 else f"{time:,.1f} s"


def _team(team: Team) -> str:
    lines = [f"{team.developers:,} developers:", *refusals(team)]
    rows = list(machines(team))
    if rows:
        lines.append(table(MACHINES, rows, right=range(2, len(MACHINES))).rstrip("\n"))
    return "\n".join(lines)
