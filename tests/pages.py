"""Pages of the project as text: where their links lead."""

from __future__ import annotations

import re
from pathlib import Path


def links(page: Path) -> list[str]:
    """What a page's links to files name, from the page's own directory; those within the page are left out."""
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = {target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target}
    return sorted(targets - {""})


def anchors(page: Path) -> list[str]:
    """What a page's links within pages name, as `FILE#HEADING`; FILE is empty for the page itself."""
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return sorted({target for target in re.findall(r"\]\(([^)\s]+#[^)\s]+)\)", text) if "://" not in target})


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)]
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in plain}


def commands(page: Path, program: str = "gridtie") -> list[tuple[str, bool]]:
    """The command lines of a program that a page has, and whether each stands in a block, to be typed as it is.

    The others stand in a sentence, and may name a command or an option alone.
    """
    text = page.read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)).replace("\\\n", " ")
    spans = re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    lines = [(line, True) for line in blocks.splitlines()] + [(" ".join(span.split()), False) for span in spans]
    begins = re.compile(rf"(\$ )?(sudo )?{program}( |$)")
    return [(line, in_block) for line, in_block in lines if begins.match(line)]
