"""How fast the station's models were in use, by the ledger's own times of real requests: what replaces an estimate.

Nothing is asked of the engine for it. Counted are streamed answers of this station's engine that were served whole and
whose tokens the engine counted; from the first token on, so that neither loading nor reading the prompt is in it. What
ran at the same time is: that is how fast the model is here.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from pathlib import Path

from ..ledger_file import read_only
from .speed import LEAST_RUNS, LEAST_TOKENS, Speed, of_runs

# A station's own models, as the ledger names them; the rest is the catalogue's name.
_PREFIX = "station/gridtie/"
# Of each model so many of the latest count: an engine that was upgraded is soon known by its own figures.
_LATEST = 50
# Seconds from the first token to the end. An answer that was held back until it was whole comes at once.
_LEAST_S = 0.1
_ANSWERS = """
    SELECT target, (output_tokens - 1) / (duration - first_token) FROM (
      SELECT target, output_tokens, duration, first_token,
             row_number() OVER (PARTITION BY target ORDER BY time DESC) AS age
      FROM requests
      WHERE target LIKE ? AND stream = 1 AND complete = 1 AND status = 200 AND estimated = 0
        AND output_tokens >= ? AND duration - first_token >= ?
    ) WHERE age <= ?
"""


def served_speeds(ledger: Path) -> dict[str, Speed]:
    """By name of the catalogue, for models with at least five such answers; empty where this user may not read it."""
    try:
        reader = read_only(ledger)
    except sqlite3.Error:
        return {}
    rates: dict[str, list[float]] = defaultdict(list)
    try:
        for target, rate in reader.execute(_ANSWERS, (f"{_PREFIX}%", LEAST_TOKENS, _LEAST_S, _LATEST)):
            rates[target[len(_PREFIX) :]].append(rate)
    except sqlite3.Error:
        return {}
    finally:
        reader.close()
    return {name: of_runs(name, found) for name, found in rates.items() if len(found) >= LEAST_RUNS}


def tokens_per_second(ledger: Path) -> dict[str, float]:
    """Their medians."""
    return {name: speed.median for name, speed in served_speeds(ledger).items()}
