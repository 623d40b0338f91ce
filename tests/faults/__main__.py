"""`make faults`: plays the whole table and prints it. Exit status 1 where a cell is wrong.

Words after the command choose among the faults:  make faults ARGS="HTML stall"
A first word chooses who asks, by its dialect:  make faults ARGS="anthropic HTML"
"""

from __future__ import annotations

import asyncio
import sys
from time import monotonic

from faults.play import Verdict, play
from faults.table import CLIENTS, DIALECTS, cells


def main(words: list[str]) -> int:
    client = next((name for name in CLIENTS if name.split(" ")[0] in words[:1]), "")
    words = words[1:] if client else words
    client = client or next(iter(CLIENTS))
    chosen = [cell for cell in cells(client) if not words or any(word.lower() in cell.fault.lower() for word in words)]
    if not chosen:
        print("no fault has such a name", file=sys.stderr)
        return 2
    started = monotonic()
    verdicts, after = asyncio.run(play(chosen, client))
    show(verdicts)
    bad = [verdict for verdict in verdicts if verdict.wrong]
    for verdict in bad:
        print(f"\n{verdict.cell.name} ({verdict.seconds:.1f} s)")
        for line in verdict.wrong:
            print(f"  {line}")
    for line in after:
        print(f"\nafterwards: {line}")
    print(f"\n{len(verdicts)} cells, {len(bad)} wrong, {monotonic() - started:.0f} s")
    return 1 if bad or after else 0


def show(verdicts: list[Verdict]) -> None:
    """A line for each fault: what came of it in each dialect, streamed and whole, backed and (in brackets) alone."""
    columns = [(dialect, streamed) for dialect in DIALECTS for streamed in (True, False)]
    heads = [f"{dialect} {'streamed' if streamed else 'whole'}" for dialect, streamed in columns]
    found = {verdict.cell[:4]: verdict for verdict in verdicts}
    print(f"{'':26} " + " ".join(f"{head:24}" for head in heads))
    for fault in dict.fromkeys(verdict.cell.fault for verdict in verdicts):
        line = []
        for dialect, streamed in columns:
            pair = [found.get((fault, dialect, streamed, backed)) for backed in (True, False)]
            line.append(" ".join(_mark(verdict, backed) for verdict, backed in zip(pair, (True, False), strict=True)))
        print(f"{fault:26} " + " ".join(f"{text:24}" for text in line).rstrip())


def _mark(verdict: Verdict | None, backed: bool) -> str:
    if verdict is None:
        return "-" if backed else ""
    word = verdict.found.split(" ")[0]
    word = word if not verdict.wrong else f"!{word}"
    return word if backed else f"({word})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
