"""The `gridtie` command on a host: standard library only, packed as a zipapp.

Exit status: 0 all is well, 1 a check failed, 2 usage or connection error, which a refusal of the router is as well.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import re
import sys
from typing import Any, Iterator, NoReturn, Optional, Sequence

from gridtie.host.paths import StationError
from gridtie.host.printable import printable
from gridtie.host.router import Declined, Unreachable
from gridtie.host.version import __version__

# The modules of `commands`, in the order of the help.
_MODULES = (
    "status", "dashboard", "chat", "connect", "doctor", "fit", "gpu", "models", "bench", "quality", "usage", "report",
    "size", "ledger", "route", "keys", "audit", "readings", "service", "backup", "restore", "completion",
)  # fmt: skip
# Of them, one that is made of all commands, and one whose commands have other names.
_NOT_ALONE = ("completion", "service")
# What is asked for where nothing is said.
_USUAL = "status"


class Commands(argparse._SubParsersAction):  # type: ignore[type-arg]
    """Has a command's own help begin with what the list of commands says of it."""

    def add_parser(self, name: str, **given: Any) -> Any:
        """As `argparse` has it."""
        said = str(given.get("help", ""))
        given["description"] = f"{said[:1].upper()}{said[1:]}. {given.get('description', '')}".strip()
        return super().add_parser(name, **given)


class Parser(argparse.ArgumentParser):
    """Names the nearest word where one is misspelt."""

    # The sub-commands, for whoever has some to add.
    commands: Any

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Words that nobody knows are told by the parser that they were said to, which has the words to choose from."""
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return namespace, unknown

    def add_subparsers(self, **given: Any) -> Any:
        """As `argparse` has it, with `Commands`."""
        return super().add_subparsers(action=Commands, **given)

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog}: {message}{self._suggestion(message)}\n")

    def _suggestion(self, message: str) -> str:
        found = re.search(r"invalid choice: '([^']*)'|unrecognized arguments: (\S+)", message)
        if not found:
            return ""
        close = difflib.get_close_matches(found[1] or found[2], list(_words(self)), n=1)
        return f"; did you mean {close[0]}?" if close else ""


def _words(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Every option and choice of a parser; those of its sub-commands are another level."""
    for action in parser._actions:
        yield from action.option_strings
        for choice in action.choices or ():
            yield str(choice)


def build_parser(words: Optional[Sequence[str]] = None) -> Parser:
    """All commands of a host; the controller's command adds its own.

    With the ``words`` that were typed, only what they need where that is one command alone: to read the others' modules
    takes longer than most commands do.
    """
    parser = Parser(
        prog="gridtie",
        description="A local LLM station: what fits, whether it works, what it answered, what it cost.",
        epilog="Exit status: 0 all is well, 1 a check failed, 2 usage or connection error.",
    )
    parser.add_argument("--version", action="version", version=f"gridtie {__version__}")
    commands = parser.commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name in _needed(words):
        module = importlib.import_module(f"gridtie.host.commands.{name}")
        module.register(commands)
        if name == _USUAL:
            parser.set_defaults(run=module.run, json=False)
    version = commands.add_parser("version", help="print the version")
    version.set_defaults(run=_version)
    return parser


def _needed(words: Optional[Sequence[str]]) -> Sequence[str]:
    if words is None:
        return _MODULES
    asked = words[0] if words else _USUAL
    if asked in ("version", "--version"):
        return ()
    return (asked,) if asked in _MODULES and asked not in _NOT_ALONE else _MODULES


def run(parser: argparse.ArgumentParser, argv: Optional[Sequence[str]]) -> int:
    """Parse, run, and turn what can go wrong into one line and an exit status."""
    args = parser.parse_args(argv)
    try:
        return int(args.run(args))
    except (StationError, Unreachable, Declined) as error:
        sys.stderr.write(f"gridtie: {printable(str(error))}\n")
        return 2
    except BrokenPipeError:
        # The reader (head, less) has seen enough; Python must not complain about it when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Entry point of the host's command."""
    words = sys.argv[1:] if argv is None else argv
    return run(build_parser(words), words)


def _version(_: Any) -> int:
    sys.stdout.write(f"gridtie {__version__}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
