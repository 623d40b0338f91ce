"""Where this machine gets packages from: the sources that its owner configured, never a list of our own."""

from __future__ import annotations

import os
import re
import shutil
from typing import NamedTuple

from .gridtie_build_sources import pip_conf
from .gridtie_docker import run
from .gridtie_machine import read_text

# One line of `apt-get --print-uris update`: 'URL' file size. Flat repositories have no components and are left out.
_INDEX = re.compile(r"^'(\S+?)/+dists/(\S+?)/([^/\s]+)/binary-[^/\s]+/Packages[^/\s]*' ", re.MULTILINE)


class AptIndex(NamedTuple):
    """Where apt has packages from: the archive's address with the credentials it may carry, suite, component."""

    site: str
    suite: str
    component: str


def parse_uris(text: str) -> list[AptIndex]:
    """The indexes of packages in what ``apt-get --print-uris update`` prints, each once, in apt's order."""
    return list(dict.fromkeys(AptIndex(*found.groups()) for found in _INDEX.finditer(text)))


def apt_indexes() -> list[AptIndex]:
    """The indexes that apt on this machine would fetch, whether or not it has.

    ``apt-get indextargets`` lists those that were fetched, and makes a package cache first where none is kept (as in a
    container's image), which takes a second.
    """
    return parse_uris(run(["apt-get", "--print-uris", "update"])[1])


def apt_site(codename: str) -> str:
    """The mirror that the machine's own release comes from; empty where apt has none."""
    return next((index.site for index in apt_indexes() if index.suite == codename), "")


def apt_release(codename: str) -> str:
    """URL of the Release file of that mirror; empty where it is not asked over HTTP (a disc, a directory)."""
    site = apt_site(codename)
    return f"{site}/dists/{codename}/InRelease" if site.startswith(("http://", "https://")) else ""


def pip_files(environment: dict[str, str]) -> list[str]:
    """Where pip looks for its configuration, weakest first."""
    home = environment.get("HOME", "/root")
    config = environment.get("XDG_CONFIG_HOME", f"{home}/.config")
    files = ["/etc/xdg/pip/pip.conf", "/etc/pip.conf", f"{home}/.pip/pip.conf", f"{config}/pip/pip.conf"]
    return [*files, environment["PIP_CONFIG_FILE"]] if environment.get("PIP_CONFIG_FILE") else files


def pip_index() -> str:
    """pip's package index, with the credentials it may carry: never print it as it is. Empty where pip is not here."""
    environment = dict(os.environ)
    for line in pip_conf(environment, map(read_text, pip_files(environment)), "").splitlines():
        name, _, value = line.partition(" = ")
        if name == "index-url":
            return value
    try:
        # pip's own default, asked from pip itself. Starting it as a program would take half a second.
        from pip._internal.models.index import PyPI
    except ImportError:
        return ""
    return str(PyPI.simple_url)


def go_proxy() -> str:
    """The first Go module proxy; empty where it cannot be known (no Go here, GOPROXY not set) or is switched off."""
    value = os.environ.get("GOPROXY", "")
    go = shutil.which("go", path=os.environ.get("PATH", "") + ":/usr/local/go/bin")
    if not value and go:
        _, value, _ = run([go, "env", "GOPROXY"])
    first = value.replace("|", ",").split(",")[0].strip()
    return first if first.startswith("http") else ""
