"""How much memory work asks for in all: a count of the bytes that are copied, on which no clock has an influence."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable


def allocated(work: Callable[[bytes], object], pieces: Iterable[bytes]) -> int:
    """Bytes by which memory rose above what was there before, summed over a call for each piece."""
    total = 0
    tracemalloc.start()
    try:
        for piece in pieces:
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            work(piece)
            _, peak = tracemalloc.get_traced_memory()
            total += peak - before
    finally:
        tracemalloc.stop()
    return total
