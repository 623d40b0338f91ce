"""A station's models after their engine was brought to another version: described and asked as the next run would.

By the order of the last run, not by what the inventory says now: an upgrade changes the engine's version alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Mapping, NoReturn, Sequence

from ..acceptance.record import Acceptances
from .download import FetchError
from .install import InstallError
from .order import Order
from .provision import provision
from .standing import FILE, load, order_of


class NotAsLeft(Exception):
    """The models are not those that the last run left, or it left no order; the message says what is wrong."""


@dataclass(frozen=True)
class Shown:
    """The `models` as station.json holds them, `remarks` for people, and the `faults` for which the doctor would fail:
    the model is not what it is said to be on this version.
    """

    models: Sequence[Mapping[str, Any]]
    remarks: Sequence[str]
    faults: Sequence[str]


def on_engine(models_dir: Path, engine: Mapping[str, Any], accept_s: float) -> dict[str, Any]:
    """What the last run asked for, with the engine that runs now (as station.json describes it). Raises NotAsLeft."""
    try:
        given = load(models_dir)
    except FileNotFoundError:
        raise NotAsLeft("no run of this release has written down what is asked of models here") from None
    except (OSError, ValueError) as error:
        raise NotAsLeft(f"{models_dir / FILE} cannot be used: {error}") from None
    return {**given, "engine_version": str(engine.get("version", "")), "server": dict(engine), "accept_s": accept_s}


def order_without_choice(given: Mapping[str, Any], say: Callable[[str], None]) -> Order:
    """The order that was written down, with the catalogue of then; whoever chooses by it hears NotAsLeft, as does who
    asks for one that cannot be read.
    """
    try:
        content = json.loads(Path(given["catalogue_json"]).read_text(encoding="utf-8"))
        return order_of(given, content["catalogue"], content["lock"], budget=_choose, probe=_choose, say=say)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotAsLeft(f"what the last run wrote down cannot be used ({error})") from None


def shown_anew(order: Order) -> Shown:
    """Let the models show what they can. What one failed in for good is asked again, since an upgrade that went back
    for it may be tried again, whatever was the reason. Raises NotAsLeft, and then nothing was asked.
    """
    try:
        if provision(order, check=True).changed:
            raise NotAsLeft("they are not the models that the last run left")
        done = provision(replace(order, ask_failed_again=True))
    except (InstallError, FetchError, OSError) as error:
        raise NotAsLeft(str(error)) from error
    unasked = [str(model["name"]) for model in done.models if "acceptance" not in model]
    told = [f"not asked on this version: {', '.join(unasked)}"] if unasked else []
    return Shown(done.models, [*done.remarks, *told], _faults(order, done.models))


def _faults(order: Order, models: Sequence[Mapping[str, Any]]) -> list[str]:
    records = Acceptances(order.directories.accepted)
    shown = [found for model in models if (found := records.find(model, order.engine, order.engine_version))]
    return [f"{each.model}: {result.id}: {result.found}" for each in shown for result in each.grave]


def _choose() -> NoReturn:
    raise NotAsLeft("what an earlier run chose is not known any more")
