"""Cost per solved task by groups of tries (a category of tasks, an agent), with intervals; two sides of it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gridtie.bench.stats import Estimate
from gridtie.bench.text import interval
from gridtie.bench.text import seconds as time_words
from gridtie.host.table import table
from gridtie.quality.stats import Rate, wilson
from gridtie.report.words import money as money_words
from gridtie.solved.money import Tariff
from gridtie.solved.stats import per_solved


@dataclass(frozen=True)
class Tried:
    """What one task took, all its tries together; of an agent, what its part in it took."""

    group: str
    solved: bool
    seconds: float
    # US dollars; None: not known.
    usd: float | None


@dataclass(frozen=True)
class Line:
    """One group. Money and time of one solved task; None where nothing was solved, or what it cost is not known."""

    group: str
    rate: Rate
    usd: Estimate | None
    seconds: Estimate | None


def lines(tried: Sequence[Tried], order: Iterable[str] = (), everything: str = "") -> list[Line]:
    """A line for each group, those of `order` first, and at the end one for all, if `everything` names it."""
    groups: dict[str, list[Tried]] = {name: [] for name in order}
    for each in tried:
        groups.setdefault(each.group, []).append(each)
    if everything:
        groups[everything] = list(tried)
    return [_line(group, each) for group, each in groups.items() if each]


def _line(group: str, tried: Sequence[Tried]) -> Line:
    solved = [each.solved for each in tried]
    usd = [each.usd for each in tried if each.usd is not None]
    return Line(
        group=group,
        rate=wilson(sum(solved), len(solved)),
        usd=per_solved(usd, solved) if len(usd) == len(tried) else None,
        seconds=per_solved([each.seconds for each in tried], solved),
    )


def total(amounts: Iterable[float | None]) -> float | None:
    """The sum; None where one of them is not known."""
    found = list(amounts)
    known = [amount for amount in found if amount is not None]
    return sum(known) if len(known) == len(found) else None


def mean(amounts: Iterable[float | None]) -> float | None:
    """The mean; None where one of them is not known."""
    found = list(amounts)
    whole = total(found)
    return None if whole is None else whole / len(found)


def rate(found: Rate) -> str:
    """A rate for people."""
    return f"{found.passed} of {found.total} ({found.low:.0%} to {found.high:.0%})"


def usd(found: Line) -> str:
    """Its money for people."""
    return _shown(found, found.usd, money_words)


def seconds(found: Line) -> str:
    """Its time for people."""
    return _shown(found, found.seconds, time_words)


def _shown(found: Line, estimate: Estimate | None, words: Callable[[float], str]) -> str:
    if estimate is None:
        return "unknown" if found.rate.passed else "none solved"
    return interval(estimate, words)


def comparison(first: Sequence[Line], second: Sequence[Line], *, judged: bool = True) -> str:
    """Two sides, A and B, over the groups of both; `judged`: with a word on which is cheaper and which is faster."""
    other = {line.group: line for line in second}
    pairs = [(line, other[line.group]) for line in first if line.group in other]
    tables = []
    for what, shown, take, word in _MEASURES:
        rows = [(one.group, shown(one), shown(two), less(take(one), take(two))) for one, two in pairs]
        columns = 4 if judged else 3
        head = (f"{what} of a solved task", "A", "B", word)
        tables.append(table(head[:columns], [row[:columns] for row in rows], right=(1, 2)))
    return "\n\n".join(tables)


_MEASURES: tuple[tuple[str, Callable[[Line], str], Callable[[Line], Estimate | None], str], ...] = (
    ("Money", usd, lambda line: line.usd, "cheaper"),
    ("Time", seconds, lambda line: line.seconds, "faster"),
)


def less(first: Estimate | None, second: Estimate | None) -> str:
    """Which is less, of two with 95 % intervals: said only where these do not even touch."""
    ends = [(each.low, each.high) if each is not None else (None, None) for each in (first, second)]
    (low_a, high_a), (low_b, high_b) = ends
    if high_a is not None and low_b is not None and high_a < low_b:
        return "A"
    return "B" if high_b is not None and low_a is not None and high_b < low_a else "-"


def counted(tariff: Tariff) -> str:
    """What is in the money, and how sure it is."""
    return (
        "Money and time of a solved task count all tries, failed ones included, with 95 % intervals. Money: clouds at "
        f"list prices, local answers by electricity ({tariff.words}) or prices of their own; idle hours and the "
        "hardware are in none of it."
    )
