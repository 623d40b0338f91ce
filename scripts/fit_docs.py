#!/usr/bin/env python3
"""Write the generated parts of docs/memory-fit.md: what `gridtie fit` says on each machine of tests/fixtures/hardware.

scripts/fit_docs.py            write them
scripts/fit_docs.py --check    say whether they are as they should be, by the exit status
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from gridtie.catalogue import Catalogue, load  # noqa: E402
from gridtie.host.fit.architectures import RULES, Rule, Sliding  # noqa: E402
from gridtie.host.fit.budget import budget_for  # noqa: E402
from gridtie.host.fit.choice import Choice, recommend  # noqa: E402
from gridtie.host.fit.explain import FAST, advice, overview  # noqa: E402
from gridtie.host.fit.judge import Verdict, Wishes  # noqa: E402
from gridtie.host.fit.memory import GIB  # noqa: E402
from gridtie.host.fit.placement import Budget  # noqa: E402
from gridtie.host.fit.purposes import CHOOSABLE  # noqa: E402
from gridtie.host.machine.hardware import from_document  # noqa: E402

PAGE = ROOT / "docs" / "memory-fit.md"
PROFILES = ROOT / "tests" / "fixtures" / "hardware"
WISHES = Wishes(purposes=CHOOSABLE)
NEAR = 6
_PART = re.compile(r"(<!-- fit:([a-z0-9-]+) -->\n).*?(<!-- end -->)", re.S)


def page(text: str) -> str:
    """The page with its generated parts as they should be."""
    catalogue = load(ROOT / "config" / "models.yaml")

    def part(found: re.Match[str]) -> str:
        name = found.group(2)
        if name == "architectures":
            return found.group(1) + architectures() + found.group(3)
        return found.group(1) + (summary(catalogue) if name == "summary" else details(catalogue, name)) + found.group(3)

    return _PART.sub(part, text)


def architectures() -> str:
    """What each architecture's rule says, those with the same on one line."""
    alike: dict[tuple[str, str], list[str]] = {}
    for name, rule in RULES.items():
        alike.setdefault((_sliding(rule.sliding), _other(rule)), []).append(f"`{name}`")
    lines = ["| architectures | layers that slide | other |", "|---|---|---|"]
    lines += [f"| {', '.join(found)} | {slides} | {other} |" for (slides, other), found in alike.items()]
    return "\n".join(lines) + "\n"


def _sliding(rule: Sliding | None) -> str:
    if rule is None:
        return "none"
    spared = "the first" if rule.first else "the last"
    text = f"all but {spared} of {rule.every}" if rule.every else "as the header's pattern says"
    if rule.size:
        text += f", {rule.size} tokens" + (
            " whatever the header says" if rule.fixed else " unless the header says else"
        )
    return text + (f", models of {rule.blocks} blocks alone" if rule.blocks else "")


def _other(rule: Rule) -> str:
    said = [f"recurrent: {rule.recurs}" + (f" ({rule.interval})" if rule.interval else "")] if rule.recurs else []
    if rule.shares_after:
        said.append(f"layers from {rule.shares_after} on share their cache")
    if rule.shares:
        said.append("as many of the last as the header says share their cache")
    if rule.tied_twice:
        said.append("a tied embedding counts twice")
    if rule.since:
        said.append(f"from b{rule.since} on")
    if not rule.keeps_cache:
        said.append("no cache")
    if rule.gates == 1:
        said.append("no gate")
    return "; ".join(said)


def names() -> list[str]:
    """Profiles in the order of the memory that they have for models."""
    found = {path.stem: judged_budget(path.stem).available for path in PROFILES.glob("*.json")}
    return sorted(found, key=lambda name: found[name])


def judged_budget(name: str) -> Budget:
    return budget_for(from_document(json.loads((PROFILES / f"{name}.json").read_text(encoding="utf-8"))))


def judged(catalogue: Catalogue, name: str) -> tuple[Budget, Choice]:
    budget = judged_budget(name)
    return budget, recommend(catalogue, budget, WISHES)


def best_coder(choice: Choice) -> Verdict:
    return choice.picks["code"]


def summary(catalogue: Catalogue) -> str:
    lines = ["| machine | for models | takes | context | needs | ~tokens/s |", "|---|---|---|---|---|---|"]
    for name in names():
        budget, choice = judged(catalogue, name)
        best = best_coder(choice)
        assert best.need and best.speed
        pace = f"{best.speed:.0f}" if best.speed < FAST else f"{FAST}+"
        lines.append(
            f"| [{name}](#{name}) | {budget.available / GIB:.1f} GiB of {budget.name} | {best.model.name} "
            f"| {best.context} | {best.need.total / GIB:.1f} GiB | {pace} |"
        )
    return "\n".join(lines) + "\n"


def details(catalogue: Catalogue, name: str) -> str:
    """What is recommended, and what ranks higher or nearly as high but was not taken."""
    _, choice = judged(catalogue, name)
    best = best_coder(choice)
    shown = [v for v in choice.verdicts if v.chosen or _rival(v, best)]
    text = advice(choice, WISHES) + overview(shown)
    return f"```\n$ gridtie fit --machine tests/fixtures/hardware/{name}.json\n{text}```\n"


def _rival(verdict: Verdict, best: Verdict) -> bool:
    """A model that is no more than so many places away."""
    if verdict.standing is None or best.standing is None or "code" not in verdict.model.purposes:
        return False
    return abs(verdict.standing.place - best.standing.place) <= NEAR


def main() -> None:
    """Entry point."""
    old = PAGE.read_text(encoding="utf-8")
    new = page(old)
    if "--check" in sys.argv[1:]:
        sys.exit(0 if new == old else "docs/memory-fit.md is not as scripts/fit_docs.py writes it")
    PAGE.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
