"""Pages of the project as text: where their links lead."""

from __future__ import annotations

import re
from pathlib import Path


def links(page: Path) -> list[str]:
    """What a page's links to files name, from the page's own directory; those within the page are left out."""
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = {target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target}
    return sorted(targets - {""})
