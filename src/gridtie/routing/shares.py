"""Which of the targets that share a place by weight comes first for a request. Pure: the request's name is the lot."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from math import log
from typing import Protocol, TypeVar

from gridtie.providers.target import Target

_BYTES = 8


class Sharing(Protocol):
    """One of them: those of the same rank share a place."""

    @property
    def target(self) -> Target: ...

    @property
    def rank(self) -> int: ...

    @property
    def weight(self) -> int: ...


S = TypeVar("S", bound=Sharing)


def drawn(candidates: Sequence[S], lot: str) -> list[S]:
    """In the order for one request: by rank, and within a rank each as often first as its weight says.

    Weighted rendezvous hashing (Wang and Ravishankar 1998; the weights after Schindelhauer and Schomaker 2005): the
    same lot gives the same order, and a target that comes or goes moves no request between the others.
    """
    return sorted(candidates, key=lambda each: (each.rank, _place(each, lot)))


def _place(each: Sharing, lot: str) -> float:
    """An exponential variable of this rate: the least of several is each one's by its part of the sum of rates."""
    return -log(uniform(lot, each.target)) / each.weight


def uniform(lot: str, target: Target) -> float:
    """A number between 0 and 1 that this lot draws for a target."""
    digest = blake2b(f"{lot} {target.id}".encode("utf-8", "replace"), digest_size=_BYTES).digest()
    return (int.from_bytes(digest) + 0.5) / (1 << 8 * _BYTES)
