"""Which digests a station needs, and which of them nobody knows: told before anything is changed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..module_utils import gridtie_image_plan as plan
from ..module_utils.gridtie_judge import gpu_off

Problem = dict[str, str]
_ORDER = {"models": "the models", "images": "the images", "archives": "the archives"}


@dataclass(frozen=True)
class Needed:
    """Something that a station fetches: how a lock calls it, and the project's own pin, if it has one."""

    kind: str
    reference: str
    pinned: str = ""


def of_engine(
    choice: Mapping[str, Any], machine: Mapping[str, Any], artefacts: Mapping[str, Any], gpu: Any, base: str
) -> list[Needed]:
    """What the engine and the images that are built here come from.

    ``choice`` is the preflight's, empty where it could not decide; ``gpu`` the variable; ``base`` where the base image
    comes from, `registry` or `packages`.
    """
    found = []
    if choice.get("engine") == "ollama" and choice.get("source") == "release":
        cards = {} if gpu_off(gpu) else (machine.get("graphics") or {}).get("container") or {}
        found += (
            _archives(choice, machine, artefacts, cards) if choice["mode"] == "native" else _image(artefacts, cards)
        )
    if choice.get("engine") == "vllm" and choice.get("source") == "release" and "vllm" in artefacts["images"]:
        step = plan.release_step(dict(artefacts), "", name="engine-vllm")
        found.append(Needed("images", step["reference"], step["digest"] or ""))
    system = machine["system"]["id"]
    if base == "registry":
        image = plan.base_image(dict(artefacts), system)
        found.append(Needed("images", image["reference"], image["digest"] or ""))
    return found


def _archives(
    choice: Mapping[str, Any], machine: Mapping[str, Any], artefacts: Mapping[str, Any], cards: Mapping[str, Any]
) -> list[Needed]:
    release = artefacts["ollama"]
    jetpack = (cards.get("settings") or {}).get("GRIDTIE_GPU_JETPACK", "")
    extra = cards.get("variant") or (f"jetpack{jetpack}" if jetpack else "")
    of = "darwin" if machine["init"] == "launchd" else machine["architecture"]
    wanted = [release["archives"].get(of), release["extras"].get(extra)]
    return [
        Needed("archives", f"{release['version']}/{archive['file']}", archive["sha256"] or "")
        for archive in wanted
        if archive
    ]


def _image(artefacts: Mapping[str, Any], cards: Mapping[str, Any]) -> list[Needed]:
    step = plan.release_step(dict(artefacts), "", cards.get("variant") or "")
    return [Needed("images", step["reference"], step["digest"] or "")]


def missing(needed: Sequence[Needed], known: Mapping[str, Mapping[str, Any]]) -> list[Needed]:
    """Those that neither the project nor ``known`` (kind to reference) has a digest of."""
    return [each for each in needed if not each.pinned and each.reference not in known.get(each.kind, {})]


def outranked(needed: Sequence[Needed], known: Mapping[str, Mapping[str, Mapping[str, str]]]) -> list[Needed]:
    """Those of which the lock has another digest than the project, which is then the one that counts."""
    return [
        each
        for each in needed
        if each.pinned and each.pinned not in known.get(each.kind, {}).get(each.reference, {"": each.pinned}).values()
    ]


def required(lacking: Sequence[Needed], lock: str, learn: str, *, checkout: bool = True) -> list[Problem]:
    """All of them as one problem, with the commands that fill the lock; ``learn`` is the one for a single host, and
    ``make pins`` is told where there is a ``checkout``.
    """
    if not lacking:
        return []
    return [
        {
            "found": f"gridtie_pins is require, and neither the project nor {lock} has the digests of {_told(lacking)}",
            "fix": _fill(lacking, lock, learn, checkout),
        }
    ]


def lost(lacking: Sequence[Needed], undecided: bool, why: str, lock: str) -> list[Problem]:
    """What would have to be learned, where it could not be kept. ``undecided``: nobody knows yet which models."""
    things = ([_told(lacking)] if lacking else []) + (["what gridtie_models: auto chooses"] if undecided else [])
    if not things:
        return []
    return [
        {
            "found": f"the digests of {' and '.join(things)} would be learned, and {lock} would not keep them: {why}",
            "fix": "let gridtie_lock_file name a file that all runs share and may write to, or set gridtie_pins: "
            "require and fill the lock where the inventory is kept"
            + ("; auto then chooses among pinned models" if undecided else ""),
        }
    ]


def _told(lacking: Sequence[Needed]) -> str:
    parts = []
    for kind, title in _ORDER.items():
        names = list(dict.fromkeys(each.reference for each in lacking if each.kind == kind))
        if names:
            parts.append(f"{title if len(names) > 1 else title[:-1]} {', '.join(names)}")
    return " and ".join(parts)


def _fill(lacking: Sequence[Needed], lock: str, learn: str, checkout: bool) -> str:
    models = " ".join(dict.fromkeys(each.reference for each in lacking if each.kind == "models"))
    asked = f'make pins MODELS="{models}" ARGS="--into {lock}" asks for those of the models; '
    asked = asked if models and checkout else ""
    return f"{asked}one host learns all of them, and is provisioned by it: {learn}"
