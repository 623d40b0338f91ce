"""`python -m gridtie.size`: the command in the container that a host's `gridtie size` starts."""

from __future__ import annotations

import sys
from argparse import ArgumentParser

from gridtie.host.commands.size_arguments import DESCRIPTION, add_arguments
from gridtie.size.command import run


def parser_of() -> ArgumentParser:
    """The command's parser, alone."""
    parser = ArgumentParser(prog="gridtie size", description=DESCRIPTION)
    add_arguments(parser)
    return parser


if __name__ == "__main__":
    sys.exit(run(parser_of().parse_args()))
