"""The models: what they showed before they counted, and whether there is one to work with."""

from __future__ import annotations

import json
from typing import Any, Mapping, Optional

from gridtie.host.acceptance.record import FILE, Acceptance, recorded
from gridtie.host.doctor.check import Check, Finding, bad, good
from gridtie.host.doctor.look import Look
from gridtie.host.purpose_names import SMOKE_TEST, current_purpose

_CODING = ("code", "agents")


def accepted(look: Look) -> Finding:
    """What takes a purpose away is a warning; the rest fails: the model is not what it is said to be."""
    wanted = "every model showed what it is there for"
    faults, warnings, told = [], [], []
    known = _known(look)
    for model in look.models:
        name, shown = str(model["name"]), _shown(look, model, known)
        if shown is None:
            warnings.append(f"{name} has not shown what it can: `gridtie models accept {name}`")
            continue
        faults += [f"{name}: {result.id}: {result.found}" for result in shown.grave]
        for purpose, result in shown.unfit.items():
            warnings.append(f"{name} is not for {purpose}: {result.found}")
        late = ", ".join(f"{result.id}: {result.found}" for result in shown.not_run)
        told.append(f"{name} ({len(shown.results)} checks, {shown.date}{f'; not run: {late}' if late else ''})")
    if faults:
        fix = "`gridtie models accept NAME` asks again; take another model (gridtie_models) or version of the engine"
        return bad("; ".join(faults), wanted, fix)
    return good(", ".join(told) or "none was asked yet", wanted, "; ".join(warnings))


def coding(look: Look) -> Finding:
    """Whether `coder` is more than the smoke test."""
    names = [str(model["name"]) for model in look.models if is_coding_model(model)]
    if names:
        return good(", ".join(names))
    small = ", ".join(str(model["name"]) for model in look.models) or "nothing"
    return good(f"none; there is {small}", warning=no_coding_model(look))


def no_coding_model(look: Look) -> str:
    """What is said of a station that has none."""
    why = str(next((model.get("why") for model in look.models if model.get("why")), "") or "")
    more = f" ({why})" if why else ""
    return (
        f"there is no coding model here: `coder` is the small one of the smoke test{more}. `gridtie fit` says what "
        "this machine could run; gridtie_models names a model"
    )


def is_coding_model(model: Mapping[str, Any]) -> bool:
    """Whether it is for code, and more than the proof that the station works, which vLLM's only model is as well."""
    purposes = [current_purpose(word) for word in model.get("purposes", ())]
    small = SMOKE_TEST in purposes and model.get("source") not in ("hub", "directory")
    return not small and any(purpose in purposes for purpose in _CODING)


def _known(look: Look) -> list[Acceptance]:
    try:
        return recorded(json.loads(look.probe.read(look.state_dir / "models" / FILE)))
    except (OSError, ValueError):
        return []


def _shown(look: Look, model: Mapping[str, Any], known: list[Acceptance]) -> Optional[Acceptance]:
    engine, version = str(look.engine["kind"]), str(look.engine["version"])
    return next((each for each in known if each.is_of(model, engine, version)), None)


CHECKS = (
    Check("models.accepted", "the models showed what they are there for", accepted, needs=("config.station",)),
    Check("models.coding", "there is a model to write code with", coding, needs=("config.station",)),
)
