"""Queues, event by event: what the model of `gridtie size` is held against."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass

from gridtie.size.queueing import Queue


def waits(queue: Queue, requests: int, seed: int) -> list[float]:
    """Seconds that each request waits for one of the places, in order of arrival; the first tenth is left out.

    Times between arrivals and times of service are gamma distributed, with the queue's means and variabilities.
    """
    draw = random.Random(seed)
    free = [0.0] * queue.places
    now, found = 0.0, []
    for _ in range(requests):
        now += _gamma(draw, 1 / queue.arrivals_per_second, queue.arrivals_scv)
        start = max(now, free[0])
        heapq.heapreplace(free, start + _gamma(draw, queue.service_s, queue.service_scv))
        found.append(start - now)
    return found[requests // 10 :]


@dataclass
class _Under:
    """A request under way: since when, and how much of it is left (1 at first)."""

    came: float
    left: float


def answers_of_a_batching_card(
    seconds: Sequence[float], arrivals_per_second: float, requests: int, seed: int
) -> tuple[float, float]:
    """Mean wait, and mean time to the end of an answer, of a card that is the slower the more it answers at once.

    `seconds[n - 1]` is the mean time of an answer while n are under way; so many places as there are of them.
    """
    draw = random.Random(seed)
    now, following = 0.0, draw.expovariate(arrivals_per_second)
    under: list[_Under] = []
    queue: list[float] = []
    waited, took, came = 0.0, 0.0, 0
    while came < requests or under:
        rate = 1 / seconds[len(under) - 1] if under else 0.0
        first = min(under, key=lambda each: each.left, default=None)
        end = now + first.left / rate if first else float("inf")
        at = min(end, following)
        for each in under:
            each.left -= (at - now) * rate
        now = at
        if at == following:
            queue.append(now)
            came += 1
            following = now + draw.expovariate(arrivals_per_second) if came < requests else float("inf")
        elif first:
            under.remove(first)
            took += now - first.came
        while queue and len(under) < len(seconds):
            arrived = queue.pop(0)
            waited += now - arrived
            under.append(_Under(arrived, draw.expovariate(1)))
    return waited / requests, took / requests


def percentile(values: Sequence[float], share: float) -> float:
    """By nearest rank."""
    return sorted(values)[int(share * (len(values) - 1))]


def _gamma(draw: random.Random, mean: float, scv: float) -> float:
    return mean if scv == 0 else draw.gammavariate(1 / scv, mean * scv)
