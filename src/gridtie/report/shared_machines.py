"""A machine that several hosts of a fleet ask draws its watts once: which one a request ran on, and what of its host's
figure is left where others asked it at the same time.

Each host charges the time in which it saw a machine answer. So what several charged for is shared by all of them in
equal proportion, and their sum is what the machine drew.
"""

from __future__ import annotations

import ipaddress
import sqlite3
from collections.abc import Mapping
from urllib.parse import urlsplit

from gridtie.config.schema import Routing
from gridtie.report.sql import covered

# Of a provider whose requests run on the asking host itself, and of one whose members are hosts of the inventory.
HERE, MEMBERS = "here", "members"


def machines_of(routing: Routing) -> dict[str, str]:
    """Where each local provider computes: `HERE`, `MEMBERS`, or the host of its address."""
    return {
        name: _place(each.type, each.base_url) for name, each in routing.providers.items() if each.locality == "local"
    }


def machine(host: str, model: str, places: Mapping[str, str]) -> str:
    """A name of the machine that answered `model` (`provider/model`) for this host, the same for all hosts.

    Inventory's names come with a colon before them, so that an address is not taken for one.
    """
    provider = model.partition("/")[0]
    pool, _, member = provider.partition(".")
    if member and places.get(pool) == MEMBERS:
        return f":{member}"
    place = places.get(provider, HERE)
    return f":{host}" if place in (HERE, MEMBERS) else place


def share(merged: sqlite3.Connection, electricity: str) -> None:
    """Take from the column `electricity` of `traffic` what several hosts charged of one machine for the same time.

    The table has `host`, `machine`, and `start` and `stop` in one unit; where a row used no electricity they are equal.
    """
    together, apart = (_busy(merged, by) for by in ("machine", "machine, host"))
    for name, seconds in together.items():
        if seconds < apart[name]:
            merged.execute(
                f"UPDATE traffic SET {electricity} = cast(round({electricity} * ?) AS INTEGER) WHERE machine = ?",
                (seconds / apart[name], name),
            )


def _busy(merged: sqlite3.Connection, apart: str) -> dict[str, int]:
    """How long each machine was answering, `apart` being what is looked at by itself."""
    asked_by_several = "SELECT machine FROM traffic WHERE stop > start GROUP BY 1 HAVING count(DISTINCT host) > 1"
    rows = f"SELECT machine, host, start, stop FROM traffic WHERE machine IN ({asked_by_several})"
    return dict(map(tuple, merged.execute(f"SELECT machine, sum(busy) FROM ({covered(rows, apart)}) GROUP BY 1")))


def _place(kind: str, base_url: str | None) -> str:
    if kind == "pool":
        return MEMBERS
    host = (urlsplit(base_url).hostname or "") if base_url else ""
    return HERE if not host or _loopback(host) else host


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        # The engine's and the machine's own names in a container.
        return host in ("localhost", "engine", "host.docker.internal")
