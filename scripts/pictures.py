#!/usr/bin/env python3
"""Write the pictures of docs/pictures: what commands print, as SVG, light or dark as the reader's system is.

scripts/pictures.py            write them
scripts/pictures.py --check    say whether they are as they should be, by the exit status
"""

from __future__ import annotations

import json
import sys
from html import escape
from pathlib import Path

import fit_docs
import results_pages

from gridtie.catalogue import load
from gridtie.host.fit.explain import advice
from gridtie.page.svg import Bar, columns

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"

# Of a letter, in pixels: width is what monospaced fonts of 14 px have, so that lines do not wrap or overlap.
_WIDTH, _LINE, _MARGIN = 8.43, 20, 18
_STYLE = (
    "rect{fill:#fbfbfa;stroke:#d9d9d6}"
    "text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#24292f;"
    "white-space:pre}.typed{fill:#0550ae;font-weight:600}.head{font-weight:600}"
    "@media (prefers-color-scheme:dark){rect{fill:#161b22;stroke:#30363d}text{fill:#e6edf3}.typed{fill:#79c0ff}}"
)

# The colours and classes of `gridtie.page` that plots use: such a file is a page of its own, and knows no other's.
_PLOT_STYLE = (
    "svg{--ink:#1b1f24;--soft:#57606a;--rule:#d0d7de;--good:#1a7f37;--bad:#b42318;--cloud:#9a4b00;--power:#8a6d00;"
    "--local:#0a58ca;--other:#6e7781}"
    "@media(prefers-color-scheme:dark){svg{--ink:#e6e9ec;--soft:#9aa4ae;--rule:#343b43;--good:#4cc265;--bad:#ff7b72;"
    "--cloud:#f0954a;--power:#e0c04a;--local:#6cabff;--other:#9aa4ae}}"
    "text{fill:var(--ink);font:12px system-ui,'DejaVu Sans',sans-serif}.soft{fill:var(--soft);font-size:11px}"
    ".axis{stroke:var(--rule)}.mark{stroke:var(--ink);stroke-width:1.5}"
    ".fill-good{fill:var(--good)}.fill-bad{fill:var(--bad)}.fill-cloud{fill:var(--cloud)}"
    ".fill-power{fill:var(--power)}.fill-local{fill:var(--local)}.fill-other{fill:var(--other)}"
)


def svg(command: str, printed: str) -> str:
    """A terminal with a command and what it printed. Lines in capitals are headings."""
    told = printed.rstrip().splitlines()
    lines = [(f"$ {command}", "typed"), *((line, "head" if line.isupper() else "") for line in told)]
    width = round(2 * _MARGIN + _WIDTH * max(len(text) for text, _ in lines))
    height = round(2 * _MARGIN + _LINE * len(lines))
    texts = "\n".join(
        f'<text{f" class={kind!r}" if kind else ""} x="{_MARGIN}" y="{_MARGIN + 15 + _LINE * number}">'
        f"{escape(text)}</text>"
        for number, (text, kind) in enumerate(lines)
        if text
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" aria-label="{escape(command)}">\n<style>{_STYLE}</style>\n'
        f'<rect x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="8"/>\n{texts}\n</svg>\n'
    )


def plot(drawn: str) -> str:
    """A plot of `gridtie.page.svg` that stands alone, with the colours that the report's page gives it."""
    return drawn.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" width="630" ', 1).replace(
        "</title>", f"</title><style>{_PLOT_STYLE}</style>", 1
    )


def pool() -> dict[str, str]:
    """Waiting in a pool beside a scheduler that knows everything, and what is at each station as some come and go."""
    path = results_pages.newest("pool")
    if path is None:
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    waiting = [
        Bar(f"{run['load']:.0%}", (run["waiting"]["p99"],), 1.5 * run["omniscient"]["p99"]) for run in found["runs"]
    ]
    drawn = columns(
        "The 99th percentile of waiting, by load",
        waiting,
        [("p99 of waiting in the pool", "local")],
        "1.5 times the scheduler's",
        lambda seconds: f"{seconds:g} s",
    )
    course, names = found["course"], [machine["name"] for machine in found["machines"]]
    seconds = course["step_seconds"]
    bars = [
        Bar(f"{seconds * at:.0f} s", tuple(step[name] for name in names), None)
        for at, step in enumerate(course["at_once"])
    ]
    fills = ("local", "cloud", "power", "good", "other", "bad")
    stacked = columns(
        "Requests at each station, as some come and go", bars, list(zip(names, fills, strict=True)), "", "{:g}".format
    )
    return {"pool-waiting.svg": plot(str(drawn)) + "\n", "pool-course.svg": plot(str(stacked)) + "\n"}


def pictures() -> dict[str, str]:
    """File names and what is in them."""
    catalogue = load(ROOT / "config" / "models.yaml")
    _, choice = fit_docs.judged(catalogue, "nvidia-8gb")
    command = "gridtie fit --machine tests/fixtures/hardware/nvidia-8gb.json"
    return {"fit.svg": svg(command, advice(choice, fit_docs.WISHES)), **pool()}


def main() -> int:
    """Write what differs, or with --check only name it."""
    stale = {name: text for name, text in pictures().items() if _read(PICTURES / name) != text}
    if "--check" in sys.argv[1:]:
        for name in stale:
            sys.stderr.write(f"docs/pictures/{name} is not up to date. Run `make pages`.\n")
        return 1 if stale else 0
    for name, text in stale.items():
        (PICTURES / name).write_text(text, encoding="utf-8")
    return 0


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main())
