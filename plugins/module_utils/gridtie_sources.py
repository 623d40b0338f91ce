"""Where this machine gets packages from: the sources that its owner configured, never a list of our own."""

from __future__ import annotations

import os
import re
import shutil

from .gridtie_build_sources import pip_conf
from .gridtie_docker import run
from .gridtie_machine import read_text


def apt_site(codename: str) -> str:
    """The mirror that the machine's own release comes from; empty where apt has none."""
    _, output, _ = run(["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)", "Created-By: Packages"])
    for line in output.splitlines():
        site, _, release = line.strip().rpartition(" ")
        if release == codename:
            return site.rstrip("/")
    # Where nothing was fetched yet, apt lists no index; but it says what it would fetch: 'URL' file size.
    _, output, _ = run(["apt-get", "--print-uris", "update"])
    found = re.search(rf"^'(\S+?)/+dists/{re.escape(codename)}/InRelease'", output, re.MULTILINE)
    return found[1] if found else ""


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
