"""`gridtie models`: which models this station has, one more or less, and copies for machines that cannot fetch any."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any, Mapping, Tuple

from gridtie.host.commands import models_accept, models_change
from gridtie.host.models.export import ExportError, chosen, export
from gridtie.host.models.store import NAMESPACE, Manifest, Store
from gridtie.host.paths import StationError, config_dir, read_station, state_dir
from gridtie.host.table import table


def register(commands: Any) -> None:
    """Add the command to the host's parser."""
    parser = commands.add_parser("models", help="list, add, remove, try and copy the station's models")
    below = parser.add_subparsers(dest="models_command", metavar="COMMAND", required=True)
    listed = below.add_parser("list", help="the models in the station's store, and where each is from")
    listed.set_defaults(run=_list)
    models_change.register(below)
    models_accept.register(below)
    packed = below.add_parser(
        "export",
        help="write models to a directory or tar",
        description="Writes manifests and blobs in Ollama's layout, each checked by its digest. On the other machine "
        "set gridtie_models_seed to the copy's path.",
    )
    packed.add_argument("target", type=Path, metavar="TARGET", help="a directory, or a file that ends in .tar")
    packed.add_argument("names", nargs="*", metavar="MODEL", help="names of the catalogue (default: all that are here)")
    packed.set_defaults(run=_export)


_Row = Tuple[str, str, str, str, str]


def _list(_: argparse.Namespace) -> int:
    station = read_station(config_dir(os.environ))
    served = {str(model["name"]): model for model in station.get("models", [])}
    rows = [_checkpoint(model) for model in served.values()] if _is_vllm(station) else _stored(_store(), served)
    sys.stdout.write(table(("MODEL", "FROM", "CONTEXT", "SIZE", "DIGEST"), rows, right=[2, 3]) + "\n")
    return 0 if rows else 1


def _stored(store: Store, served: Mapping[str, Mapping[str, Any]]) -> list[_Row]:
    rows = []
    for name in store.names():
        manifest = store.read(name)
        if manifest:
            size = sum(layer.size for layer in manifest.blobs)
            model = served.get(name, {})
            row = (name, _origin(name, model), str(model.get("context", "-")), f"{size / 1e9:.2f} GB", manifest.digest)
            rows.append(row)
    return rows


def _is_vllm(station: Mapping[str, Any]) -> bool:
    """Whether it serves a checkpoint, and has no store."""
    return bool(station.get("engine", {}).get("kind") == "vllm")


def _checkpoint(model: Mapping[str, Any]) -> _Row:
    size = f"{model['bytes'] / 1e9:.2f} GB"
    return str(model["name"]), "gridtie_vllm_model", str(model["context"]), size, str(model["digest"] or "of the image")


def _origin(name: str, model: Mapping[str, Any]) -> str:
    """Who wanted it here."""
    if model:
        return f"added by {model['added']}" if model.get("added") else "gridtie_models"
    return "no longer served" if name.startswith(f"{NAMESPACE}/") else "the library, or a person"


def _export(args: argparse.Namespace) -> int:
    store = _store()
    try:
        manifests = chosen(store, args.names)
        size = export(store, manifests, args.target, _progress)
    except ExportError as error:
        sys.stderr.write(f"gridtie: {error}\n")
        return 1
    sys.stdout.write(f"{args.target}: {size / 1e9:.2f} GB, checked\n\n{_lock_lines(manifests)}")
    return 0


def _lock_lines(manifests: Mapping[str, Manifest]) -> str:
    """What config/models.lock.yaml needs, so that the other machine accepts these and no others."""
    pins: dict[str, list[str]] = {}
    for name, manifest in manifests.items():
        ours = name.startswith(f"{NAMESPACE}/")
        entry = pins.setdefault(name.partition("/")[2] if ours else name, [])
        if ours:
            entry.append(f"    gguf: {manifest.model.digest.partition(':')[2]}\n")
        else:
            entry.append(f"    manifest: {manifest.digest.partition(':')[2]}\n")
    lines = "".join(f"  {name}:\n{''.join(entry)}" for name, entry in pins.items())
    return f"# for config/models.lock.yaml, where it does not have them yet\n{lines}"


def _progress(line: str) -> None:
    sys.stderr.write(line + "\n")


def _store() -> Store:
    """The store of the station's engine. Raises StationError where this user may not read it."""
    station = read_station(config_dir(os.environ))
    if _is_vllm(station):
        raise StationError(
            "this station's engine is vllm, whose checkpoint is no model for another engine: copy it from where "
            "gridtie_vllm_model takes it"
        )
    engine = station.get("engine", {})
    root = Path(engine.get("store") or state_dir(os.environ) / "models" / str(engine.get("kind", "ollama")))
    if not os.access(root / "manifests", os.R_OK | os.X_OK):
        raise StationError(f"{root} is not there or may not be read by this user; run it with sudo")
    return Store(root)
