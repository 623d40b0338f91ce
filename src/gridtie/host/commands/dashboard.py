"""`gridtie dashboard`: an address at which a browser is signed in, opened where there is a browser."""

from __future__ import annotations

import os
import sys
import time
import urllib.parse
import webbrowser
from argparse import Namespace
from datetime import datetime
from typing import Any, Mapping, Optional

from gridtie.host.paths import find, home_of, is_loopback
from gridtie.host.router import Router


def register(commands: Any) -> None:
    """Add the command to the parser's sub-commands."""
    parser = commands.add_parser(
        "dashboard",
        help="what the router does, in a browser: signs in with your key, which the browser never sees",
        description="Prints an address that is good for one use within two minutes, and opens it where there is a "
        "browser. What is shown is your key's: of an admin's everything, of others their own requests.",
    )
    parser.add_argument("--print", action="store_true", dest="only_print", help="print the address, open nothing")
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    """Print the address, and open it unless that is not wanted or there is nothing to open it in."""
    endpoint = find(os.environ, home_of(os.environ))
    told = Router(endpoint.url, endpoint.key).post("/gridtie/sign-in", {})
    address = endpoint.url + str(told["path"])
    sys.stdout.write(f"{address}\n")
    sys.stdout.flush()
    opened = not args.only_print and has_browser(os.environ, os.geteuid()) and webbrowser.open(address)
    ends = datetime.fromtimestamp(time.time() + float(told["seconds"])).strftime("%H:%M:%S")
    where = "Opened in your browser" if opened else "Open it in a browser"
    sys.stderr.write(f"{where}; it is good for one use, until {ends}.\n")
    hint = forwarding(os.environ, endpoint.url)
    if hint and not opened:
        sys.stderr.write(f"The browser is on another machine? Forward the port there first: {hint}\n")
    return 0


def has_browser(environ: Mapping[str, str], user: int, platform: str = sys.platform) -> bool:
    """Whether a browser would open before the eyes of whoever typed this: never root's, never on a far machine."""
    if user == 0 or environ.get("SSH_CONNECTION") or environ.get("SSH_TTY"):
        return False
    return platform == "darwin" or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def forwarding(environ: Mapping[str, str], endpoint: str) -> Optional[str]:
    """The command that brings a router on loopback to the machine that somebody has come from by ssh; None where he has
    not, or where the router is reached from elsewhere anyway.
    """
    connection, parts = environ.get("SSH_CONNECTION", "").split(), urllib.parse.urlsplit(endpoint)
    if len(connection) != 4 or not is_loopback(parts.hostname or ""):
        return None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    user = environ.get("SUDO_USER") or environ.get("USER")
    # The same port on both sides: the router answers to its own name alone, and a port is part of it.
    return f"ssh -L {port}:{parts.netloc} {f'{user}@' if user else ''}{connection[2]}"
