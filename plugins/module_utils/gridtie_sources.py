"""Where this machine gets packages from: the sources that its owner configured, never a list of our own."""

from __future__ import annotations

import os
import shutil
import sys

from .gridtie_docker import run


def apt_site(codename: str) -> str:
    """The mirror that the machine's own release comes from; empty where apt has none."""
    _, output, _ = run(["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)", "Created-By: Packages"])
    for line in output.splitlines():
        site, _, release = line.strip().rpartition(" ")
        if release == codename:
            return site.rstrip("/")
    return ""


def apt_release(codename: str) -> str:
    """URL of the Release file of that mirror; empty where it is not asked over HTTP (a disc, a directory)."""
    site = apt_site(codename)
    return f"{site}/dists/{codename}/InRelease" if site.startswith(("http://", "https://")) else ""


def pip_index() -> str:
    """pip's package index, with the credentials it may carry: never print it as it is."""
    for name in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"):
        if os.environ.get(name):
            return os.environ[name]
    _, output, _ = run([sys.executable, "-m", "pip", "config", "get", "global.index-url"])
    if output.startswith("http"):
        return output
    # pip's own default, asked from pip itself.
    _, output, _ = run(
        [sys.executable, "-c", "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"],
    )
    return output if output.startswith("http") else ""


def go_proxy() -> str:
    """The first Go module proxy; empty where it cannot be known (no Go here, GOPROXY not set) or is switched off."""
    value = os.environ.get("GOPROXY", "")
    go = shutil.which("go", path=os.environ.get("PATH", "") + ":/usr/local/go/bin")
    if not value and go:
        _, value, _ = run([go, "env", "GOPROXY"])
    first = value.replace("|", ",").split(",")[0].strip()
    return first if first.startswith("http") else ""
