"""`gridtie bench`: on a host it runs from the router's image, since a host's Python is bare.

What the machine uses meanwhile (the engine's memory, energy) is seen from here alone, and told to it by a file.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any, Callable, Iterator, Optional

from gridtie.host.commands.bench_arguments import DESCRIPTION, FILES, HELP, add_arguments, words
from gridtie.host.commands.doctor import this_machine
from gridtie.host.commands.in_the_image import run_inside
from gridtie.host.doctor.look import NotThere
from gridtie.host.meter import Sample, Sampler
from gridtie.host.router_image import Mount

_METER = Path("/run/gridtie-meter")


def register(commands: Any) -> None:
    """Add the command to the parser's sub-commands."""
    parser = commands.add_parser("bench", help=HELP, description=DESCRIPTION)
    add_arguments(parser)
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    """Run it in a container of the router's image, and tell it what the machine uses."""
    files = [*(getattr(args, name) for name in FILES), *(args.compare or ())]
    with _metered() as directory:
        inside = ["-m", "gridtie.bench", *words(args), f"--meter={_METER / 'samples.jsonl'}"]
        return run_inside(inside, files, [Mount(directory, _METER)])


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
