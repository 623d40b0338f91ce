"""Distribution packages: what is missing, and how it is installed from the machine's own mirror."""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path
from typing import Iterator

from .gridtie_command import CommandError, follow
from .gridtie_docker import run
from .gridtie_progress import report

# An index older than this is fetched anew before something is installed: mirrors drop packages that were replaced.
_INDEX_AGE_S = 12 * 3600
# The lock may be held by an unattended upgrade.
_LOCK_WAIT_S = 300
_OPTIONS = ["-q", "-y", "-o", f"DPkg::Lock::Timeout={_LOCK_WAIT_S}", "-o", "Acquire::Retries=3"]
_LIMIT_S = 1800
_ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8", "APT_LISTCHANGES_FRONTEND": "none"}
_IN_DIRECTORY = 'cd "$1" && shift && exec apt-get "$@"'


class PackageError(CommandError):
    """apt or dpkg failed; ``output`` is what it printed."""


def missing(names: list[str]) -> list[str]:
    """Those packages that are not installed and configured."""
    if not names:
        return []
    status, output, errors = run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Abbrev}\n", *names])
    if status not in (0, 1):
        raise PackageError(f"dpkg-query cannot be run: {errors}")
    installed = {line.split()[0] for line in output.splitlines() if line.split()[1:2] == ["ii"]}
    return [name for name in names if name not in installed]


def _apt(arguments: list[str], what: str) -> None:
    """Run apt-get or dpkg to its end, telling its steps as progress."""
    report(what)

    def tell(line: str) -> None:
        if line.startswith(("Get:", "Unpacking", "Setting up", "Waiting for cache lock", "Err:")):
            report(f"{what}: {line}")

    try:
        follow(arguments, what=what, limit_s=_LIMIT_S, line=tell, environment=_ENVIRONMENT)
    except CommandError as error:
        raise PackageError(str(error), error.output) from error


def _repair() -> None:
    """Finish what a killed run left half configured; apt-get refuses to work before that."""
    _, unfinished, _ = run(["dpkg", "--audit"])
    if unfinished or any(Path("/var/lib/dpkg/updates").glob("[0-9]*")):
        _apt(
            ["dpkg", "--configure", "-a", "--force-confdef", "--force-confold"], "finishing an interrupted installation"
        )


def _index_is_fresh() -> bool:
    lists = Path("/var/lib/apt/lists")
    # Packages files carry the mirror's time; the directory is written by every update.
    return any(lists.glob("*_Packages*")) and time.time() - lists.stat().st_mtime < _INDEX_AGE_S


def update() -> None:
    """Fetch the package index, after a source was added. Every source must answer."""
    _repair()
    _apt(["apt-get", *_OPTIONS, "-o", "APT::Update::Error-Mode=any", "update"], "fetching the package index")


def install(names: list[str]) -> None:
    """Install packages of the machine's own release."""
    _repair()
    fresh = _index_is_fresh()
    if not fresh:
        _apt(["apt-get", *_OPTIONS, "update"], "fetching the package index")
    command = ["apt-get", *_OPTIONS, "install", "--no-install-recommends", *names]
    try:
        _apt(command, "installing packages")
    except PackageError:
        if not fresh:
            raise
        # A young index can still name packages that the mirror replaced a minute ago.
        _apt(["apt-get", *_OPTIONS, "update"], "fetching the package index")
        _apt(command, "installing packages")


def install_from_release(names: list[str], release: str, site: str, keyring: str) -> None:
    """Install packages of another release of the same distribution.

    Only these packages: the index lives in a directory of its own for the time of this call, so that no upgrade ever
    sees that release. Signatures are checked as always. What the packages depend on comes from the machine's release,
    or the installation is refused.
    """
    _repair()
    with _private_apt(release, site, keyring) as (options, directory):
        _apt(["apt-get", *_OPTIONS, *options, "update"], f"fetching the package index of {release}")
        # `apt-get download` writes to the working directory.
        _apt(
            ["sh", "-c", _IN_DIRECTORY, "sh", directory, *_OPTIONS, *options, "download", *names],
            f"fetching {', '.join(names)} of {release}",
        )
        files = sorted(map(str, Path(directory).glob("*.deb")))
        if len(files) != len(names):
            raise PackageError(f"{release} has not all of {', '.join(names)}")
        if not _index_is_fresh():
            _apt(["apt-get", *_OPTIONS, "update"], "fetching the package index")
        _apt(["apt-get", *_OPTIONS, "install", "--no-install-recommends", *files], f"installing {', '.join(names)}")


@contextlib.contextmanager
def _private_apt(release: str, site: str, keyring: str) -> Iterator[tuple[list[str], str]]:
    with tempfile.TemporaryDirectory(prefix="gridtie-apt-") as directory:
        # apt fetches as its own user, which must be able to write here.
        Path(directory).chmod(0o755)
        for part in ("lists/partial", "cache/archives/partial"):
            Path(f"{directory}/{part}").mkdir(parents=True)
        with Path(f"{directory}/sources.list").open("w", encoding="utf-8") as file:
            file.write(f"deb [signed-by={keyring}] {site} {release} main\n")
        yield [
            "-o", f"Dir::Etc::SourceList={directory}/sources.list", "-o", "Dir::Etc::SourceParts=/dev/null",
            "-o", f"Dir::State::Lists={directory}/lists", "-o", f"Dir::Cache={directory}/cache",
            "-o", "APT::Update::Error-Mode=any",
        ], directory  # fmt: skip
