"""Which rung, with how many cards, and where it ends."""

from __future__ import annotations

import itertools

import pytest
from msgspec.structs import replace

from gridtie.config.schema import Electricity, Hardware
from gridtie.report.assumptions import Traffic
from gridtie.size.demand import Demand, assumed
from gridtie.size.ladder import RUNGS, Offer, Refused, Size, cheapest, outgrown, routers_for, sized
from gridtie.size.plan import Limits, Machine, Rhythm, Speed, Targets
from gridtie.size.queueing import Queue
from standins.queue import percentile, waits

# 10 s of answer; 0.01 requests a second and developer in the busiest hour.
TRAFFIC = Traffic(requests_per_day=288, input_tokens=1000, output_tokens=450, days=20)
RHYTHM = Rhythm(hours_per_day=8, peak=1)
SPEED = Speed(prompt_tokens_per_second=1000, tokens_per_second=50, at_once=4)
CARD = Machine(
    name="card",
    model="m",
    speeds=[SPEED],
    cards_per_server=2,
    electricity=Electricity(watts=400, usd_per_kwh=0.25),
    hardware=Hardware(usd=3650, years=1),
)
LAPTOP = replace(CARD, name="laptop", use="each", cards_per_server=1)
TARGETS = Targets(wait_p95_s=2, answer_s=20)
DEMAND = assumed(TRAFFIC, RHYTHM)


def size(
    developers: int, machine: Machine = CARD, demand: Demand = DEMAND, limits: Limits | None = None
) -> Size | Refused:
    return sized(Offer(machine, machine.speeds), developers, demand, TARGETS, limits or Limits())


def met(answer: Size | Refused) -> Size:
    assert isinstance(answer, Size)
    return answer


@pytest.mark.parametrize("developers", [10, 60, 200])
def test_with_the_cards_that_are_named_a_simulation_waits_no_longer_than_wanted(developers: int) -> None:
    found = met(size(developers))
    queue = Queue(found.cards * 4, 0.01 * developers, 10.0)

    assert percentile(waits(queue, 60_000, seed=5), 0.95) <= TARGETS.wait_p95_s * 1.15


def test_with_one_card_less_the_targets_are_missed() -> None:
    found = met(size(200))
    less = Queue((found.cards - 1) * 4, 2.0, 10.0)

    assert found.cards > 1
    assert less.load >= 1 or less.wait_s(0.95) > TARGETS.wait_p95_s


def test_a_larger_team_climbs_the_ladder_and_never_down_again() -> None:
    rungs = [RUNGS.index(met(size(developers)).rung) for developers in (1, 5, 30, 150, 500, 1500)]

    assert rungs == sorted(rungs)
    assert met(size(5)).rung == "one shared server"
    assert met(size(150)).rung == "several servers behind one router"
    assert met(size(1500)).rung == "cluster"


def test_streams_beyond_those_of_one_router_need_another() -> None:
    found = met(size(150, limits=Limits(streams_per_router=10)))

    # 1.5 requests a second of 10 s are 15 at once, and three standard deviations of room are 11.6 more.
    assert (found.routers, found.rung) == (3, "several routers")


def test_open_streams_are_those_under_way_and_those_that_wait() -> None:
    assert routers_for(Queue(200, 10.0, 10.0), Limits(streams_per_router=130)) == 1
    assert routers_for(Queue(200, 10.0, 10.0), Limits(streams_per_router=129)) == 2


def test_an_own_machine_for_each_does_or_does_not_whatever_the_team() -> None:
    few, many = met(size(5, LAPTOP)), met(size(500, LAPTOP))

    assert (few.rung, few.servers, many.servers) == ("a machine each", 5, 500)
    assert few.wait_p95_s == many.wait_p95_s


def test_an_own_machine_that_one_developer_keeps_busy_is_refused_with_what_was_found() -> None:
    busy = assumed(replace(TRAFFIC, requests_per_day=28_800), RHYTHM)
    answer = size(5, LAPTOP, busy)

    assert isinstance(answer, Refused)
    assert answer.why == "one developer asks 2.50 times what it can answer in the busiest hour"


def test_a_machine_that_is_too_slow_without_waiting_is_refused_however_many_there_are() -> None:
    slow = replace(CARD, speeds=[replace(SPEED, tokens_per_second=10)])
    answer = size(1, slow)

    assert isinstance(answer, Refused)
    assert answer.why == "an answer takes 46 s without waiting; at most 20 s are wanted"


def test_more_at_once_is_taken_where_it_needs_fewer_cards() -> None:
    alone = replace(SPEED, at_once=1, tokens_per_second=90)
    both = replace(CARD, speeds=[alone, SPEED])

    assert met(size(200, both)).at_once == 4
    assert met(size(200, both)).cards < met(size(200, replace(CARD, speeds=[alone]))).cards


def test_where_a_rung_ends_one_more_developer_needs_the_next() -> None:
    ends = list(outgrown(Offer(CARD, CARD.speeds), DEMAND, TARGETS, Limits()))

    assert [end.rung for end in ends] == sorted((end.rung for end in ends), key=RUNGS.index)
    for end, following in itertools.pairwise(ends):
        assert end.developers is not None
        assert met(size(end.developers)).rung == end.rung
        assert RUNGS.index(met(size(end.developers + 1)).rung) >= RUNGS.index(following.rung)
    assert (ends[-1].rung, ends[-1].developers) == ("cluster", None)


def test_the_cheapest_is_taken_and_an_unknown_cost_never_counts_as_none() -> None:
    unknown = met(size(5, replace(CARD, hardware=None)))
    known = met(size(5))

    assert unknown.cost.usd is None
    assert cheapest([unknown, known]) is known
    assert cheapest([unknown]) is unknown
    assert cheapest([Refused(CARD, "no")]) is None
