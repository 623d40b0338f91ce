"""A bundle: all that a station is made of as files, for machines without a network, and what is wrong with one.

A directory that can be copied as it is:

    SHA256SUMS           the sha256 of every other file, as `sha256sum --check` reads it; its own is the bundle's name
    manifest.json        what the bundle is for, when it was made, and the size of every other file
    packages/            a repository of the distribution's packages
    images/NAME/         each image in parts, as gridtie_image_pack makes them
    models/              manifests and blobs in Ollama's layout
    releases/            upstream's archives of Ollama, where the engine is made of them
    wheels/              Python packages of the controller's environment
    gridtie-VERSION.tar.gz, gridtie.lock.yaml
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..module_utils.gridtie_judge import problem
from .gridtie_agreed import Learned, LockError
from .gridtie_agreed import read as read_lock
from .gridtie_collection import package

SCHEMA = 1
MANIFEST, SUMS, LOCK = "manifest.json", "SHA256SUMS", "gridtie.lock.yaml"
# What of it is given to hosts as files; images travel in parts of their own.
FOR_HOSTS = ("packages/", "models/", "releases/")
# Which files were hashed, so that gigabytes are read once and not by every run.
HASHED = Path("~/.cache/gridtie/bundles.json")

_LINE = re.compile(r"([0-9a-f]{64}) [ *](\S.*)")
_KINDS = ("images", "archives", "models")
_AGAIN = "copy it anew from where it was made, or make it anew there (make bundle)"
_NAMED = 5

Problem = dict[str, str]


class BundleError(Exception):
    """It cannot be used as a bundle; ``problem`` says what was found and what to do."""

    def __init__(self, found: str, fix: str) -> None:
        super().__init__(f"{found}; {fix}")
        self.problem = problem(found, fix)


@dataclass(frozen=True)
class Bundle:
    """A bundle whose list could be read; ``sums`` has the sha256 of each file by its path below ``directory``."""

    directory: Path
    facts: Mapping[str, Any]
    sums: Mapping[str, str]

    @cached_property
    def name(self) -> str:
        """Twelve digits that change whenever any byte of it does."""
        return hashlib.sha256((self.directory / SUMS).read_bytes()).hexdigest()[:12]

    @property
    def engine(self) -> Mapping[str, Any]:
        """``kind``, ``mode``, ``source`` and ``version`` of the station that it was made from."""
        return dict(self.facts["engine"])

    def parts(self) -> list[dict[str, Any]]:
        """What hosts are given, each with ``path``, ``bytes`` and ``sha256``."""
        sizes = self.facts["files"]
        return [
            {"path": path, "bytes": sizes.get(path, 0), "sha256": sha256}
            for path, sha256 in sorted(self.sums.items())
            if path.startswith(FOR_HOSTS)
        ]

    def learned(self) -> Learned:
        """The digests that the station's inventory had learned. Raises BundleError."""
        if LOCK not in self.sums:
            return {}
        try:
            lock = read_lock(self.directory / LOCK)
        except LockError as error:
            raise BundleError(str(error), _AGAIN) from error
        return {kind: digests for kind in _KINDS if (digests := lock.digests(kind))}

    def asked(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """The preflight's variables, where what is left to it means what the bundle has."""
        own = {"engine": self.engine["kind"]}
        if self.engine["kind"] == "ollama":
            own["source"] = self.engine["source"]
        if self.engine["source"] == "release":  # An archive is for a service alone.
            own["mode"] = self.engine["mode"]
        return {**wanted, **{name: value for name, value in own.items() if wanted.get(name) == "auto"}}

    def reach(self) -> dict[str, dict[str, str]]:
        """What answers, as the probes of a machine say it."""
        names = ("release", "mirror") if self.engine["source"] == "release" else ("apt", "pypi", "go")
        return {name: {"state": "ok", "url": str(self.directory), "detail": "the bundle"} for name in names}


def read(directory: str) -> Bundle:
    """The bundle in a directory. Raises BundleError."""
    path = Path(directory).expanduser()
    if not path.is_absolute():
        raise BundleError(f"gridtie_bundle is {directory!r}", "give the bundle's directory by its absolute path")
    try:
        listed = (path / SUMS).read_text(encoding="utf-8")
        manifest = (path / MANIFEST).read_bytes()
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(
            f"{path} is not a bundle, or its list of files cannot be read ({error})",
            "name the directory that `make bundle` made, which holds SHA256SUMS and manifest.json",
        ) from error
    found = [_LINE.fullmatch(line) for line in listed.splitlines()]
    sums = {match[2]: match[1] for match in found if match}
    if not all(found) or sums.get(MANIFEST) != hashlib.sha256(manifest).hexdigest():
        raise BundleError(f"{path}: {SUMS} and {MANIFEST} do not belong together, or one was changed or cut", _AGAIN)
    if astray := [file for file in sums if file.startswith("/") or ".." in file.split("/")]:
        raise BundleError(f"{path}: {SUMS} names files outside of the bundle: {_some(astray)}", _AGAIN)
    facts = json.loads(manifest)
    if facts.get("schema") != SCHEMA:
        raise BundleError(
            f"{path} is a bundle of schema {facts.get('schema')}, and this version reads {SCHEMA}",
            "use the version that lies in it, or make it anew with this one",
        )
    return Bundle(path, facts, sums)


def damaged(bundle: Bundle) -> list[Problem]:
    """Files that are missing, cut or changed, or that cannot be read."""
    lacking: dict[str, list[str]] = {"lacks": [], "has cut short": [], "has changed": [], "cannot be read at": []}
    with _hashed() as checked:
        for path, sha256 in bundle.sums.items():
            file, size = bundle.directory / path, bundle.facts["files"].get(path)
            try:
                if not file.is_file():
                    lacking["lacks"].append(path)
                elif size is not None and file.stat().st_size < size:
                    lacking["has cut short"].append(f"{path} ({file.stat().st_size} of {size} bytes)")
                elif not checked.matches(file, f"sha256:{sha256}"):
                    lacking["has changed"].append(f"{path} (its sha256 is not the one in {SUMS})")
            except OSError as error:
                lacking["cannot be read at"].append(f"{path} ({error.strerror})")
    return [
        problem(f"the bundle {bundle.directory} {how}: {_some(paths)}", _AGAIN)
        for how, paths in lacking.items()
        if paths
    ]


def unfit(bundle: Bundle, machine: Mapping[str, Any], version: str) -> list[Problem]:
    """Why it is not for this machine, or not for this version of the project."""
    facts, problems = bundle.facts, []
    if facts["version"] != version:
        problems.append(
            problem(
                f"the bundle {bundle.directory} is of version {facts['version']}, and this is {version}",
                f"use the checkout that lies in it (gridtie-{facts['version']}.tar.gz), or make one with {version}",
            )
        )
    system, here = facts["system"], machine["system"]
    if (system["id"], system["version"]) != (here["id"], here["version"]):
        problems.append(
            problem(
                f"the bundle {bundle.directory} is for {system['name']}, and this machine runs {here['name']}",
                f"make one on a machine with {here['name']}; gridtie_bundle may differ from host to host",
            )
        )
    if facts["architecture"] != machine["architecture"]:
        problems.append(
            problem(
                f"the bundle {bundle.directory} is for {facts['architecture']}, and this machine is "
                f"{machine['architecture']}",
                f"make one on a machine of {machine['architecture']}; gridtie_bundle may differ from host to host",
            )
        )
    return problems


def unmet(bundle: Bundle, choice: Mapping[str, Any], images: Mapping[str, str], archives: list[str]) -> list[Problem]:
    """What a station of this choice is made of and the bundle has not: ``images`` by their names, ``archives`` of the
    release as VERSION/FILE.
    """
    engine = bundle.engine
    if choice.get("source") == "adopted":
        images = {what: name for what, name in images.items() if what != "engine"}
    elif (choice["engine"], choice["source"]) != (engine["kind"], engine["source"]):
        found = f"{choice['engine']} from {choice['source']}"
        return [
            problem(
                f"this station is to have {found}, and the bundle {bundle.directory} has {engine['kind']} from "
                f"{engine['source']}",
                "leave gridtie_engine, gridtie_engine_mode and gridtie_ollama_source out, or make the bundle from a "
                "station that has the same",
            )
        ]
    lacking = [name for name in images.values() if f"images/{place(name)}/index.json" not in bundle.sums]
    lacking += [file for file in archives if f"releases/{file.replace('/', '-')}" not in bundle.sums]
    if not lacking:
        return []
    return [
        problem(
            f"the bundle {bundle.directory} lacks {_some(lacking)}, of which this version makes a station",
            "make the bundle with exactly these files of the project, or use the checkout that lies in it",
        )
    ]


def place(reference: str) -> str:
    """The directory of an image's parts, as gridtie_image_pack names it."""
    return reference.replace("/", "_").replace(":", "_")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


@contextmanager
def _hashed() -> Iterator[Any]:
    """What is known of files that were hashed before. One at a time: all hosts of a run ask about the same bundle."""
    store = package("gridtie.host.models.store")
    path = HASHED.expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        checked = store.Checked(path)
        yield checked
        checked.save()
