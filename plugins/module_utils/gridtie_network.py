"""The way out of a machine: what the inventory declares of it, as the environment of all that a module asks and starts.

Where there is no way out, `bundle` is what takes its place: a directory on the machine, as gridtie_bundle_parts puts it
there.

It travels as an argument, not as a task's `environment`: Ansible writes that into a command line, and a proxy's address
may hold a password.
"""

from __future__ import annotations

import os
from typing import Any

# What apt reads in place of its own settings, in the directory of a bundle.
APT_SETTINGS = "apt.conf"

# `no_proxy` is no secret: hidden, every address that it names would be masked in what the module returns.
ARGUMENTS: dict[str, Any] = {
    "network": {
        "type": "dict",
        "options": {
            "http_proxy": {"type": "str", "default": "", "no_log": True},
            "https_proxy": {"type": "str", "default": "", "no_log": True},
            "no_proxy": {"type": "str", "default": "", "no_log": False},
            "bundle": {"type": "str", "default": "", "no_log": False},
        },
    }
}


def use(declared: dict[str, str | None] | None) -> None:
    """Have this process, and what it starts, go out as declared; what is not declared stays the machine's own.

    In both spellings: apt and curl read the small ones, other programs the others first.
    """
    given = dict(declared or {})
    bundle = given.pop("bundle", "")
    for name, value in given.items():
        if value:
            os.environ.update({name.lower(): value, name.upper(): value})
    if bundle:
        os.environ["APT_CONFIG"] = f"{bundle}/{APT_SETTINGS}"
