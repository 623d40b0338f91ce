"""Which rung of the ladder a team needs, with how many cards, and where it outgrows each rung. Pure.

Several cards that answer for everybody are one queue before all their places: the router sends a request where a place
is free. Several routers, which do not see each other's queues, come near that and no nearer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gridtie.size.cost import Cost, cost
from gridtie.size.demand import DAYS_OF_A_MONTH, Demand
from gridtie.size.plan import MOST_DEVELOPERS, Limits, Machine, Speed, Targets
from gridtie.size.queueing import Queue

# From the lowest to the highest.
RUNGS = (
    "a machine each",
    "one shared server",
    "several servers behind one router",
    "several routers",
    "cluster",
)
_MOST_CARDS = 100_000
# Share of the requests that the target of waiting is about.
SHARE = 0.95
# Standard deviations above the mean that open streams are allowed for (as of a Poisson number of them).
_SURE = 3.0


@dataclass(frozen=True)
class Offer:
    """A kind of machine with the speeds that count, none with more at once than its memory takes."""

    machine: Machine
    speeds: Sequence[Speed]


@dataclass(frozen=True)
class Size:
    """So many machines of one kind for so many developers, in the busiest hour; times in seconds."""

    machine: Machine
    developers: int
    rung: str
    cards: int
    servers: int
    routers: int
    # Answered at once on a card.
    at_once: int
    load: float
    wait_mean_s: float
    wait_p95_s: float
    # From the question to the last token, on average.
    answer_s: float
    # Of a month.
    cost: Cost


@dataclass(frozen=True)
class Refused:
    """Why a kind of machine is not enough, however many there are."""

    machine: Machine
    why: str


@dataclass(frozen=True)
class Outgrown:
    """The most developers that a rung holds with one kind of machine, and what ends it; None: no end was found."""

    rung: str
    developers: int | None
    why: str


def sized(offer: Offer, developers: int, demand: Demand, targets: Targets, limits: Limits) -> Size | Refused:
    """As few cards as meet the targets, with the speed that needs the fewest and lets wait the least."""
    answers = [_with_speed(offer.machine, speed, developers, demand, targets, limits) for speed in offer.speeds]
    met = [each for each in answers if isinstance(each, Size)]
    if met:
        return min(met, key=lambda each: (each.cards, each.wait_p95_s, each.answer_s))
    return next(each for each in answers if isinstance(each, Refused))


def cheapest(answers: Sequence[Size | Refused]) -> Size | None:
    """Of those that meet the targets; what nobody knows the cost of comes last, by its rung."""
    met = [each for each in answers if isinstance(each, Size)]
    return min(
        met,
        key=lambda each: (each.cost.usd is None, each.cost.usd or 0.0, RUNGS.index(each.rung)),
        default=None,
    )


def outgrown(offer: Offer, demand: Demand, targets: Targets, limits: Limits) -> Iterator[Outgrown]:
    """Each rung that this kind of machine is on with some number of developers, up to 10,000 of them."""

    def at(developers: int) -> Size | Refused:
        return sized(offer, developers, demand, targets, limits)

    first = at(1)
    if isinstance(first, Refused):
        return
    if offer.machine.use == "each":
        yield Outgrown(RUNGS[0], None, "not outgrown by numbers, but by what one developer asks")
        return
    before = 0
    for number, rung in enumerate(RUNGS[1:], 1):
        most = _most(lambda count, number=number: _on(at(count), number))  # type: ignore[misc]
        if most > before:
            following = at(most + 1) if most < MOST_DEVELOPERS else None
            yield Outgrown(rung, most if following else None, _end(following))
        before = max(before, most)


def _on(answer: Size | Refused, number: int) -> bool:
    return isinstance(answer, Size) and RUNGS.index(answer.rung) <= number


def _end(following: Size | Refused | None) -> str:
    if following is None:
        return f"not outgrown by {MOST_DEVELOPERS:,} developers"
    if isinstance(following, Refused):
        return following.why
    return f"one more needs {following.cards} cards in {following.servers} servers, and {following.routers} routers"


def _most(holds: Callable[[int], bool]) -> int:
    """The largest number of developers that holds, where every smaller one does; 0 if none."""
    low, high = 0, MOST_DEVELOPERS
    while low < high:
        middle = (low + high + 1) // 2
        if holds(middle):
            low = middle
        else:
            high = middle - 1
    return low


def _with_speed(
    machine: Machine, speed: Speed, developers: int, demand: Demand, targets: Targets, limits: Limits
) -> Size | Refused:
    each = machine.use == "each"
    service_s = demand.service_s(speed)
    if service_s > targets.answer_s:
        return Refused(
            machine, f"an answer takes {service_s:.3g} s without waiting; at most {targets.answer_s:g} s are wanted"
        )
    asking = 1 if each else developers

    def queue(cards: int) -> Queue:
        return Queue(
            places=cards * speed.at_once,
            arrivals_per_second=demand.requests_per_second * asking,
            service_s=service_s,
            arrivals_scv=demand.arrivals_scv,
            service_scv=demand.service_scv(speed),
        )

    def enough(cards: int) -> bool:
        asked = queue(cards)
        return (
            asked.load < 1
            and asked.wait_s(SHARE) <= targets.wait_p95_s
            and asked.mean_wait_s + service_s <= targets.answer_s
        )

    if each:
        if not enough(1):
            return Refused(machine, _too_busy(queue(1), targets))
        cards = 1
    else:
        cards = _fewest(enough, max(1, math.floor(queue(1).offered / speed.at_once)))
        if not cards:
            return Refused(machine, f"more than {_MOST_CARDS:,} cards are needed")
    found = queue(cards)
    return _size(machine, speed, developers, demand, limits, found, cards)


def _too_busy(asked: Queue, targets: Targets) -> str:
    if asked.load >= 1:
        return f"one developer asks {asked.load:.2f} times what it can answer in the busiest hour"
    return (
        f"95 % wait up to {asked.wait_s(SHARE):.3g} s ({targets.wait_p95_s:g} s wanted), and an answer takes "
        f"{asked.mean_wait_s + asked.service_s:.3g} s ({targets.answer_s:g} s wanted)"
    )


def _fewest(enough: Callable[[int], bool], low: int) -> int:
    """The smallest number of cards from `low` on that is enough, where every larger one is; 0 if none is found."""
    high = low
    while not enough(high):
        low, high = high + 1, high * 2
        if high > _MOST_CARDS:
            return 0
    while low < high:
        middle = (low + high) // 2
        if enough(middle):
            high = middle
        else:
            low = middle + 1
    return high


def _size(
    machine: Machine, speed: Speed, developers: int, demand: Demand, limits: Limits, found: Queue, cards: int
) -> Size:
    each = machine.use == "each"
    all_cards = developers if each else cards
    servers = developers if each else math.ceil(cards / machine.cards_per_server)
    # Everybody's own machine has its own router.
    routers = developers if each else routers_for(found, limits)
    answering_s = demand.requests_per_day * demand.working_days * developers * found.service_s
    return Size(
        machine=machine,
        developers=developers,
        rung=RUNGS[0] if each else _rung(servers, routers, limits),
        cards=all_cards,
        servers=servers,
        routers=routers,
        at_once=speed.at_once,
        load=found.load,
        wait_mean_s=found.mean_wait_s,
        wait_p95_s=found.wait_s(SHARE),
        answer_s=found.mean_wait_s + found.service_s,
        cost=cost(machine, all_cards, answering_s, DAYS_OF_A_MONTH),
    )


def routers_for(asked: Queue, limits: Limits) -> int:
    """For the streams that are open at once: those under way and those that wait (Little's law), and room above."""
    mean = asked.arrivals_per_second * (asked.service_s + asked.mean_wait_s)
    return max(1, math.ceil((mean + _SURE * math.sqrt(mean)) / limits.streams_per_router))


def _rung(servers: int, routers: int, limits: Limits) -> str:
    if servers > limits.servers_without_cluster:
        return RUNGS[4]
    if routers > 1:
        return RUNGS[3]
    return RUNGS[1] if servers == 1 else RUNGS[2]
