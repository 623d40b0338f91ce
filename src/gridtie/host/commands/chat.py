"""`gridtie chat`: a talk with a model of the station, in the terminal. Its history is kept in memory alone."""

from __future__ import annotations

import contextlib
import os
import sys
from argparse import Namespace
from typing import Any, Dict, Iterator, List, Optional

from gridtie.host.paths import Endpoint, find, home_of
from gridtie.host.printable import one_line, printable
from gridtie.host.purpose_names import renamed
from gridtie.host.router import Declined, Router, Unreachable
from gridtie.host.streamed import chat

_ENDS = ("/bye", "/exit", "/quit")
_HELP = """/model        the names to ask for; /model NAME asks for another one from here on
/new          forget what was said
/bye          end (also Ctrl-D); Ctrl-C ends an answer
"""


def register(commands: Any) -> None:
    """Add the command to the parser's sub-commands."""
    parser = commands.add_parser(
        "chat",
        help="talk to a model of the station",
        description="Without a question it asks for one after another. Nothing of it is stored.",
    )
    parser.add_argument("question", nargs="*", metavar="WORD", help="one question; the answer alone is printed")
    parser.add_argument("--model", metavar="NAME", help="default: chat, else the first that the router lists")
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    """One question from the command line or a pipe, or a talk."""
    endpoint = find(os.environ, home_of(os.environ))
    talk = _Talk(endpoint, args.model or _usual(endpoint))
    asked = " ".join(args.question)
    if not asked and not sys.stdin.isatty():
        asked = sys.stdin.read()
    if asked.strip():
        talk.ask(asked)
        return 0
    sys.stdout.write(f"{talk.model} at {endpoint.url}; /help says what else can be typed.\n")
    while (line := _typed()) is not None:
        if line.split(" ")[0] in _ENDS:
            break
        if line.startswith("/"):
            with _told():
                _command(talk, line)
        elif line:
            with contextlib.suppress(KeyboardInterrupt), _told():
                talk.ask(line)
            sys.stdout.write("\n")
    return 0


class _Talk:
    """What was said so far, and to whom."""

    def __init__(self, endpoint: Endpoint, model: str) -> None:
        self._endpoint = endpoint
        self.model = model
        self._said: List[Dict[str, str]] = []

    def ask(self, question: str) -> None:
        """Print the answer as it comes. What was said stays said also where the answer was ended."""
        self._said.append({"role": "user", "content": question})
        answer = ""
        try:
            for text in chat(self._endpoint.url, self._endpoint.key, self.model, self._said):
                answer += text
                sys.stdout.write(printable(text))
                sys.stdout.flush()
        finally:
            if answer:
                self._said.append({"role": "assistant", "content": answer})
            else:
                self._said.pop()
        sys.stdout.write("\n")

    def names(self) -> List[str]:
        """What can be asked for."""
        return _names(self._endpoint)

    def forget(self) -> None:
        """Begin anew."""
        self._said.clear()


def _usual(endpoint: Endpoint) -> str:
    names = _names(endpoint)
    return "chat" if "chat" in names or not names else names[0]


def _names(endpoint: Endpoint) -> List[str]:
    return [str(row["id"]) for row in Router(endpoint.url, endpoint.key).get("/v1/models")["data"]]


def _typed() -> Optional[str]:
    """The next line, None at the end; Ctrl-C forgets what stands in it."""
    try:
        return input(">>> ").strip()
    except EOFError:
        sys.stdout.write("\n")
        return None
    except KeyboardInterrupt:
        sys.stdout.write("\n")
        return ""


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Why there is no answer, where there is none: the talk goes on."""
    try:
        yield
    except (Declined, Unreachable) as error:
        sys.stderr.write(f"{printable(str(error))}\n")


def _other(talk: _Talk, name: str) -> None:
    """Ask for another name from here on; one that is not listed may be a target's own, and is said."""
    names = talk.names()
    if name not in names:
        told = renamed(name, names) or f"{one_line(name)} is not listed; /model shows what is"
        sys.stderr.write(f"{told}\n")
    talk.model = name


def _command(talk: _Talk, line: str) -> None:
    word, _, rest = line.partition(" ")
    if word == "/new":
        talk.forget()
    elif word == "/model" and rest:
        _other(talk, rest.strip())
    elif word == "/model":
        sys.stdout.write("".join(f"{'*' if name == talk.model else ' '} {one_line(name)}\n" for name in talk.names()))
    else:
        sys.stdout.write(_HELP)
