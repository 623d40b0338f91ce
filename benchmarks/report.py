"""How long `gridtie report` takes for a ledger of a million requests: at most 60 s.

    PYTHONPATH=src python benchmarks/report.py [--rows N] [--ledger FILE]

Makes a ledger with the traffic of a team over 90 days, if FILE is not there already, and asks for the whole report in a
process of its own, as the command does. Prints one line of JSON: rows, size, seconds by the clock and of the processor
(which other load on the machine does not change), peak memory.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from gridtie.dialects.types import Usage
from gridtie.ledger.entry import Entry, Try
from gridtie.ledger.prices import Prices
from gridtie.ledger.store import SqliteStore

CONFIG = Path(__file__).parents[1] / "config"
# 2026-11-29T00:00:00Z.
END = 1_795_910_400.0
DAYS = 90
BASELINE = "openai/gpt-5.4-mini"
LOCAL = ("station/gridtie/qwen2.5-coder:7b", "pool.gpu-server/gridtie/qwen3-coder:30b", "station/gridtie/smollm2:135m")
CLOUD = ("openai/gpt-5.4-mini", "anthropic/claude-haiku-4-5")
KEYS = tuple(f"person-{number}" for number in range(24))
AGENTS = ("planner", "coder", "tester", "reviewer", "documenter", None)


def main() -> int:
    """Exit status 1 where it takes longer than it may."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--ledger", type=Path, help="kept; default: one that is made and removed")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        ledger = args.ledger or Path(scratch) / "ledger.sqlite"
        if not ledger.exists():
            make(ledger, args.rows)
        command = [sys.executable, "-m", "gridtie.report", "--ledger", str(ledger), "--config", str(CONFIG)]
        began = time.monotonic()
        # Until now, so that no row is in the future of the machine's clock.
        subprocess.run(
            [*command, "--since", "2026-01-01", "--html", "--utc-offset", "60"], check=True, stdout=subprocess.DEVNULL
        )
        seconds = time.monotonic() - began
        with sqlite3.connect(ledger) as connection:
            (rows,) = connection.execute("SELECT count(*) FROM requests").fetchone()
        connection.close()
        megabytes = ledger.stat().st_size / 1e6
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
    told = {
        "rows": rows,
        "ledger_mb": round(megabytes),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "peak_mib": round(used.ru_maxrss / 1024),
    }
    print(json.dumps(told))
    return 0 if cpu <= 60 * max(rows / 1_000_000, 1) else 1


def make(ledger: Path, rows: int) -> None:
    """A ledger with the traffic of a team: mostly development on local models, production at clouds, a few troubles."""
    store = SqliteStore(ledger)
    made = entries(rows)
    while batch := list(islice(made, 5000)):
        store.save(batch)
    store.close()


def entries(rows: int, seed: int = 1) -> Iterator[Entry]:
    """Rows in the order of time."""
    chance = random.Random(seed)
    prices = Prices.load(CONFIG / "prices.json")
    for number in range(rows):
        yield _entry(number, END - DAYS * 86_400 * (1 - number / rows), chance, prices)


def _entry(number: int, moment: float, chance: random.Random, prices: Prices) -> Entry:
    environment = chance.choices(("dev", "test", "ci", "production"), (55, 20, 15, 10))[0]
    trouble = chance.random()
    cloud = environment == "production" or (environment == "dev" and trouble < 0.04)
    target = chance.choice(CLOUD) if cloud else chance.choices(LOCAL, (60, 35, 5))[0]
    locality = "cloud" if cloud else "local"
    usage = Usage(
        input=int(chance.lognormvariate(7, 1)),
        output=int(chance.lognormvariate(5, 1)) + 1,
        cached=0,
        cache_write=0,
        reasoning=0,
        estimated=False,
    )
    charge = prices.charge(target, locality, BASELINE, usage)
    tries = [Try(target=target, locality=locality, outcome="ok")]
    if cloud and environment == "dev":
        tries.insert(0, Try(target=LOCAL[0], locality="local", outcome=chance.choice(("busy", "skipped", "timeout"))))
    refused = trouble > 0.99
    first = chance.lognormvariate(-1, 0.6)
    common = {
        "id": f"req-{number:08d}",
        "time": moment,
        "key": chance.choice(KEYS),
        "environment": environment,
        "surface": "openai",
        "asked": "coder",
        "agent": chance.choice(AGENTS),
        "tags": ("shop",) if chance.random() < 0.3 else (),
        "rule": {"dev": "dev", "test": "dev", "ci": "ci", "production": "production"}[environment],
        "project": "gridtie",
    }
    if refused:
        return Entry(**common, status=402, code="budget_exhausted", error="budget")
    return Entry(
        **common,
        status=200,
        stream=True,
        target=target,
        locality=locality,
        served=target.partition("/")[2],
        tries=tuple(tries),
        input_tokens=usage.input,
        output_tokens=usage.output,
        first_token=first,
        duration=first + usage.output / chance.uniform(20, 60),
        cost_usd=charge.cost_usd,
        baseline=BASELINE,
        baseline_usd=charge.baseline_usd,
        price_date=prices.date,
        prices=charge.prices,
        purpose="bench" if chance.random() < 0.01 else "",
    )


if __name__ == "__main__":
    sys.exit(main())
