"""The Python package with llama.cpp's server: which of its versions is nearest to an Ollama's, and its checksums.

A version ends in the build of llama.cpp that it was made of: 2026.9.11063 is b11063. The index is asked by pip, with
whatever pip is configured to ask.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence

from gridtie.artefacts.update import WHEEL, ArtefactsError, Wheel

ARCHITECTURES = ("x86_64", "aarch64")
# The oldest C library that a wheel may ask for is that of the oldest system that compiles (docs/support.md).
_PLATFORM = "manylinux2014"
_BUILD = re.compile(r"(?:\d+\.)+(\d{4,})")
_LIMIT_S = 300


def nearest(versions: Iterable[str], llama_cpp: str) -> str:
    """The version whose build is nearest to the tag, such as `b11081`; of two as near, the later one.

    Raises ArtefactsError where none tells its build.
    """
    wanted = int(llama_cpp.removeprefix("b"))
    builds = {int(match[1]): version for version in versions if (match := _BUILD.fullmatch(version))}
    if not builds:
        raise ArtefactsError(f"the package index has no version of {WHEEL} that tells its build of llama.cpp")
    return builds[min(builds, key=lambda build: (abs(build - wanted), -build))]


def wheel_for(llama_cpp: str, *, pip: Sequence[str] = (sys.executable, "-m", "pip")) -> Wheel:
    """The nearest wheel that the index has for every architecture. Raises ArtefactsError."""
    listed = _ask([*pip, "index", "versions", WHEEL])
    found = re.search(r"^Available versions: (.*)$", listed, re.MULTILINE)
    version = nearest(found[1].split(", ") if found else [], llama_cpp)
    return Wheel(version, {each: _sha256(pip, version, each) for each in ARCHITECTURES})


def _sha256(pip: Sequence[str], version: str, architecture: str) -> str:
    options = ("--dry-run", "--quiet", "--ignore-installed", "--no-deps", "--only-binary", ":all:", "--report", "-")
    # A target, which pip wants where it is asked for another platform; nothing is installed.
    place = ("--platform", f"{_PLATFORM}_{architecture}", "--target", "unused")
    report = _ask([*pip, "install", *options, *place, f"{WHEEL}=={version}"])
    try:
        (wheel,) = json.loads(report)["install"]
        return str(wheel["download_info"]["archive_info"]["hashes"]["sha256"])
    except (KeyError, ValueError) as error:
        raise ArtefactsError(f"{WHEEL} {version} for {architecture}: pip tells no sha256 ({error!r})") from error


def _ask(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    if done.returncode:
        raise ArtefactsError(f"{' '.join(command[1:])}: {' / '.join(done.stderr.strip().splitlines()[-3:])}")
    return done.stdout
