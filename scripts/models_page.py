#!/usr/bin/env python3
"""Write the tables of docs/models.md from the catalogue; with `--check` only say whether they are up to date."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from gridtie.catalogue import Catalogue, Model, load, load_lock
from gridtie.host.fit.layers import UnknownArchitecture, layers_of_shape
from gridtie.host.fit.memory import BUILD, GIB, Settings, need
from gridtie.host.fit.ranking import Standing, chains_to
from gridtie.host.fit.score import CODING, TITLES, standings_of

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "models.md"
# How a station runs a model unless it is told otherwise.
CONTEXTS = (8192, 32768, 65536)
MARKS = {"exact": "", "published": "", "estimated": "~"}
# Heads of columns.
SHORT = {
    "aider-edit": "aider edit",
    "aa-index": "AA index",
    "aider-polyglot": "aider polyglot",
    "terminal-bench-2": "Terminal-Bench 2",
    "humaneval-plus": "HumanEval+",
    "humaneval": "HumanEval",
}


def table(head: list[str], rows: list[list[str]], right: set[int]) -> str:
    """A Markdown table; the columns `right` hold numbers."""
    rule = ["---:" if index in right else "---" for index in range(len(head))]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *rows])


def sizes(catalogue: Catalogue) -> str:
    """What each model is and what it takes."""
    head = [
        "model",
        "parameters",
        "file GB",
        "at 8K GiB",
        "at 32K GiB",
        "at 64K GiB",
        "context",
        "shape from",
        "licence",
    ]
    return table(head, [_sizes(model) for model in catalogue.models.values()], {1, 2, 3, 4, 5, 6})


def _sizes(model: Model) -> list[str]:
    parameters = _count(model.parameters)
    if model.active_parameters:
        parameters += f" ({_count(model.active_parameters)} a token)"
    terms = model.license.id if model.license.commercial else f"**{model.license.id}, not for commercial use**"
    size = f"{MARKS[model.file.size]}{model.file.bytes / 1e9:.2f}"
    memory = [_memory(model, context) for context in CONTEXTS]
    read = f"{model.shape_source.kind}, {model.shape_source.date}" if model.shape_source.kind else "-"
    return [f"`{model.name}`", parameters, size, *memory, f"{model.shape.context_length:,}", read, terms]


def _memory(model: Model, context: int) -> str:
    """Of one request at a time; nothing where the model was not trained for so much, or nobody knows its memory."""
    if context > model.shape.context_length:
        return "-"
    try:
        layers_of_shape(model.shape, BUILD)
    except UnknownArchitecture:
        return "unknown"
    return f"{need(model.shape, model.file.tensors, Settings(context)).total / GIB:.1f}"


def scores(catalogue: Catalogue) -> str:
    """How good each is, in the order that `auto` ranks them by."""
    head = ["rank", "model", "score", *(SHORT[scale.name] for scale in CODING), "sources"]
    placed = standings_of(catalogue)
    order = [*placed, *(name for name, model in catalogue.models.items() if name not in placed and _codes(model))]
    rows = [_scores(catalogue.models[name], placed.get(name)) for name in order]
    return table(head, rows, {0, *range(2, 3 + len(CODING))})


def _codes(model: Model) -> bool:
    return model.purposes != ("embeddings",)


def _scores(model: Model, found: Standing | None) -> list[str]:
    rank = f"{found.place}{'~' * found.unsure}" if found else "-"
    value = f"{found.score:.1f}{'~' * found.linked}" if found and not found.below else "below" if found else "-"
    figures = [model.score(scale.name) for scale in CODING]
    cells = [f"{score.value:.1f}" if score else "" for score in figures]
    used = [f"{score.source} ({score.date})" for score in figures if score]
    return [rank, f"`{model.name}`", value, *cells, "; ".join(dict.fromkeys(used)) or "none is published"]


def links(catalogue: Catalogue) -> str:
    """How each benchmark is read on the reference's scale."""
    head = ["benchmark", "read on the scale of", "models with both", "one reading is off by", "known of"]
    everything = {name: model.scores for name, model in catalogue.models.items()} | dict(catalogue.references)
    measured = {name: {s.benchmark: s.value for s in reversed(each)} for name, each in everything.items()}
    chains = chains_to(measured, CODING[0].name)
    rows = []
    for scale in CODING:
        known = sum(scale.name in figures for figures in measured.values())
        chain = chains.get(scale.name, ())
        first = chain[0] if chain else None
        rows.append(
            [
                TITLES[scale.name],
                TITLES[first.target]
                if first
                else "the reference"
                if scale is CODING[0]
                else "not linked: too few models",
                str(len(first.shared)) if first else "",
                f"{first.error:.2f} log odds" if first else "",
                f"{known} models",
            ]
        )
    return table(head, rows, {2, 3, 4})


def references(catalogue: Catalogue) -> str:
    """The models that only link benchmarks."""
    rows = [
        [name, "; ".join(f"{score.value:g} on {TITLES[score.benchmark]} ({score.date})" for score in found)]
        for name, found in catalogue.references.items()
    ]
    return table(["model", "figures"], rows, set())


def purposes(catalogue: Catalogue) -> str:
    """What each is for, what it can do, and what speaks against it."""
    rows = []
    for model in catalogue.models.values():
        against = [f"{flag.purpose}: {flag.reason} ({flag.source})" for flag in model.flags]
        against += [f"needs {engine} {least}" for engine, least in model.engines.items()]
        against += [f"only Ollama's own build reads the library's file: {model.own_header}"] if model.own_header else []
        rows.append(
            [f"`{model.name}`", ", ".join(model.purposes), ", ".join(model.capabilities), "; ".join(against) or "-"]
        )
    return table(["model", "for", "can", "known of it"], rows, set())


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


def fill(text: str, page: str, name: str, content: str) -> str:
    """A page's text with what stands between the marks of that name written anew. Raises ValueError without marks."""
    block = re.compile(rf"(<!-- {name}: .*? -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not block.search(text):
        raise ValueError(f"{page} has no marks for {name}")
    return block.sub(lambda match: f"{match[1]}{content}\n{match[2]}", text)


def page(text: str, catalogue: Catalogue) -> str:
    """The page with every table between its marks written anew. Raises ValueError where a mark is missing."""
    for make in (sizes, scores, links, references, purposes, speeds, sources):
        text = fill(text, PAGE.name, make.__name__, make(catalogue))
    return text


def _count(parameters: int) -> str:
    return f"{parameters / 1e9:.1f}B" if parameters >= 1e9 else f"{parameters / 1e6:.0f}M"


def settle(page: Path, text: str) -> int:
    """Have the page be `text`, or with `--check` only say that it is not up to date; the exit status."""
    if text == page.read_text(encoding="utf-8"):
        return 0
    if "--check" in sys.argv[1:]:
        sys.stderr.write(f"docs/{page.name} is not up to date. Run `make pages`.\n")
        return 1
    page.write_text(text, encoding="utf-8")
    return 0


def main() -> int:
    """Write the page, or say that it is not up to date."""
    return settle(PAGE, page(PAGE.read_text(encoding="utf-8"), load(ROOT / "config" / "models.yaml")))


if __name__ == "__main__":
    sys.exit(main())
