"""Distribution packages: what is missing, and how it is installed from the machine's own mirror."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Iterator

from . import gridtie_apt_locks
from .gridtie_command import CommandError, follow
from .gridtie_docker import run
from .gridtie_progress import report

# An index older than this is fetched anew before something is installed: mirrors drop packages that were replaced.
_INDEX_AGE_S = 12 * 3600
# An unattended upgrade of many packages takes minutes.
LOCK_WAIT_S = 600
ARGUMENTS: dict[str, Any] = {"lock_wait_s": {"type": "float", "default": LOCK_WAIT_S}}
# A lock that is taken while apt works; for those before it, Apt waits itself.
_OPTIONS = ["-q", "-y", "-o", "DPkg::Lock::Timeout=60", "-o", "Acquire::Retries=3"]
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


def held(names: list[str]) -> list[str]:
    """Those packages whose version is held."""
    status, output, errors = run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Want}\n", *names])
    if status not in (0, 1):
        raise PackageError(f"dpkg-query cannot be run: {errors}")
    found = {line.split()[0] for line in output.splitlines() if line.split()[1:] == ["hold"]}
    return [name for name in names if name in found]


def _index_is_fresh() -> bool:
    if os.environ.get("APT_CONFIG"):
        return False  # Its index is kept somewhere else, and may be that of another bundle.
    lists = Path("/var/lib/apt/lists")
    # Packages files carry the mirror's time; the directory is written by every update.
    return any(lists.glob("*_Packages*")) and time.time() - lists.stat().st_mtime < _INDEX_AGE_S


class Apt:
    """apt and dpkg, which wait for whoever else uses them."""

    def __init__(self, lock_wait_s: float = LOCK_WAIT_S, tell: Callable[[str], None] = lambda text: None) -> None:
        """``lock_wait_s`` is how long is waited for each lock, ``tell`` is told once what was waited for."""
        self._lock_wait_s, self._tell = lock_wait_s, tell

    def update(self) -> None:
        """Fetch the package index, after a source was added. Every source must answer."""
        self._repair()
        self._run(["apt-get", *_OPTIONS, "-o", "APT::Update::Error-Mode=any", "update"], "fetching the package index")

    def install(self, names: list[str]) -> None:
        """Install packages of the machine's own release."""
        self._repair()
        fresh = _index_is_fresh()
        if not fresh:
            self._fetch_index()
        command = ["apt-get", *_OPTIONS, "install", "--no-install-recommends", *names]
        try:
            self._run(command, "installing packages")
        except PackageError:
            if not fresh:
                raise
            # A young index can still name packages that the mirror replaced a minute ago.
            self._fetch_index()
            self._run(command, "installing packages")

    def install_from_release(self, names: list[str], release: str, site: str, keyring: str) -> None:
        """Install packages of another release of the same distribution.

        Only these packages: the index lives in a directory of its own for the time of this call, so that no upgrade
        ever sees that release. Signatures are checked as always. What the packages depend on comes from the machine's
        release, or the installation is refused.
        """
        self._repair()
        with self.of_release(names, release, site, keyring) as files:
            self.refresh()
            command = ["apt-get", *_OPTIONS, "install", "--no-install-recommends", *map(str, files)]
            self._run(command, f"installing {', '.join(names)}")

    @contextlib.contextmanager
    def of_release(self, names: list[str], release: str, site: str, keyring: str) -> Iterator[list[Path]]:
        """The packages of another release as files, gone afterwards."""
        with _private_apt(release, site, keyring) as (options, directory):
            self._run(["apt-get", *_OPTIONS, *options, "update"], f"fetching the package index of {release}")
            # `apt-get download` writes to the working directory.
            self._run(
                ["sh", "-c", _IN_DIRECTORY, "sh", directory, *_OPTIONS, *options, "download", *names],
                f"fetching {', '.join(names)} of {release}",
            )
            files = sorted(Path(directory).glob("*.deb"))
            if len(files) != len(names):
                raise PackageError(f"{release} has not all of {', '.join(names)}")
            yield files

    def download(self, arguments: list[str]) -> None:
        """Fetch packages without installing them: `arguments` of apt-get, with where they go to."""
        self._run(["apt-get", *_OPTIONS, *arguments], "fetching packages")

    def refresh(self) -> None:
        """Fetch the package index where it is too old to fetch packages by."""
        if not _index_is_fresh():
            self._fetch_index()

    def hold(self, names: list[str], *, held: bool) -> None:
        """Keep packages at the version that is installed, or let them go again."""
        what = f"{'holding' if held else 'letting go of'} {', '.join(names)}"
        self._run(["apt-mark", "hold" if held else "unhold", *names], what)

    def _fetch_index(self) -> None:
        self._run(["apt-get", *_OPTIONS, "update"], "fetching the package index")

    def _repair(self) -> None:
        """Finish what a killed run left half configured; apt-get refuses to work before that."""
        # What another program is configuring at this moment is not left over.
        self._wait()
        _, unfinished, _ = run(["dpkg", "--audit"])
        if unfinished or any(Path("/var/lib/dpkg/updates").glob("[0-9]*")):
            self._run(
                ["dpkg", "--configure", "-a", "--force-confdef", "--force-confold"],
                "finishing an interrupted installation",
            )

    def _run(self, arguments: list[str], what: str) -> None:
        """Run apt-get or dpkg to its end, telling its steps as progress."""
        deadline = time.monotonic() + self._lock_wait_s
        while True:
            self._wait()
            try:
                return _follow(arguments, what)
            except PackageError as error:
                # Somebody took a lock between the look and the start.
                if not gridtie_apt_locks.refused(error.output) or time.monotonic() > deadline:
                    raise
                time.sleep(1)

    def _wait(self) -> None:
        try:
            waited = gridtie_apt_locks.wait(self._lock_wait_s, report)
        except gridtie_apt_locks.BusyError as error:
            raise PackageError(str(error)) from error
        if waited:
            self._tell(waited)


def _follow(arguments: list[str], what: str) -> None:
    report(what)

    def tell(line: str) -> None:
        if line.startswith(("Get:", "Unpacking", "Setting up", "Waiting for cache lock", "Err:")):
            report(f"{what}: {line}")

    try:
        follow(arguments, what=what, limit_s=_LIMIT_S, line=tell, environment=_ENVIRONMENT)
    except CommandError as error:
        raise PackageError(str(error), error.output) from error


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
