#!/usr/bin/env python3
"""Write the tables of docs/models.md from the catalogue; with `--check` only say whether they are up to date."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from gridtie.catalogue import Catalogue, Model, load, load_lock
from gridtie.host.fit.choice import coding_score
from gridtie.host.fit.memory import GIB, Settings, need

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "models.md"
# How a station runs a model unless it is told otherwise.
CONTEXTS = (8192, 32768)
MARKS = {"exact": "", "published": "", "estimated": "~"}


def table(head: list[str], rows: list[list[str]], right: set[int]) -> str:
    """A Markdown table; the columns `right` hold numbers."""
    rule = ["---:" if index in right else "---" for index in range(len(head))]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *rows])


def sizes(catalogue: Catalogue) -> str:
    """What each model is and what it takes."""
    head = ["model", "parameters", "file GB", "at 8K GiB", "at 32K GiB", "context", "licence"]
    return table(head, [_sizes(model) for model in catalogue.models.values()], {1, 2, 3, 4, 5})


def _sizes(model: Model) -> list[str]:
    parameters = _count(model.parameters)
    if model.active_parameters:
        parameters += f" ({_count(model.active_parameters)} a token)"
    terms = model.license.id if model.license.commercial else f"**{model.license.id}, not for commercial use**"
    size = f"{MARKS[model.file.size]}{model.file.bytes / 1e9:.2f}"
    memory = [_memory(model, context) for context in CONTEXTS]
    return [f"`{model.name}`", parameters, size, *memory, f"{model.shape.context_length:,}", terms]


def _memory(model: Model, context: int) -> str:
    """Of one request at a time; nothing where the model was not trained for so much."""
    if context > model.shape.context_length:
        return "-"
    return f"{need(model.shape, model.file.tensors, Settings(context)).total / GIB:.1f}"


def scores(catalogue: Catalogue) -> str:
    """How good each is, in the order that `auto` ranks them by."""
    head = ["model", "coding score", "aider edit", "HumanEval", "HumanEval+", "source"]
    ranked = sorted(catalogue.models.values(), key=lambda m: -(coding_score(m)[0] or -1.0))
    return table(head, [_scores(model) for model in ranked], {1, 2, 3, 4})


def _scores(model: Model) -> list[str]:
    value, estimated = coding_score(model)
    ranked = "none" if value is None else f"{'~' if estimated else ''}{value:.1f}"
    found = [model.score(name) for name in ("aider-edit", "humaneval", "humaneval-plus")]
    cells = [f"{score.value:.1f}" if score else "" for score in found]
    sources = "; ".join(dict.fromkeys(score.source for score in model.scores))
    return [f"`{model.name}`", ranked, *cells, sources or "none is published"]


def speeds(catalogue: Catalogue) -> str:
    """What was measured."""
    rows = [
        [f"`{model.name}`", f"{speed.tokens_per_second:g}", speed.machine, speed.date]
        for model in catalogue.models.values()
        for speed in model.speeds
    ]
    return table(["model", "tokens/s", "measured on", "date"], rows, {1})


def sources(catalogue: Catalogue) -> str:
    """Where each comes from and whether the lock has its digest."""
    pins = load_lock(ROOT / "config" / "models.lock.yaml")
    rows = []
    for model in catalogue.models.values():
        kinds = ", ".join(dict.fromkeys(source.kind for source in model.sources))
        rows.append([f"`{model.name}`", model.title, kinds, "yes" if model.name in pins else "at first use"])
    return table(["model", "title", "source", "pinned"], rows, set())


def page(text: str, catalogue: Catalogue) -> str:
    """The page with every table between its marks written anew. Raises ValueError where a mark is missing."""
    for make in (sizes, scores, speeds, sources):
        block = re.compile(rf"(<!-- {make.__name__}: .*? -->\n).*?(<!-- /{make.__name__} -->)", re.DOTALL)
        if not block.search(text):
            raise ValueError(f"{PAGE.name} has no marks for {make.__name__}")
        made = make(catalogue)
        text = block.sub(lambda match, made=made: f"{match[1]}{made}\n{match[2]}", text)  # type: ignore[misc]
    return text


def _count(parameters: int) -> str:
    return f"{parameters / 1e9:.1f}B" if parameters >= 1e9 else f"{parameters / 1e6:.0f}M"


def main() -> int:
    """Write the page, or say that it is not up to date."""
    before = PAGE.read_text(encoding="utf-8")
    text = page(before, load(ROOT / "config" / "models.yaml"))
    if text == before:
        return 0
    if "--check" in sys.argv[1:]:
        sys.stderr.write("docs/models.md is not up to date. Run `make pages`.\n")
        return 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
