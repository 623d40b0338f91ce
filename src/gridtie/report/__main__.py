"""`python -m gridtie.report`: the command in the container that a host's `gridtie report` starts."""

from __future__ import annotations

import sys
from argparse import ArgumentParser

from gridtie.host.commands.report_arguments import add_arguments
from gridtie.report.command import run

parser = ArgumentParser(prog="gridtie report")
add_arguments(parser)
sys.exit(run(parser.parse_args()))
