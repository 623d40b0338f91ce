"""Commands that ask the router and write files, on a host: in a container of the router's image, as whoever called.

The container is on the router's network, so that it reaches the router and the engine beside it, and sees the
configuration and the directories of the caller's files.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Iterable, List, Optional, Sequence

from gridtie.host import paths
from gridtie.host.paths import StationError, config_dir, read_station
from gridtie.host.router_image import Mount, RouterImage
from gridtie.host.sandbox_link import Answer

# Where the router listens in its own container; a native one listens where the station says.
_INSIDE = "http://127.0.0.1:8484"
# What lies there in the image would be hidden by a directory of the host.
_OF_THE_IMAGE = {Path(name) for name in ("/", "/bin", "/etc", "/lib", "/lib64", "/opt", "/run", "/usr")}


def run_inside(
    words: Sequence[str],
    files: Iterable[Optional[Path]],
    mounts: Sequence[Mount] = (),
    answer: Optional[Answer] = None,
) -> int:
    """`python3 WORDS` there; gives its exit status. `answer` does what it cannot do itself. Raises `StationError`."""
    station = read_station(config_dir(os.environ))
    endpoint = paths.find(os.environ, paths.home_of(os.environ))
    native = station.get("engine", {}).get("mode") == "native"
    environ = {
        "OPENAI_BASE_URL": endpoint.url if native else _INSIDE,
        "OPENAI_API_KEY": endpoint.key,
        # The image names a directory, whose key and endpoint would go before these.
        "GRIDTIE_CONFIG_DIR": "",
    }
    seen = [
        Mount(config_dir(os.environ), paths.CONFIG_DIR),
        *mounts,
        *(Mount(each, each, writable=True) for each in _directories(files)),
    ]
    return RouterImage(station).attend(words, seen, environ, Path.cwd(), answer)


def _directories(files: Iterable[Optional[Path]]) -> List[Path]:
    """The directories of all files that are named, the working directory among them. Raises `StationError`."""
    found = sorted({Path.cwd(), *(each.absolute().parent for each in files if each is not None)})
    for each in found:
        if each in _OF_THE_IMAGE:
            raise StationError(
                f"{each} is no place for results; change to a directory of your own, or name files in one"
            )
        if not each.is_dir():
            raise StationError(f"{each} is not a directory; results go where you may write")
    # A directory within another is there already.
    return [each for each in found if not any(other in each.parents for other in found)]
