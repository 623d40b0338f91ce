"""How long requests wait: by known results, and against a simulation of every request."""

from __future__ import annotations

import math
from statistics import fmean

import pytest

from gridtie.size.queueing import Queue
from standins.queue import answers_of_a_batching_card, percentile, waits

# What docs/scale.md says of it: so much of the simulated wait, or so much of an answer's time, whichever is more.
POISSON = (0.15, 0.03)
OTHERWISE = (0.20, 0.40)
REQUESTS = 150_000


def off_by(told: float, simulated: float, bounds: tuple[float, float]) -> float:
    """How much of what is allowed an error takes up; 1 is all of it. An answer takes a second here."""
    return abs(told - simulated) / max(bounds[0] * simulated, bounds[1])


def test_two_places_and_an_offered_load_of_one_let_a_third_wait() -> None:
    """Erlang's C for c = 2, a = 1 by hand: (1/2 * 2) / (1 + 1 + 1/2 * 2)."""
    queue = Queue(places=2, arrivals_per_second=1.0, service_s=1.0)

    assert queue.waiting_share == pytest.approx(1 / 3)
    assert queue.mean_wait_s == pytest.approx(1 / 3)


def test_one_place_and_answers_of_one_length_wait_half_as_long_as_random_ones() -> None:
    """Pollaczek and Khinchine's formula, exact for one place: load / (2 (1 - load)) against load / (1 - load)."""
    random = Queue(places=1, arrivals_per_second=0.8, service_s=1.0)
    even = Queue(places=1, arrivals_per_second=0.8, service_s=1.0, service_scv=0.0)

    assert random.mean_wait_s == pytest.approx(4.0)
    assert even.mean_wait_s == pytest.approx(2.0)


def test_of_one_place_95_of_100_wait_as_long_as_the_exact_tail_says() -> None:
    queue = Queue(places=1, arrivals_per_second=0.8, service_s=1.0)

    # P(W > t) = load * exp(-(1 - load) t)
    assert 0.8 * math.exp(-0.2 * queue.wait_s(0.95)) == pytest.approx(0.05)


def test_where_fewer_than_5_of_100_wait_95_of_100_do_not() -> None:
    assert Queue(places=20, arrivals_per_second=8.0, service_s=1.0).wait_s(0.95) == 0.0


@pytest.mark.parametrize("rate", [1.0, 3.0])
def test_who_asks_as_much_as_can_be_answered_or_more_waits_without_end(rate: float) -> None:
    queue = Queue(places=1, arrivals_per_second=rate, service_s=1.0)

    assert queue.mean_wait_s == math.inf
    assert queue.wait_s(0.95) == math.inf


@pytest.mark.parametrize("service_scv", [0.25, 1.0, 2.0])
@pytest.mark.parametrize("load", [0.5, 0.7, 0.85])
@pytest.mark.parametrize("places", [1, 8, 32])
def test_with_random_arrivals_a_simulation_finds_the_same_waits(places: int, load: float, service_scv: float) -> None:
    queue = Queue(places, load * places, 1.0, 1.0, service_scv)

    found = waits(queue, REQUESTS, seed=7)

    assert off_by(queue.mean_wait_s, fmean(found), POISSON) <= 1
    assert off_by(queue.wait_s(0.95), percentile(found, 0.95), POISSON) <= 1


@pytest.mark.parametrize(("arrivals_scv", "service_scv"), [(0.5, 0.5), (2.0, 1.0)])
@pytest.mark.parametrize("load", [0.5, 0.85])
@pytest.mark.parametrize("places", [1, 8])
def test_with_steadier_or_burstier_arrivals_a_simulation_comes_near(
    places: int, load: float, arrivals_scv: float, service_scv: float
) -> None:
    queue = Queue(places, load * places, 1.0, arrivals_scv, service_scv)

    found = waits(queue, REQUESTS, seed=7)

    assert off_by(queue.mean_wait_s, fmean(found), OTHERWISE) <= 1
    assert off_by(queue.wait_s(0.95), percentile(found, 0.95), OTHERWISE) <= 1


@pytest.mark.parametrize("load", [0.3, 0.6, 0.85])
def test_a_card_that_is_faster_with_fewer_at_once_keeps_what_is_promised_of_it(load: float) -> None:
    """Times of answers are those of a full card, and so an upper bound."""
    seconds = [1.0, 1.2, 1.5, 2.0]
    queue = Queue(places=4, arrivals_per_second=load * 4 / seconds[-1], service_s=seconds[-1])

    waited, took = answers_of_a_batching_card(seconds, queue.arrivals_per_second, 20_000, seed=3)

    assert waited <= queue.mean_wait_s * 1.1
    assert took <= (queue.mean_wait_s + queue.service_s) * 1.02
