"""Why nothing could be measured, or no further."""

from __future__ import annotations


class BenchError(Exception):
    """It was asked wrongly, or the router or the target cannot be asked: one sentence, exit status 2."""
