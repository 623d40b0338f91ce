"""`make cases`: try each line of the list against a router process, of this checkout and of another commit beside it.

    python -m cases.run [--base COMMIT] [ID ...]

One line a case: its id, what is tried, what was seen at the commit, what was seen here. IDs choose parts (B), lines
(A3) or single examples (A3.2). Exit status 1 where this checkout fails one, 2 where there is no such line.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext

from cases import all_cases
from cases.harness import HERE, Checkout, Result, extracted, run
from cases.registry import Case

# Most cases wait: for time-outs, for processes to start. More at once, and two processors make their clocks late.
TOGETHER = 6


async def run_all(
    cases: Sequence[Case], checkout: Checkout, done: Callable[[Result], None] = lambda result: None
) -> list[Result]:
    """Try the cases, several at once; those that disturb others in the end, one by one."""
    places = asyncio.Semaphore(TOGETHER)

    async def one(case: Case) -> Result:
        async with places:
            result = await run(case, checkout)
        done(result)
        return result

    # The long ones first: nobody has to wait for them in the end.
    together = sorted((case for case in cases if not case.alone), key=lambda case: -case.limit)
    results = await asyncio.gather(*(one(case) for case in together))
    for case in cases:
        if case.alone:
            results.append(await one(case))
    return sorted(results, key=lambda result: result.case.order)


def chosen(wanted: Sequence[str]) -> list[Case]:
    """The cases with these ids, or of these lines; all where none is named."""
    cases = all_cases()
    if not wanted:
        return cases
    starts = [id if id.isalpha() else f"{id}." for id in wanted]
    return [case for case in cases if case.id in wanted or case.id.startswith(tuple(starts))]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make cases", description="Try what real users send, write and own.")
    parser.add_argument("--base", default="", help="a commit to compare with")
    parser.add_argument("ids", nargs="*", help="parts (B), lines (A3) or examples (A3.2); default: all")
    options = parser.parse_args(arguments)
    cases = chosen(options.ids)
    if not cases:
        print(f"no case has any of the ids {', '.join(options.ids)}", file=sys.stderr)
        return 2
    before: dict[str, Result] = {}
    try:
        base = extracted(options.base) if options.base else nullcontext(None)
        with base as old:
            if old is not None:
                before = {result.case.id: result for result in asyncio.run(run_all(cases, old, _progress(len(cases))))}
    except subprocess.CalledProcessError:
        print(f"{options.base} is no commit of this repository that git can archive", file=sys.stderr)
        return 2
    results = asyncio.run(run_all(cases, HERE, _progress(len(cases))))
    print(_table(results, before, options.base))
    return 0 if all(result.holds for result in results) else 1


def _progress(total: int) -> Callable[[Result], None]:
    """A counter for whoever watches; nothing where nobody does."""
    count = 0

    def count_up(result: Result) -> None:
        nonlocal count
        count += 1
        end = "\r" if count < total else "\r" + " " * 60 + "\r"
        print(f"{count}/{total} {result.case.id:8}", end=end, file=sys.stderr, flush=True)

    return count_up if sys.stderr.isatty() else lambda result: None


def _table(results: Sequence[Result], before: dict[str, Result], base: str) -> str:
    """One line a case, and what it comes to."""
    rows = [("id", "what is tried", *([f"at {base}"] if base else []), "here")]
    for result in results:
        old = [str(before[result.case.id])] if base else []
        rows.append((result.case.id, result.case.title, *old, str(result)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    failed = sum(not result.holds for result in results)
    told = [f"here: {len(results) - failed} hold, {failed} fail"]
    if base:
        fell = sum(not result.holds for result in before.values())
        told.append(f"at {base}: {len(before) - fell} hold, {fell} fail")
        told += [f"{id}: {text}" for id, text in _surprises(results, before)]
    return "\n".join([*lines, "", *told])


def _surprises(results: Sequence[Result], before: dict[str, Result]) -> list[tuple[str, str]]:
    """Where the commit does not show what the list says of it."""
    found = []
    for result in results:
        old = before[result.case.id]
        if result.case.held and not old.holds:
            found.append((result.case.id, f"held from the start, says the list, and failed there: {old.seen}"))
        if not result.case.held and old.holds:
            found.append((result.case.id, f"fails there, says the list, and held: {old.seen}"))
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
