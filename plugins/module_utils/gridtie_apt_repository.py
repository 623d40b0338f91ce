"""A small package repository in a directory: packages with all that they depend on, and how apt comes to use it alone.

It is flat (packages beside their index `Packages`), and its index has the sha256 of each package. Whoever makes it has
apt check the distribution's signatures; whoever uses it has checked the index by a sha256 of its own.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Sequence

from .gridtie_apt import Apt, PackageError
from .gridtie_command import CommandError, follow
from .gridtie_docker import run
from .gridtie_host.models.store import sha256_of
from .gridtie_network import APT_SETTINGS

INDEX = "Packages"

# As on a machine where nothing is installed: then all that the packages depend on is named, and no machine lacks any.
# The caches of what is known would be those of another machine.
_BARE = (
    "-o", "Dir::State::status=/dev/null", "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=",
)  # fmt: skip
# Lines of `apt-get --print-uris`: 'URL' file size hash
_ASK_LIMIT_S = 120
_FILE = re.compile(r"^'\S+' (\S+\.deb) \d+", re.MULTILINE)


def settings(directory: str) -> dict[str, str]:
    """The files that have apt take packages from `packages` in that directory and from nowhere else, by their names."""
    return {
        "sources.list": f"deb [trusted=yes] file:{directory}/packages ./\n",
        APT_SETTINGS: (
            f'Dir::Etc::SourceList "{directory}/sources.list";\n'
            'Dir::Etc::SourceParts "/dev/null";\n'
            f'Dir::State::Lists "{directory}/lists";\n'
        ),
    }


def collect(apt: Apt, names: Sequence[str], fetched: Path) -> list[Path]:
    """These packages of the machine's own release and all that they depend on, in the directory `fetched`.

    What lies there from an earlier call is not fetched again. Raises PackageError.
    """
    (fetched / "partial").mkdir(parents=True, exist_ok=True)
    apt.refresh()
    install = [*_BARE, "install", "--no-install-recommends", *names]
    # From an empty directory everything would have to be fetched, so everything is named.
    asked = ["apt-get", "-q", "-y", "-o", "Dir::Cache::archives=/nonexistent/", "--print-uris", *install]
    try:
        output = follow(asked, what=f"asking apt what {', '.join(names)} depend on", limit_s=_ASK_LIMIT_S)
    except CommandError as error:
        raise PackageError(str(error), error.output) from error
    apt.download(["-o", f"Dir::Cache::archives={fetched}/", "--download-only", *install])
    return [fetched / name for name in _FILE.findall(output)]


def publish(packages: Sequence[Path], directory: Path) -> None:
    """Make the directory a repository of these packages and nothing else."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    stanzas = []
    for package in sorted(packages):
        # apt writes the colon of an epoch as %3a, which it would decode in an address.
        path = directory / package.name.replace("%3a", "_")
        shutil.copyfile(package, path)
        stanzas.append(_stanza(path))
    # A blank line after the last one as well: without it apt cannot read that one again.
    (directory / INDEX).write_text("".join(f"{stanza}\n" for stanza in stanzas), encoding="utf-8")


def _stanza(package: Path) -> str:
    """The package's entry in the index."""
    status, control, errors = run(["dpkg-deb", "--field", str(package)])
    if status:
        raise PackageError(f"{package}: {errors}")
    size = package.stat().st_size
    return f"{control}\nFilename: ./{package.name}\nSize: {size}\nSHA256: {sha256_of(package)}\n"
