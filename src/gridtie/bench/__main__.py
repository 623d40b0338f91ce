"""`python -m gridtie.bench`: the command in the container that a host's `gridtie bench` starts."""

from __future__ import annotations

import sys
from argparse import ArgumentParser

from gridtie.bench.command import run
from gridtie.host.commands.bench_arguments import DESCRIPTION, add_arguments


def parser_of() -> ArgumentParser:
    """The command's parser, alone."""
    parser = ArgumentParser(prog="gridtie bench", description=DESCRIPTION)
    add_arguments(parser)
    return parser


if __name__ == "__main__":
    sys.exit(run(parser_of().parse_args()))
