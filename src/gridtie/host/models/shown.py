"""Lets a station's models show that they run, and what they can, before a run counts as done."""

from __future__ import annotations

from typing import Any, Callable, Mapping, Sequence

from ..acceptance.memory import TOLERANCE, TOLERANCE_ON_CARDS
from ..acceptance.record import Acceptances
from ..acceptance.run import accept, limit_of
from ..router import Unreachable
from .install import Installer, InstallError
from .order import Order
from .proof import DoesNotRun, Proofs, answers


def proved(order: Order, installer: Installer, models: Sequence[Mapping[str, Any]]) -> list[str]:
    """Let every model that is new answer once. Raises InstallError for those that cannot; remarks on the rest."""
    if order.reach is None:
        return []
    proofs = Proofs(order.directories.proofs, order.engine, again=order.deep)
    problems, remarks = [], []
    for model in proofs.missing(models):
        problem, remark = _asked(model, order.reach, order.say)
        if problem and installer.whole:
            _take_out(installer, str(model["name"]))
        elif not problem:
            proofs.add(model)
        problems += [problem] if problem else []
        remarks += [remark] if remark else []
    if problems:
        raise InstallError("\n".join(problems))
    return remarks


def _take_out(installer: Installer, name: str) -> None:
    """Out of the engine's list. Its files stay for another try, and go with whatever is pruned next."""
    manifest = installer.store.read(name)
    if manifest:
        installer.owned.note_deletion(installer.engine, [layer.digest for layer in manifest.blobs])
        installer.store.remove(name)


def _asked(model: Mapping[str, Any], reach: Callable[[str], str], say: Callable[[str], None]) -> tuple[str, str]:
    """Why it does not run, or why it could not be asked; both empty where it answered."""
    try:
        answers(model, reach(str(model["url"])), say)
    except DoesNotRun as error:
        wrong = f"{model['name']} is whole ({model['digest']}) and does not run: {error}. It is not offered; choose "
        return wrong + "another model, or a version of the engine that can load it", ""
    except Unreachable as error:
        return "", f"{model['name']} could not be asked for an answer from here: {error}"
    return "", ""


def accepted(order: Order, models: Sequence[Mapping[str, Any]]) -> list[str]:
    """Let every model that is new, on this version of the engine, show what it can; remarks on what it cannot."""
    if order.reach is None or order.accept_s == 0:
        return []
    records, remarks = Acceptances(order.directories.accepted), []
    tolerance = TOLERANCE_ON_CARDS if order.graphics else TOLERANCE
    for model in models:
        known = records.find(model, order.engine, order.engine_version)
        if known and not (order.ask_failed_again and known.grave):
            continue
        limit = limit_of(model, order.accept_s)
        try:
            url, version = order.reach(str(model["url"])), order.engine_version
        except Unreachable:
            # The proof before this has said so, and the others are behind the same engine.
            break
        try:
            done = accept(
                model, url, order.engine, version, records,
                limit_s=limit, again=known is not None, tolerance=tolerance, say=order.say,
            )  # fmt: skip
        except Unreachable as error:
            # A server of llama.cpp that ends while it is asked takes none of the other models with it.
            remarks.append(f"{model['name']}: what it can is not known: {error}")
            continue
        remarks += [f"{model['name']}: {result.id} failed: {result.found}" for result in done.failed]
    return remarks


def with_acceptance(order: Order, model: Mapping[str, Any]) -> dict[str, Any]:
    """With what it has shown, and without the purposes that it is not for by that."""
    shown = Acceptances(order.directories.accepted).find(model, order.engine, order.engine_version)
    return shown.told_of(model) if shown else dict(model)
