"""What config/artefacts.yaml becomes with what was found upstream. Pure: text in, text out, or every reason why not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from gridtie.artefacts.document import DIGEST, VERSION
from gridtie.artefacts.edit import set_value, sort_children

# Where archives are listed: the one that every machine of a kind needs, and what is unpacked over it.
_GROUPS = ("archives", "extras")
# The package with llama.cpp's server.
WHEEL = "xllamacpp"


class ArtefactsError(Exception):
    """The file must not be changed like this; the message lists every reason, one a line."""


@dataclass(frozen=True)
class Offer:
    """What upstream has: sha256 of the archives by file name, digest of images by their name (see `references`)."""

    version: str
    sums: Mapping[str, str]
    images: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Wheel:
    """llama.cpp's server as a Python package: a version of it, and its sha256 by architecture."""

    version: str
    sha256: Mapping[str, str]


@dataclass(frozen=True)
class Packages:
    """What package registries have: a version of Ollama, its llama.cpp tag, and the wheel that is nearest to that."""

    version: str
    llama_cpp: str
    wheel: Wheel


@dataclass(frozen=True)
class _Image:
    """An image of the file, where its digest stands there, and whether another version of Ollama is another image."""

    reference: str
    digest: str | None
    path: tuple[str, ...]
    released: bool


def updated(text: str, offer: Offer, *, replace: bool = False, partial: bool = False) -> str:
    """The file's text with the offered version and everything that belongs to it.

    A checksum or digest that is recorded already for the same version must be the offered one, unless `replace`. Every
    archive that the file names must be offered, unless `partial`: then what is not offered keeps its checksum while the
    version stays, and loses it with a new version. Raises ArtefactsError.
    """
    document = yaml.safe_load(text)
    problems = list(_problems(document, offer, replace, partial))
    if problems:
        raise ArtefactsError("\n".join(problems))
    text = set_value(text, ("ollama", "version"), f'"{offer.version}"')
    same = document["ollama"]["version"] == offer.version
    for group, name, entry in _archives(document):
        sha256 = offer.sums.get(entry["file"]) or (entry["sha256"] if same else None)
        text = set_value(text, ("ollama", group, name, "sha256"), sha256 or "null")
    for group in _GROUPS:
        text = sort_children(text, ("ollama", group))
    images = dict(_images(document, offer.version))
    text = set_value(text, ("images", "ollama", "reference"), images["ollama"].reference)
    for name, image in images.items():
        digest = offer.images.get(name) or (image.digest if same or not image.released else None)
        text = set_value(text, image.path, digest or "null")
    return text


def compiled(text: str, packages: Packages) -> str:
    """The file's text with what is compiled from package registries, and nothing of upstream's release changed.

    Raises ArtefactsError.
    """
    packages_of(text)
    text = set_value(text, ("ollama", "packages", "version"), f'"{packages.version}"')
    text = set_value(text, ("ollama", "packages", "llama_cpp"), packages.llama_cpp)
    if yaml.safe_load(text)["ollama"]["version"] == packages.version:
        text = set_value(text, ("ollama", "llama_cpp"), packages.llama_cpp)
    text = set_value(text, ("wheels", WHEEL, "version"), packages.wheel.version)
    for architecture, sha256 in packages.wheel.sha256.items():
        text = set_value(text, ("wheels", WHEEL, "sha256", architecture), sha256)
    return text


def packages_of(text: str) -> dict[str, str]:
    """What the file says of the Ollama that is compiled. Raises ArtefactsError where that is nothing."""
    found: dict[str, str] | None = yaml.safe_load(text)["ollama"].get("packages")
    if found is None:
        raise ArtefactsError("the file has no ollama.packages; take it over from the project's config/artefacts.yaml")
    return found


def check_version(version: str) -> None:
    """Raises ArtefactsError where it is none."""
    if not VERSION.fullmatch(version):
        raise ArtefactsError(f"{version!r} is no version of Ollama; wanted is one such as 0.32.15, without a v")


def references(document: Mapping[str, Any], version: str) -> dict[str, str]:
    """What to ask a registry for, by name: `ollama` and `ollama.rocm` have the tags of that version."""
    return {name: image.reference for name, image in _images(document, version)}


def _problems(document: Mapping[str, Any], offer: Offer, replace: bool, partial: bool) -> Iterator[str]:
    try:
        check_version(offer.version)
    except ArtefactsError as error:
        yield str(error)
    same = document["ollama"]["version"] == offer.version
    missing = sorted(entry["file"] for _, _, entry in _archives(document) if entry["file"] not in offer.sums)
    if missing and not partial:
        yield (
            f"the list of sums does not name {', '.join(missing)}: upstream renamed them (then change the names in the "
            "file), or the source holds only a part (then say --partial)"
        )
    if same and not replace:
        for group, name, entry in _archives(document):
            yield from _differs(f"{group}.{name}", entry["file"], entry["sha256"], offer.sums.get(entry["file"]))
        for name, image in _images(document, offer.version):
            yield from _differs(f"images.{name}", image.reference, image.digest, offer.images.get(name))
    known = references(document, offer.version)
    for name, digest in offer.images.items():
        if name not in known or not DIGEST.fullmatch(digest):
            yield f"images.{name}: {digest!r:.90} is no digest of an image in the file"


def _differs(where: str, what: str, recorded: str | None, offered: str | None) -> Iterator[str]:
    if recorded and offered and recorded != offered:
        yield (
            f"{where}: {what} is recorded with {recorded} and offered with {offered}. A release does not change: one "
            "of the two is not upstream's. If it is the recorded one, say --replace"
        )


def _archives(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for group in _GROUPS:
        for name, entry in document["ollama"][group].items():
            yield group, name, entry


def _images(document: Mapping[str, Any], version: str) -> Iterator[tuple[str, _Image]]:
    """Every image of the file by its name; Ollama's own, variants among them, as that version of it is called."""
    for name, entry in document["images"].items():
        released = name == "ollama"
        reference = f"{entry['reference'].rpartition(':')[0]}:{version}" if released else entry["reference"]
        yield name, _Image(reference, entry["digest"], ("images", name, "digest"), released)
        for variant, digest in entry.get("variants", {}).items():
            path = ("images", name, "variants", variant)
            yield f"{name}.{variant}", _Image(f"{reference}-{variant}", digest, path, released)
