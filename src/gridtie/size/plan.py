"""The file of `gridtie size`: who asks what, what is good enough, and which machines there might be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from gridtie.config import source
from gridtie.config.convert import convert
from gridtie.config.problems import ConfigError, KeyPath, Problem
from gridtie.config.schema import Electricity, Hardware, Struct
from gridtie.report.assumptions import Traffic, within


class Rhythm(Struct, frozen=True):
    """When it is asked, and how unevenly."""

    # In which a day's requests come.
    hours_per_day: float = 8.0
    # The busiest hour's requests by those of a mean hour.
    peak: float = 2.0
    # Squared coefficients of variation: of the times between requests, and of the times that answers take.
    arrivals_scv: float = 1.0
    answers_scv: float = 1.0


class Targets(Struct, frozen=True):
    """What is good enough in the busiest hour."""

    # Seconds in the queue that 95 of 100 requests do not exceed.
    wait_p95_s: float = 2.0
    # Seconds from the question to the last token, on average.
    answer_s: float = 60.0


class Limits(Struct, frozen=True):
    """Where one rung ends and the next begins."""

    # Open streams that one router was measured with for an hour.
    streams_per_router: int = 150
    # Servers that people look after by an inventory, without a cluster that starts them again elsewhere.
    servers_without_cluster: int = 8


class Speed(Struct, frozen=True):
    """How fast each of `at_once` requests is answered while that many are under way on one card."""

    prompt_tokens_per_second: float
    tokens_per_second: float
    at_once: int = 1


class Machine(Struct, frozen=True):
    """A kind of machine with a model on it."""

    name: str
    model: str
    # Assumed; a benchmark or a ledger takes their place.
    speeds: list[Speed] = []
    # each: everybody has one; shared: as many as are needed.
    use: Literal["each", "shared"] = "shared"
    cards_per_server: int = 1
    # Of one card, and tokens of one request: with both it is computed how many requests fit. None: not looked at.
    memory_gib: float | None = None
    context: int | None = None
    # Of one card with its share of the server. None: unknown, and so is the cost.
    electricity: Electricity | None = None
    hardware: Hardware | None = None
    # `provider/model` of a ledger, whose speed is this machine's.
    measured_as: str = ""


class Plan(Struct, frozen=True):
    """The whole file. Without `traffic` it is a ledger's."""

    machines: list[Machine]
    developers: tuple[int, ...] = (5, 30, 150, 500)
    traffic: Traffic | None = None
    rhythm: Rhythm = Rhythm()
    targets: Targets = Targets()
    limits: Limits = Limits()
    # `provider/model` of the price list: what the same tokens cost there.
    cloud: str = ""


MOST_DEVELOPERS = 10_000
# Of the rhythm, what 24 bounds: the least, and what is wanted.
_NARROWER = {
    "hours_per_day": (0.1, "hours, 0.1 to 24"),
    "peak": (1.0, "1 to 24 times a mean hour"),
}


def parse(raw: bytes, file: str) -> Plan:
    """Raises `ConfigError` with all that is wrong; `file` is only for messages."""
    found = source.parse(raw, file)
    plan, problems = convert(found.data, Plan)
    if plan is not None:
        problems = list(_check(plan))
    if problems or plan is None:
        raise ConfigError([found.locate(problem) for problem in problems])
    return plan


def _check(plan: Plan) -> Iterator[Problem]:
    if not plan.machines:
        yield Problem(path=("machines",), what="the list is empty", fix="name at least one")
    if not plan.developers:
        yield Problem(path=("developers",), what="the list is empty", fix="name at least one number")
    for at, count in enumerate(plan.developers):
        yield from within(count, 1, MOST_DEVELOPERS, ("developers", at), f"developers, 1 to {MOST_DEVELOPERS}")
    names = [machine.name for machine in plan.machines]
    for at, machine in enumerate(plan.machines):
        if machine.name in names[:at]:
            yield Problem(path=("machines", at, "name"), what=f'"{machine.name}" is there twice', fix="choose another")
        yield from _machine(machine, ("machines", at))
    if plan.traffic is not None:
        yield from _traffic(plan.traffic)
    for section, least, most in (("rhythm", 0.0, 1e3), ("targets", 0.0, 1e6), ("limits", 1, 1e6)):
        for key, value in msgspec.structs.asdict(getattr(plan, section)).items():
            if key not in _NARROWER:
                yield from within(value, least, most, (section, key), f"{least:g} to {most:g}")
    for key, (least, wanted) in _NARROWER.items():
        yield from within(getattr(plan.rhythm, key), least, 24, ("rhythm", key), wanted)


def _machine(machine: Machine, path: KeyPath) -> Iterator[Problem]:
    yield from within(machine.cards_per_server, 1, 64, (*path, "cards_per_server"), "cards, 1 to 64")
    if (machine.memory_gib is None) != (machine.context is None):
        yield Problem(
            path=path,
            what="memory_gib and context belong together",
            fix="name both, or neither: then fit is not looked at",
        )
    for key, most in (("memory_gib", 1e5), ("context", 1e8)):
        if (value := getattr(machine, key)) is not None:
            yield from within(value, 0.1 if key == "memory_gib" else 1, most, (*path, key), "more than 0")
    for at, speed in enumerate(machine.speeds):
        yield from within(speed.at_once, 1, 1024, (*path, "speeds", at, "at_once"), "requests at once, 1 to 1024")
        for key in ("prompt_tokens_per_second", "tokens_per_second"):
            yield from within(getattr(speed, key), 0.01, 1e7, (*path, "speeds", at, key), "tokens a second")
    for struct, section in ((machine.electricity, "electricity"), (machine.hardware, "hardware")):
        for key, value in msgspec.structs.asdict(struct).items() if struct else ():
            yield from within(value, 0.01 if key == "years" else 0, 1e9, (*path, section, key), "0 or more")


def _traffic(traffic: Traffic) -> Iterator[Problem]:
    for key, least, most, wanted in (
        ("requests_per_day", 0.001, 1e6, "requests of one developer, more than 0"),
        ("input_tokens", 0, 1e7, "tokens of one request"),
        ("output_tokens", 0, 1e7, "tokens of one request"),
        ("cached_share", 0, 1, "a share, 0 to 1"),
        ("days", 1, 31, "working days of a month, 1 to 31"),
    ):
        yield from within(getattr(traffic, key), least, most, ("traffic", key), wanted)
    if traffic.input_tokens * (1 - traffic.cached_share) + traffic.output_tokens <= 0:
        yield Problem(path=("traffic",), what="a request of no tokens takes no time", fix="name input_tokens and more")
