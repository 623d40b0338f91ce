"""How fast all processors together read main memory, measured so that what else the machine does shows little.

STREAM's rules (arrays of several times the caches, the best of many passes) with two changes for machines that are in
use. A pass is short and is timed by the processor time that it took, so that being put aside for another program does
not count; and not the very best counts but the best hundredth, which is no accident. Every processor reads at the same
time, as the engine's threads do, and only reads: weights are not written.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import threading
import time
from pathlib import Path
from typing import Callable, Iterator, Optional, Sequence

SECONDS = 1.5
_PASS = 1 << 20
# Seconds of filling it bound the upper end: every page is touched once.
_LEAST_BUFFER, _MOST_BUFFER = 256 << 20, 1 << 30
_TIMES_THE_CACHES = 4
# So many saturate the memory of any machine, and Python's lock between passes does not hold them up yet.
_MOST_THREADS = 32
_BEST_SHARE = 0.01

# Looks for a byte that is not there: all of a block is read, and nothing else is done.
Scan = Callable[[int, int], object]


def measure_reading(cpus: Sequence[int], caches: int, available: int, seconds: float = SECONDS) -> Optional[float]:
    """Bytes a second that these processors read together. Takes `seconds` and up to half a second more for at most
    1 GiB, never more than an eighth of the `available` memory.

    None where Python has no ctypes, or the memory is too small to be told from the caches.
    """
    size = min(max(_LEAST_BUFFER, _TIMES_THE_CACHES * caches), _MOST_BUFFER, available // 8)
    scan = _scanner()
    used = list(cpus)[:_MOST_THREADS]
    part = size // max(1, len(used)) // _PASS * _PASS
    if scan is None or not part or size < 2 * caches:
        return None
    with _filled(size) as address:
        start = threading.Barrier(len(used))
        rates: list[list[float]] = [[] for _ in used]
        threads = [
            threading.Thread(target=_read, args=(cpu, address + number * part, part, scan, start, seconds, found))
            for number, (cpu, found) in enumerate(zip(used, rates))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return sum(best(found) for found in rates)


def best(rates: Sequence[float]) -> float:
    """The rate that the best hundredth of all passes reached or passed."""
    ordered = sorted(rates, reverse=True)
    return ordered[int(len(ordered) * _BEST_SHARE)] if ordered else 0.0


def cache_size(root: Path) -> int:
    """Bytes of the machine's last caches together, as far as the kernel tells; 0 where it does not."""
    found: dict[str, int] = {}
    for index in (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cache/index3"):
        with contextlib.suppress(OSError):
            size = re.match(r"(\d+)K", (index / "size").read_text(encoding="ascii"))
            if size:
                found[(index / "shared_cpu_list").read_text(encoding="ascii")] = int(size.group(1)) * 1024
    return sum(found.values())


def _read(
    cpu: int, begin: int, length: int, scan: Scan, start: threading.Barrier, seconds: float, rates: list[float]
) -> None:
    """One thread: pass after pass over its own part, on its own processor, until the time is over."""
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setaffinity(0, [cpu])
    start.wait()
    offset, end, before = 0, time.monotonic() + seconds, time.thread_time()
    while time.monotonic() < end:
        scan(begin + offset, _PASS)
        now = time.thread_time()
        rates.append(_PASS / max(now - before, 1e-9))
        before, offset = now, (offset + _PASS) % length


def _scanner() -> Optional[Scan]:
    """The C library's memchr, which other threads run beside: ctypes lets go of Python's lock."""
    try:
        import ctypes

        memchr = ctypes.CDLL(None).memchr
    except (ImportError, OSError, AttributeError):
        return None
    memchr.restype = ctypes.c_void_p
    memchr.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
    return lambda address, length: memchr(address, 2, length)


@contextlib.contextmanager
def _filled(size: int) -> Iterator[int]:
    """The address of so many bytes of memory that is really there: a page that nobody wrote to is one and the same."""
    import ctypes

    area = mmap.mmap(-1, size)
    # Ordinary pages, as those of a file that is mapped: large ones are there at one time and not at another.
    with contextlib.suppress(AttributeError, OSError):
        area.madvise(mmap.MADV_NOHUGEPAGE)
    view = (ctypes.c_char * size).from_buffer(area)
    try:
        ctypes.memset(view, 1, size)
        yield ctypes.addressof(view)
    finally:
        del view
        area.close()
