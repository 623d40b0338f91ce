"""Writes config/models.lock.yaml: what the sources have now becomes what every station obeys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from gridtie.host.catalogue import Catalogue, DerivedSource, Model, OllamaSource, PackageSource, Pin, parse_lock
from gridtie.host.models.download import FetchError
from gridtie.host.models.sources import Means, ObtainError, library_manifest, pin_of_package
from gridtie.host.models.store import StoreError


def resolve(model: Model, means: Means) -> Pin:
    """The hashes of every source of the model, asked of the source. Raises FetchError, ObtainError, StoreError."""
    found: dict[str, str] = {}
    for source in model.sources:
        if isinstance(source, OllamaSource):
            manifest = library_manifest(source.name, "", means)
            found.update(manifest=_plain(manifest.digest), gguf=_plain(manifest.model.digest))
        elif isinstance(source, PackageSource):
            found.update({key: value for key, value in asdict(pin_of_package(source, means)).items() if value})
    if not found:
        raise ObtainError(
            "no source of it can be asked for digests; write the sha256 of its file into the lock by hand"
        )
    return Pin(**found)


def update(
    catalogue: Catalogue,
    pins: Mapping[str, Pin],
    names: Sequence[str],
    means: Means,
    say: Callable[[str], None],
) -> tuple[dict[str, Pin], list[str]]:
    """The pins with those of `names` (empty: of the whole catalogue) asked anew, and what could not be asked.

    Raises KeyError for a name that the catalogue does not have, before anything is asked.
    """
    models = [catalogue.find(name) for name in names] or list(catalogue.models.values())
    updated, problems = dict(pins), []
    for model in models:
        if all(isinstance(source, DerivedSource) for source in model.sources):
            continue  # Nobody can be asked: its file is made on the host, always the same.
        try:
            found = resolve(model, means)
        except (FetchError, ObtainError, StoreError) as error:
            problems.append(f"{model.name}: {error}")
            continue
        before = pins.get(model.name)
        if found != before:
            say(f"{model.name}: {_shown(before)} -> {_shown(found)}")
        updated[model.name] = found
    ordered = [name for name in catalogue.models if name in updated]
    ordered += [name for name in updated if name not in catalogue.models]
    return {name: updated[name] for name in ordered}, problems


def adopt(pins: Mapping[str, Pin], recorded: Mapping[str, Pin]) -> dict[str, Pin]:
    """The pins, and what a station recorded at first use where they say nothing."""
    merged = dict(pins)
    for name, pin in recorded.items():
        known = merged.get(name, Pin())
        merged[name] = Pin(known.gguf or pin.gguf, known.package or pin.package, known.manifest or pin.manifest)
    return merged


def write(path: Path, pins: Mapping[str, Pin]) -> bool:
    """Write the lock, with the comments at its top; False if it says the same already."""
    text = path.read_text(encoding="utf-8")
    head, separator, _ = text.partition("\nmodels:\n")
    lines = [head + separator] if separator else ["schema: 1\n\nmodels:\n"]
    for name, pin in pins.items():
        lines.append(f"  {name}:\n")
        # Digits alone would be a number to YAML.
        quoted = {key: f'"{value}"' if value.isdigit() else value for key, value in _entry(pin).items()}
        lines += [f"    {key}: {value}\n" for key, value in quoted.items()]
    new = "".join(lines)
    parse_lock({"schema": 1, "models": documents(pins)})
    if new == text:
        return False
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(new, encoding="utf-8")
    draft.replace(path)
    return True


def documents(pins: Mapping[str, Pin]) -> dict[str, dict[str, str]]:
    """Pins as a lock says them."""
    return {name: _entry(pin) for name, pin in pins.items()}


def _entry(pin: Pin) -> dict[str, str]:
    return {key: value for key, value in asdict(pin).items() if value}


def _plain(digest: str) -> str:
    return digest.partition(":")[2]


def _shown(pin: Pin | None) -> str:
    if pin is None:
        return "not pinned"
    return " ".join(f"{key} {value[:12]}" for key, value in _entry(pin).items())
