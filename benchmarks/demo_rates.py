"""How often the demo's tasks are solved, seed by seed, through whatever endpoint OPENAI_BASE_URL names.

    python benchmarks/demo_rates.py --engine ollama --model gridtie/smollm2:135m            # measure, 100 seeds a task
    python benchmarks/demo_rates.py --engine ollama --tasks slugify --seeds 20 --gating-only
    python benchmarks/demo_rates.py --write                                                 # the table in docs/demo.md

Every finished seed is one line in the results file, and a seed that is there is not measured again: a run can be
stopped at any time and goes on where it was. `--gating-only` leaves out the tester and the reviewer, who cannot change
the verdict; it is recorded with each line.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from gridtie.agents import endpoint, pipeline, tasks
from gridtie.agents.client import Client
from gridtie.agents.screen import Screen
from gridtie.host import sandbox

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "demo_rates.jsonl"
PAGE = HERE.parent / "docs" / "demo.md"
BEGIN, END = "<!-- rates: begin -->", "<!-- rates: end -->"


@dataclass(frozen=True)
class Run:
    """One seed of one task on one engine."""

    engine: str
    model: str
    task: str
    seed: int
    passed: bool
    tries: int
    full: bool
    seconds: float
    failure: str


def load(path: Path) -> list[Run]:
    """All recorded runs."""
    if not path.exists():
        return []
    return [Run(**json.loads(line)) for line in path.read_text().splitlines() if line]


def measure(options: argparse.Namespace) -> None:
    """Run the missing seeds, appending each result as it is known, until done or out of time."""
    done = {(run.engine, run.model, run.task, run.seed) for run in load(options.results)}
    box = sandbox.find(endpoint.config_dir(), options.sandbox_image)
    options.results.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + options.minutes * 60
    with Client(endpoint.find(), options.model, "test") as client, options.results.open("a") as out:
        for name in options.tasks:
            for seed in range(1, options.seeds + 1):
                if (options.engine, options.model, name, seed) in done:
                    continue
                if time.monotonic() > deadline:
                    print(f"stopped after {options.minutes:g} minutes; run again to go on", file=sys.stderr)
                    return
                run = _one(options, name, seed, client, box)
                out.write(json.dumps(asdict(run)) + "\n")
                out.flush()
                print(f"{name} seed {seed}: {'pass' if run.passed else run.failure} ({run.seconds} s)", file=sys.stderr)


def _one(options: argparse.Namespace, name: str, seed: int, client: Client, box: sandbox.Sandbox) -> Run:
    started = time.monotonic()
    full = not options.gating_only
    result = pipeline.build(tasks.TASKS[name], client, box.run, seed, Screen(io.StringIO()), advisers=full)
    failure = result.failure or ("" if result.passed else "hidden tests failed")
    seconds = round(time.monotonic() - started, 1)
    return Run(
        options.engine, options.model, name, seed, result.passed, result.coder_tries, full, seconds, failure[:200]
    )


def table(runs: Iterable[Run]) -> str:
    """The rates as a Markdown table: solved of measured seeds for each engine, and how many needed only one try."""
    by_engine: dict[str, dict[str, list[Run]]] = {}
    for run in runs:
        by_engine.setdefault(f"{run.engine}, {run.model}", {}).setdefault(run.task, []).append(run)
    engines = sorted(by_engine)
    rows = ["| task | level | " + " | ".join(engines) + " |", "|---|---|" + "---|" * len(engines)]
    for task in tasks.TASKS.values():
        cells = [_cell(by_engine[engine].get(task.name, [])) for engine in engines]
        rows.append(f"| `{task.name}` | {task.level} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _cell(runs: list[Run]) -> str:
    if not runs:
        return "not measured"
    solved = [run for run in runs if run.passed]
    first = sum(run.tries == 1 for run in solved)
    return f"{len(solved)} of {len(runs)} ({first} at the first try)"


def write(options: argparse.Namespace) -> None:
    """Put the table between its marks in the page."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{table(load(options.results))}\n{END}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--engine", default="ollama", help="name of the engine behind the endpoint, for the table")
    parser.add_argument("--model", default="probe")
    parser.add_argument("--tasks", nargs="+", choices=list(tasks.TASKS), default=list(tasks.TASKS), metavar="TASK")
    parser.add_argument("--seeds", type=int, default=100, help="seeds 1 to this number (default: 100)")
    parser.add_argument("--minutes", type=float, default=60, help="stop after this time (default: 60)")
    parser.add_argument("--gating-only", action="store_true", help="leave out tester and reviewer")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--sandbox-image")
    parser.add_argument("--write", action="store_true", help="only rewrite the table in docs/demo.md")
    options = parser.parse_args()
    write(options) if options.write else measure(options)


if __name__ == "__main__":
    main()
