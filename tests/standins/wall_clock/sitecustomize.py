"""On a process's PYTHONPATH this makes its wall clock what a file says: so many seconds beside the real one.

Python imports `sitecustomize` at start, before anybody takes `time` from the module `time`. The monotonic clock stays
as it is, as it does where a kernel's clock is set.
"""

from __future__ import annotations

import os
import time

_real = time.time
_file = os.environ["GRIDTIE_TEST_CLOCK"]


def _shifted() -> float:
    with open(_file) as stream:  # noqa: PTH123
        text = stream.read()
    return _real() + float(text or 0)


time.time = _shifted
