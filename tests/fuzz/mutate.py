"""Spoils sound inputs, the same way for the same seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

# An input grows no larger: speed is worth more than size, and bounds have tests of their own.
MOST = 8 * 1024


def mutate(rng: random.Random, corpus: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """One of the corpus with a few changes, now and then with none, or nothing but words."""
    if rng.random() < 0.1:
        return b"".join(rng.choices(words, k=rng.randrange(12)))[:MOST]
    data = rng.choice(corpus)
    for _ in range(min(int(rng.expovariate(0.5)), 8)):
        data = _change(rng, data, corpus, words)
    return data[:MOST]


def _change(rng: random.Random, data: bytes, corpus: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(data) + 1)
    to = min(len(data), at + int(rng.expovariate(0.1)) + 1)
    kind = rng.randrange(8)
    if kind == 0:
        return data[:at] + data[to:]
    if kind == 1:
        return data[:at] + rng.choice(words) + data[at:]
    if kind == 2:
        return data[:at] + rng.choice(words) + data[to:]
    if kind == 3:
        return data[:at] + data[at:to] * rng.randrange(2, 5) + data[to:]
    if kind == 4:
        return data[:at] + rng.randbytes(rng.randrange(1, 5)) + data[at:]
    if kind == 5:
        other = rng.choice(corpus)
        return data[:at] + other[rng.randrange(len(other) + 1) :]
    if kind == 6 and at < len(data):
        return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
    return data[:at]


def pieces(rng: random.Random, data: bytes) -> list[bytes]:
    """The input as it may arrive: byte by byte, or cut in a few places."""
    if len(data) < 2:
        return [data]
    if rng.random() < 0.1:
        return [data[at : at + 1] for at in range(len(data))]
    return cut(data, [rng.randrange(1, len(data)) for _ in range(rng.randrange(1, 6))])


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """The input cut at these places."""
    edges = [0, *sorted({place for place in places if 0 < place < len(data)}), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]
