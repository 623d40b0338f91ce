"""Money at clouds: what a request may be billed at most is taken before it is sent, and what is not there is not sent.

The bound is the router's own (docs/decisions/0014): a token for every three bytes of text, the whole output limit, at
the dearest of what the router may do, which is to try every cloud of its plan. What is denser than that may be billed
above it; the prompts of a benchmark are plain words and code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from gridtie.bench.errors import BenchError
from gridtie.bench.lines import Money
from gridtie.dialects.facts import Facts
from gridtie.dialects.types import Usage
from gridtie.providers.registry import Targets
from gridtie.routing.decide import DENSE_BYTES_PER_TOKEN, MOST_MESSAGE_TOKENS


class Spending(Protocol):
    """Results that say what was spent."""

    @property
    def money(self) -> Mapping[int, Money]: ...

    @property
    def spent(self) -> float: ...


class Book(Protocol):
    """Where money is written down; `bench.results.Writer` is one."""

    @property
    def results(self) -> Spending: ...

    def add(self, line: Money) -> None: ...


class SpentUp(BenchError):
    """The next request might be billed above what may be spent."""


def bound(targets: Targets, clouds: Sequence[str]) -> Callable[[Facts, int], float]:
    """What a request with so many tokens of answer may be billed at most, in US dollars.

    Raises `BenchError` where one of the clouds has no price.
    """
    prices = [targets.by_id[name] for name in clouds if name in targets.by_id]
    unpriced = [each.id for each in prices if targets.cost(each, Usage(input=1, output=1)) is None]
    if unpriced := [*unpriced, *(name for name in clouds if name not in targets.by_id)]:
        raise BenchError(
            f"what {', '.join(unpriced)} costs is not known, so no limit of spending can be kept; "
            "give it a price in llm_routing.yaml (providers.*.prices)"
        )

    def most(facts: Facts, output: int) -> float:
        text = -(-facts.text_bytes // DENSE_BYTES_PER_TOKEN) + MOST_MESSAGE_TOKENS * facts.messages
        usage = Usage(input=text, output=output)
        return sum(targets.cost(each, usage) or 0.0 for each in prices)

    return most


class Purse:
    """What may still be spent; what it hands out is on the disk before it is spent, so that a kill forgets nothing."""

    def __init__(self, writer: Book, limit: float) -> None:
        self._writer = writer
        self._limit = limit

    @property
    def left(self) -> float:
        return self._limit - self._writer.results.spent

    def take(self, usd: float) -> int:
        """Reserve; gives the number to settle by. Raises `SpentUp`."""
        if usd > self.left:
            raise SpentUp(
                f"the next request may cost ${usd:.4f} and ${max(0.0, self.left):.4f} of ${self._limit:g} are left; "
                "--spend allows more"
            )
        # By what is written there: the sides of a comparison share one book, and have a purse each.
        number = max(self._writer.results.money, default=-1) + 1
        self._writer.add(Money(number=number, usd=usd))
        return number

    def settle(self, number: int, usd: float | None) -> None:
        """What it was billed by the ledger; None: nobody knows, and the whole reservation counts as spent."""
        if usd is not None:
            self._writer.add(Money(number=number, usd=usd, final=True))
