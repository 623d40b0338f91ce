"""The files of the collection that images are made from, and the names of the images that they make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..module_utils import gridtie_image_plan as plan

_SOURCES = (
    "LICENSE",
    "compose/images",
    "config/prices.json",
    "requirements/router.lock",
    "requirements/router-traces.lock",
    "requirements/vllm.lock",
    "requirements/vllm_router.lock",
    "src/gridtie",
)


def read_tree(root: Path) -> dict[str, bytes]:
    """The files that images are made from, by their path in the collection."""
    tree = {}
    for source in _SOURCES:
        start = root / source
        for path in [start] if start.is_file() else sorted(start.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
                tree[path.relative_to(root).as_posix()] = path.read_bytes()
    return tree


def built_here(
    root: Path, artefacts: dict[str, Any], choice: dict[str, Any], machine: dict[str, Any], prefix: str, traces: bool
) -> dict[str, str]:
    """The images that a station of this choice is built from, `router` and `engine`, by their names."""
    tree, settings = read_tree(root), {"prefix": prefix, "base": "packages", "traces": traces}
    facts = {"system": machine["system"]["id"], "architecture": machine["architecture"]}
    names = {"router": "router"}
    if choice.get("source") == "packages":
        names["engine"] = f"engine-{choice['engine']}"
    return {
        what: str(plan.steps(tree, artefacts, name, facts, settings)[-1]["reference"]) for what, name in names.items()
    }
