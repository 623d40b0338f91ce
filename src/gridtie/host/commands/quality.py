"""`gridtie quality`: on a host it runs from the router's image, since a host's Python is bare.

Code that a model wrote is executed by the host, in the sandbox: the container that asks has no way to Docker.
"""

from __future__ import annotations

import os
from argparse import Namespace
from typing import Any

from gridtie.host import sandbox
from gridtie.host.commands.in_the_image import run_inside
from gridtie.host.commands.quality_arguments import DESCRIPTION, HELP, add_arguments, files, words
from gridtie.host.paths import config_dir
from gridtie.host.sandbox import Sandbox
from gridtie.host.sandbox_link import answers


def register(commands: Any) -> None:
    """Add the command to the parser's sub-commands."""
    parser = commands.add_parser("quality", help=HELP, description=DESCRIPTION)
    add_arguments(parser)
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    """Run it in a container of the router's image, and execute for it what a model wrote."""

    def find() -> Sandbox:
        return sandbox.find(config_dir(os.environ), args.sandbox_image, retry_with="gridtie quality")

    return run_inside(["-m", "gridtie.quality", *words(args), "--linked-sandbox"], files(args), answer=answers(find))
