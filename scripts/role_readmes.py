#!/usr/bin/env python3
"""Write roles/*/README.md from the argument specs; with `--check` only say which pages are not up to date."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).resolve().parents[1] / "roles"


def paragraphs(text: str | list[str]) -> str:
    """A description as paragraphs."""
    return "\n\n".join(" ".join(part.split()) for part in ([text] if isinstance(text, str) else text))


def cell(value: Any) -> str:
    """A default as code in a table."""
    if value is None:
        return ""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{text}`" if text else "empty"


def table(options: dict[str, Any]) -> list[str]:
    """The variables of one entry point."""
    lines = ["| Variable | Type | Default | Meaning |", "|---|---|---|---|"]
    for name, option in options.items():
        choices = ", ".join(f"`{choice}`" for choice in option.get("choices", []))
        meaning = paragraphs(option["description"]).replace("|", "\\|") + (f" One of {choices}." if choices else "")
        lines.append(f"| `{name}` | {option.get('type', 'str')} | {cell(option.get('default'))} | {meaning} |")
    return lines


def readme(role: Path) -> str:
    """The page of one role."""
    meta = yaml.safe_load((role / "meta/main.yml").read_text(encoding="utf-8"))
    specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]
    lines = [f"# {role.name}", "", f"{meta['galaxy_info']['description']}.", ""]
    lines += ["<!-- Written by scripts/role_readmes.py from meta/argument_specs.yml. -->", ""]
    told: dict[str, Any] = {}
    for name, spec in specs.items():
        lines += [f"## {name}: {spec['short_description']}", ""]
        if spec.get("description"):
            lines += [paragraphs(spec["description"]), ""]
        options = spec.get("options") or {}
        if options and options in told.values():
            lines += ["Variables as above.", ""]
        elif options:
            lines += [*table(options), ""]
        told[name] = options
    if any(dependency["role"].endswith(".station") for dependency in meta.get("dependencies") or []):
        lines += ["The variables that every role shares are in [station](../station/README.md).", ""]
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    """Write the pages, or name those that are not up to date."""
    stale = []
    for role in sorted(path.parent.parent for path in ROLES.glob("*/meta/argument_specs.yml")):
        page, text = role / "README.md", readme(role)
        if page.is_file() and page.read_text(encoding="utf-8") == text:
            continue
        stale.append(role.name)
        if "--check" not in sys.argv[1:]:
            page.write_text(text, encoding="utf-8")
    if stale and "--check" in sys.argv[1:]:
        sys.stderr.write(f"not up to date: {', '.join(stale)}. Run scripts/role_readmes.py.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
