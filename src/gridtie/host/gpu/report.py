"""A survey and its verdict as one document: for Ansible, `--json` and a person's terminal."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Optional

from . import recipes
from .card import Graphics
from .containers import idle, plan
from .devices import numbered
from .needs import CONTAINER, Need, Verdict, verdict
from .survey import Survey


def document(survey: Survey, mode: str = CONTAINER, docker_version: str = "") -> dict[str, Any]:
    """Plain data: what was found, what the engine would use, what is missing, how it could be installed."""
    found = verdict(survey, mode)
    capabilities = tuple(card.target for card in survey.expected if card.vendor == "NVIDIA" and card.target)
    return {
        "cards": [{**asdict(card), "title": card.title, "expected": card.expected} for card in survey.cards],
        "expected": idle(survey),
        "backend": found.backend,
        "title": found.title,
        "needs": [asdict(need) for need in found.needs],
        "problems": [need.code for need in found.problems],
        "text": [line for need in found.problems for line in _told(need)],
        "reboot": found.reboot,
        "held": list(survey.access.held),
        "driver": _recipe(recipes.driver(survey.system, capabilities, survey.access.held) if capabilities else None),
        "toolkit": _recipe(recipes.toolkit(survey.system) if survey.expected else None),
        "container": plan(found, survey, docker_version),
        # The toolkit's own unit writes the specification where systemd runs; without it, or before it ran, a run does.
        "docker_version": docker_version,
        "cdi": list(survey.access.cdi),
        "cdi_refresh": survey.access.cdi_refresh,
    }


def _recipe(recipe: Optional[recipes.Recipe]) -> dict[str, Any]:
    made = recipe or recipes.Recipe()
    return {**asdict(made), "automatic": made.automatic}


def lines(survey: Survey, found: Verdict) -> list[str]:
    """For a terminal: the cards, what the engine would use, and each need with its commands."""
    numbers = {card.address: f"{number}: " for number, card in enumerate(numbered(survey))}
    text = [f"{numbers.get(card.address, '')}{_named(card)} ({card.kind}): {card.reason}" for card in survey.cards]
    text = text or ["no graphics card"]
    text.append(f"The engine would compute on: {found.title}")
    for need in found.needs:
        text += _told(need)
    return text


def _named(card: Graphics) -> str:
    return f"{card.title} at {card.address or 'no bus'}{f', {card.uuid}' if card.uuid else ''}"


def _told(need: Need) -> list[str]:
    mark = "!" if need.level == "problem" else "-"
    return [f"{mark} {need.found}", *([f"  {need.fix}"] if need.fix else []), *(f"    {c}" for c in need.commands)]
