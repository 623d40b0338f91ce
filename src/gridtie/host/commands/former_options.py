"""Options by the names that they had in an earlier release: they do what today's do, and say so."""

from __future__ import annotations

import argparse
import sys
from typing import Any, Mapping, Optional, Tuple


def add_former_options(
    parser: argparse.ArgumentParser, former: Mapping[str, Tuple[str, Optional[str]]], since: str
) -> None:
    """Have the parser take options by former names, which no help shows.

    `former`: the option that each is called now, and what was meant by it, None where it takes a value. `since`: the
    version that renamed them. A notice goes to standard error, so that a program reads what it read before.
    """
    options = parser._option_string_actions
    for name, (now, value) in former.items():
        parser.add_argument(
            name, action=_Former, now=now, value=value, target=options[now], since=since, help=argparse.SUPPRESS
        )


class _Former(argparse.Action):
    def __init__(
        self,
        option_strings: Any,
        dest: str,
        now: str,
        value: Optional[str],
        target: argparse.Action,
        since: str,
        **more: Any,
    ) -> None:
        self.now, self.value, self.target, self.since = now, value, target, since
        super().__init__(option_strings, argparse.SUPPRESS, nargs=None if value is None else 0, **more)

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: Optional[str] = None
    ) -> None:
        called = self.now if self.value is None else f"{self.now} {self.value}"
        sys.stderr.write(f"{option} is called {called} since {self.since}; both work\n")
        # Not by parsing anew, which would take back what was given before it.
        meant = values if self.value is None else self.value
        self.target(parser, namespace, parser._get_values(self.target, [meant]), self.now)
