"""One order of models that were measured on different benchmarks. Pure.

Nobody measures every model on everything, and a percentage of one benchmark says nothing beside one of another. Scales
are linked through the models that have figures on both, as test scores are equated (the mean and sigma method; Kolen
and Brennan, Test Equating, Scaling, and Linking): in log odds, where 90 to 95 percent is as far as 50 to 67, with the
median for the mean and the mean distance from it for sigma, and without models that are far off the rest.

Benchmarks stand in an order of preference, the first being the reference. A model's score rests on the first one that
it was measured on: on the reference it is that figure itself, else its reading on the reference's scale over the
best-founded chain of links. So two models with the same benchmark are ordered by it, whoever else is known. The other
figures say how sure that order is (docs/decisions/0033-ranking-by-shared-models.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import mean, median
from typing import Collection, Mapping, Optional, Sequence

# Figures in percent: by model, by benchmark.
Measured = Mapping[str, Mapping[str, float]]

# Fewer models than this say nothing about how two scales belong together.
LEAST_SHARED = 3

# A model that is this many times as far off the line as the middle one does not bend it.
ODD = 5.0

# A rank is shown as unsure where the figures allow this many other places, or more.
UNSURE = 5

# Nothing is certain to the last percent: log odds of 0 and 100 are infinite.
_LEAST, _MOST = 0.4, 99.6

# What makes the mean distance from the median of a normal distribution its standard deviation: the root of pi / 2.
_TO_SIGMA = 1.2533


@dataclass(frozen=True)
class Scale:
    """A benchmark. How exact a figure on it is follows from its number of `tasks`, or is given in percent (`error`)."""

    name: str
    tasks: int = 0
    error: float = 0.0

    def noise(self, value: float) -> float:
        """The standard error of a figure, in percent."""
        if not self.tasks:
            return self.error
        share = min(max(value, _LEAST), _MOST) / 100
        return 100 * math.sqrt(share * (1 - share) / self.tasks)


@dataclass(frozen=True)
class Line:
    """What is typical on one scale (`centre`) is so on the other (`height`), and a step on the one is `slope` steps."""

    centre: float
    height: float
    slope: float

    def at(self, value: float) -> float:
        return self.height + self.slope * (value - self.centre)


@dataclass(frozen=True)
class Link:
    """How log odds on one benchmark read on another, by the models in `shared`.

    `error` is the standard error of one reading in the middle of them; it grows outside, where `spread` (the sum of
    squared distances from the middle) says how far they reach.
    """

    target: str
    shared: tuple[str, ...]
    line: Line
    error: float
    spread: float

    def read(self, value: float, error: float) -> tuple[float, float]:
        """The reading of log odds that have an error themselves, with its own error."""
        distance = value - self.line.centre
        own = self.error**2 * (1 + 1 / len(self.shared) + distance**2 / self.spread)
        return self.line.at(value), math.sqrt(own + (self.line.slope * error) ** 2)


@dataclass(frozen=True)
class Standing:
    """Where a model stands. `score` is in percent of the reference, `error` its standard error in log odds.

    `benchmark` is what it rests on, `linked` whether that is another one than the reference, and `shared` on how many
    models the thinnest of its links rests. `place` counts from 1; by the figures it could be any from `best` to
    `worst`. `below` says that the links lead below the least figure that anybody has on the reference, where no model
    vouches for them.
    """

    score: float
    error: float
    benchmark: str
    place: int
    best: int
    worst: int
    linked: bool = False
    shared: int = 0
    below: bool = False

    @property
    def unsure(self) -> bool:
        return self.worst - self.best >= UNSURE


def standings(
    measured: Measured, scales: Sequence[Scale], among: Optional[Collection[str]] = None
) -> dict[str, Standing]:
    """The models that can be placed, best first, by `scales` in order of preference.

    With `among`, places are counted among those alone; the others only link scales. A model without a figure that a
    chain of links leads to the reference is left out.
    """
    reference = scales[0]
    chains = chains_to(measured, reference.name)
    readings = {name: _reading(figures, scales, chains) for name, figures in measured.items()}
    placed = {name: reading for name, reading in readings.items() if reading and (among is None or name in among)}
    floor = min((figures[reference.name] for figures in measured.values() if reference.name in figures), default=0.0)
    order = sorted(placed, key=lambda name: -placed[name].value)
    found = {}
    for place, name in enumerate(order, 1):
        reading = placed[name]
        apart = [_apart(measured, scales, placed, other, name) for other in order]
        chain = chains[reading.benchmark]
        score = percent(reading.value) if chain else measured[name][reference.name]
        found[name] = Standing(
            score=score,
            error=reading.error,
            benchmark=reading.benchmark,
            place=place,
            best=1 + apart.count(1),
            worst=len(order) - apart.count(-1),
            linked=bool(chain),
            shared=min((len(link.shared) for link in chain), default=0),
            below=bool(chain) and score < floor,
        )
    return found


def chains_to(measured: Measured, reference: str) -> dict[str, tuple[Link, ...]]:
    """For each benchmark the links that lead to the reference: the chain whose thinnest link has the most models."""
    benchmarks = sorted({benchmark for figures in measured.values() for benchmark in figures})
    chains: dict[str, tuple[Link, ...]] = {reference: ()}
    while True:
        ways = [
            (len(link.shared), -len(chains[target]), source, link)
            for source in benchmarks
            if source not in chains
            for target in chains
            for link in [link_between(measured, source, target)]
            if link
        ]
        if not ways:
            return chains
        _, _, source, link = max(ways, key=lambda way: way[:3])
        chains[source] = (link, *chains[link.target])


def link_between(measured: Measured, source: str, target: str) -> Optional[Link]:
    """The link over the models that have both figures; None where they are too few, or do not agree who is better."""
    shared = tuple(sorted(name for name, figures in measured.items() if source in figures and target in figures))
    if len(shared) < LEAST_SHARED:
        return None
    points = [(log_odds(measured[name][source]), log_odds(measured[name][target])) for name in shared]
    line = _line(points)
    if line is None or _agreement(points) <= 0:
        return None
    off = [abs(y - line.at(x)) for x, y in points]
    near = [point for point, distance in zip(points, off) if distance <= ODD * median(off)]
    if len(near) >= LEAST_SHARED:
        line = _line(near) or line
    # The odd ones count again here; and two of the models have gone into the line itself.
    error = _TO_SIGMA * mean(abs(y - line.at(x)) for x, y in points) * math.sqrt(len(points) / (len(points) - 2))
    return Link(target, shared, line, error, sum((x - line.centre) ** 2 for x, _ in points))


def log_odds(value: float) -> float:
    """Of a percentage."""
    share = min(max(value, _LEAST), _MOST) / 100
    return math.log(share / (1 - share))


def percent(odds: float) -> float:
    """Of log odds, to a tenth."""
    return round(100 / (1 + math.exp(-odds)), 1)


@dataclass(frozen=True)
class _Reading:
    """Log odds on the reference's scale, their standard error, and the benchmark that was read."""

    value: float
    error: float
    benchmark: str


def _reading(
    figures: Mapping[str, float], scales: Sequence[Scale], chains: Mapping[str, Sequence[Link]]
) -> Optional[_Reading]:
    for scale in scales:
        if scale.name in figures and scale.name in chains:
            figure = figures[scale.name]
            # A small step in percent is the step in log odds divided by p (1 - p).
            share = min(max(figure, _LEAST), _MOST) / 100
            value, error = log_odds(figure), scale.noise(figure) / 100 / (share * (1 - share))
            for link in chains[scale.name]:
                value, error = link.read(value, error)
            return _Reading(value, error, scale.name)
    return None


def _apart(measured: Measured, scales: Sequence[Scale], placed: Mapping[str, _Reading], one: str, other: str) -> int:
    """1 where the figures say that the one is better than the other, -1 where they say worse, 0 where they do not tell.

    Scores that rest on one benchmark have to differ by more than its figures are exact, others by more than the errors
    of both readings; and no benchmark that both were measured on may say otherwise.
    """
    first, second = placed[one], placed[other]
    votes = {
        _sign(measured[one][scale.name] - measured[other][scale.name], _noise(scale, measured[one], measured[other]))
        for scale in scales
        if scale.name in measured[one] and scale.name in measured[other]
    }
    if first.benchmark != second.benchmark:
        read = _sign(first.value - second.value, math.hypot(first.error, second.error))
        if not read:
            return 0
        votes.add(read)
    votes.discard(0)
    return votes.pop() if len(votes) == 1 else 0


def _noise(scale: Scale, one: Mapping[str, float], other: Mapping[str, float]) -> float:
    return math.hypot(scale.noise(one[scale.name]), scale.noise(other[scale.name]))


def _sign(difference: float, least: float) -> int:
    return 0 if abs(difference) <= least else 1 if difference > 0 else -1


def _line(points: Sequence[tuple[float, float]]) -> Optional[Line]:
    """By the medians and the mean distances from them; None where all of one benchmark's figures are the same."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    centre, height = median(xs), median(ys)
    width, other = mean(abs(x - centre) for x in xs), mean(abs(y - height) for y in ys)
    return Line(centre, height, other / width) if width and other else None


def _agreement(points: Sequence[tuple[float, float]]) -> int:
    """Pairs of models that both benchmarks order alike, less those that they do not (Kendall)."""
    pairs = [(points[a], points[b]) for a in range(len(points)) for b in range(a)]
    return sum(_sign((one[0] - other[0]) * (one[1] - other[1]), 0.0) for one, other in pairs)
