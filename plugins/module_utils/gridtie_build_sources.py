"""What an image build is told about the host's package sources, as the text of the files that hold them there."""

from __future__ import annotations

import configparser
from typing import Iterable, Tuple

# Settings of pip that say where packages come from; the rest of a person's configuration is their own affair.
# find-links is left out: it names directories of the host.
_PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "timeout", "retries")


class NoMirrorError(Exception):
    """apt on this host has no source that an image can be made from."""


def apt_sources(indexes: Iterable[Tuple[str, str, str]], host_release: str, suite: str) -> str:
    """Source lines of a release of the host's distribution, at the host's own mirrors.

    ``indexes`` are apt's own (address, suite and component each), ``host_release`` is the host's code name, ``suite``
    the wanted release's. Updates and security updates are included where the host has them.
    """
    lines: list[str] = []
    for site, release, component in indexes:
        name, _, pocket = release.partition("-")
        if name != host_release or pocket not in ("", "updates", "security"):
            continue
        if not site.startswith(("http://", "https://")):
            continue
        wanted = f"deb {site} {suite}{'-' + pocket if pocket else ''} {component}"
        if wanted not in lines:
            lines.append(wanted)
    if not any(line.split()[2] == suite for line in lines):
        raise NoMirrorError(
            f"apt has no http or https source for {host_release}, so there is no mirror to build images from: "
            "add one to /etc/apt, or give the machine a way to a container registry"
        )
    return "".join(f"{line}\n" for line in lines)


def pip_conf(environment: dict[str, str], files: Iterable[str], certificates: str) -> str:
    """A pip.conf with the host's package index.

    ``files`` are the texts of the host's pip.conf files, weakest first; the environment outranks them, as in pip.
    ``certificates`` is where the build finds the CA bundle, or empty.
    """
    settings: dict[str, str] = {}
    for text in files:
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(text)
        except configparser.Error:
            continue  # pip itself complains about it where it is used.
        for section in ("global", "install"):
            if parser.has_section(section):
                settings.update({key: value for key, value in parser.items(section) if key in _PIP_SETTINGS})
    for name in _PIP_SETTINGS:
        value = environment.get("PIP_" + name.upper().replace("-", "_"))
        if value:
            settings[name] = value
    if certificates:
        settings["cert"] = certificates
    settings.update({"disable-pip-version-check": "true", "no-input": "true"})
    # pip joins the lines of a list, which an environment variable writes with blanks.
    lines = (f"{key} = {' '.join(value.split())}" for key, value in sorted(settings.items()))
    return "[global]\n" + "".join(f"{line}\n" for line in lines)


def proxies(environment: dict[str, str]) -> dict[str, str]:
    """The variables that name proxies, in both spellings: some programs read only the small ones, some the others."""
    found = {}
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        value = environment.get(name) or environment.get(name.lower())
        if value:
            found.update({name: value, name.lower(): value})
    return found


def go_env(environment: dict[str, str], printed: str) -> str:
    """A Go environment file: where modules come from, as the environment says, else as the host's Go does.

    ``printed`` is the output of ``go env GOPROXY GOSUMDB`` on the host, or empty. Nothing known leaves Go its defaults.
    """
    proxy, database = [*printed.splitlines(), "", ""][:2]
    settings = {
        "GOPROXY": environment.get("GOPROXY") or proxy.strip(),
        "GOSUMDB": environment.get("GOSUMDB") or database.strip(),
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items() if value)
