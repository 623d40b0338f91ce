"""What hosts said, or did not say, when a play asked them something and went on without them."""

from __future__ import annotations

from typing import Any


def why_absent(known: Any, host: str) -> str:
    """Why a host told nothing, from what the tasks of the role fleet left among its variables."""
    facts = known.get(host, {})
    reached = facts.get("_fleet_reached") or {}
    if reached.get("unreachable"):
        return f"it cannot be reached: {' '.join(str(reached.get('msg', '')).split())[:200]}"
    if "ping" not in reached:
        said = " ".join(str(reached.get("msg") or reached.get("module_stderr") or "").split())[:200]
        return f"Ansible cannot work on it: {said or 'it gave no answer'}"
    told = facts.get("_fleet_told") or {}
    said = (told.get("stderr_lines") or [""])[-1] or told.get("msg") or "it was lost on the way"
    why = " ".join(str(said).split()).removeprefix("gridtie: ")
    if "--rows" in why or "invalid choice" in why:
        return "its gridtie is older than this one and cannot tell: run site.yml against it"
    if "No such file or directory" in why or why.startswith("Error executing command"):
        return "no gridtie is there: run site.yml against it"
    return why[:400]
