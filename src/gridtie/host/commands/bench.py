"""`gridtie bench`: on a host it runs from the router's image, since a host's Python is bare.

The container is on the router's network, so that it reaches the router and the engine beside it. What the machine uses
meanwhile (the engine's memory, energy) is seen from here alone, and told to it by a file.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any, Callable, Iterator, List, Optional

from gridtie.host import paths
from gridtie.host.commands.bench_arguments import DESCRIPTION, FILES, HELP, add_arguments, words
from gridtie.host.commands.doctor import this_machine
from gridtie.host.doctor.look import NotThere
from gridtie.host.meter import Sample, Sampler
from gridtie.host.paths import StationError, config_dir, read_station
from gridtie.host.router_image import Mount, RouterImage

# Where the router listens in its own container; a native one listens where the station says.
_INSIDE = "http://127.0.0.1:8484"
_METER = Path("/run/gridtie-meter")
# What lies there in the image would be hidden by a directory of the host.
_OF_THE_IMAGE = {Path(name) for name in ("/", "/bin", "/etc", "/lib", "/lib64", "/opt", "/run", "/usr")}


def register(commands: Any) -> None:
    """Add the command to the parser's sub-commands."""
    parser = commands.add_parser("bench", help=HELP, description=DESCRIPTION)
    add_arguments(parser)
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    """Run it in a container of the router's image, and tell it what the machine uses."""
    station = read_station(config_dir(os.environ))
    endpoint = paths.find(os.environ, paths.home_of(os.environ))
    native = station.get("engine", {}).get("mode") == "native"
    environ = {
        "OPENAI_BASE_URL": endpoint.url if native else _INSIDE,
        "OPENAI_API_KEY": endpoint.key,
        # The image names a directory, whose key and endpoint would go before these.
        "GRIDTIE_CONFIG_DIR": "",
    }
    with _metered() as directory:
        mounts = [
            Mount(config_dir(os.environ), paths.CONFIG_DIR),
            Mount(directory, _METER),
            *(Mount(each, each, writable=True) for each in _directories(args)),
        ]
        inside = ["-m", "gridtie.bench", *words(args), f"--meter={_METER / 'samples.jsonl'}"]
        return RouterImage(station).attend(inside, mounts, environ, Path.cwd())


def _directories(args: Namespace) -> List[Path]:
    """The directories of all files that are named, the working directory among them. Raises `StationError`."""
    named = [getattr(args, name) for name in FILES]
    files = [each for each in [*named, *(args.compare or ())] if each is not None]
    found = sorted({Path.cwd(), *(each.absolute().parent for each in files)})
    for each in found:
        if each in _OF_THE_IMAGE:
            raise StationError(
                f"{each} is no place for results; change to a directory of your own, or name files in one"
            )
        if not each.is_dir():
            raise StationError(f"{each} is not a directory; results go where you may write")
    # A directory within another is there already.
    return [each for each in found if not any(other in each.parents for other in found)]


@contextlib.contextmanager
def _metered() -> Iterator[Path]:
    """A directory in which samples of this machine are written while it is in use."""
    with tempfile.TemporaryDirectory(prefix="gridtie-meter-") as name:
        directory = Path(name)
        # The container runs as somebody else; nothing in it is secret.
        directory.chmod(0o755)
        with (directory / "samples.jsonl").open("w") as file:

            def take(sample: Sample) -> None:
                file.write(json.dumps(sample.document()) + "\n")
                file.flush()

            sampler = Sampler(take, resident_of())
            sampler.start()
            try:
                yield directory
            finally:
                sampler.stop()


def resident_of() -> Callable[[], Optional[int]]:
    """What gives the resident bytes of this machine's engine; None where they cannot be seen."""
    look = this_machine(deep=False)

    def resident() -> Optional[int]:
        try:
            return look.engine_resident() or None
        except (NotThere, OSError, LookupError, ValueError):
            return None

    return resident
