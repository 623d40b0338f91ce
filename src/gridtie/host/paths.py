"""Where this machine's station is: its directories, its endpoint, the caller's key.

One source is taken whole, so that a key is never sent to an endpoint that it does not belong to.
"""

from __future__ import annotations

import ipaddress
import json
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Mapping

CONFIG_DIR = Path("/etc/gridtie")
STATE_DIR = Path("/var/lib/gridtie")
ENDPOINT = "http://127.0.0.1:8484"

# Beside the configuration, how far `gridtie restore` is. Hidden, so that it is no part of a backup.
RESTORE_PLAN = ".restore.json"

# Keys of a station begin so. A cloud's key in OPENAI_API_KEY is none of ours and is never sent anywhere by us.
KEY_PREFIX = "gt-"


class StationError(Exception):
    """The endpoint or the key cannot be found or used; the message says where was looked and what to do."""


@dataclass(frozen=True)
class Endpoint:
    """Where to ask, and as whom. `source` says in words where the two came from."""

    url: str
    key: str
    source: str


def config_dir(environ: Mapping[str, str]) -> Path:
    """The station's configuration on this host."""
    return Path(environ.get("GRIDTIE_CONFIG_DIR") or CONFIG_DIR)


def state_dir(environ: Mapping[str, str]) -> Path:
    """The station's state on this host (ledger, models): as the environment says, else as station.json does."""
    if environ.get("GRIDTIE_STATE_DIR"):
        return Path(environ["GRIDTIE_STATE_DIR"])
    try:
        return Path(read_station(config_dir(environ)).get("state_dir") or STATE_DIR)
    except StationError:
        return STATE_DIR


def read_station(directory: Path) -> dict[str, Any]:
    """station.json as the playbook wrote it. Raises `StationError`."""
    path = directory / "station.json"
    try:
        station = json.loads(path.read_text())
    except PermissionError:
        raise StationError(
            f"{path} may not be read by this user; run it with sudo, or as a member of group gridtie"
        ) from None
    except FileNotFoundError:
        raise StationError(f"{path} is not there; no station is set up on this machine: run `make site`") from None
    except (OSError, ValueError) as error:
        raise StationError(f"{path} cannot be used: {error}; run `make site` to write it anew") from None
    if not isinstance(station, dict) or station.get("schema") != 1:
        raise StationError(f"{path}: schema 1 wanted; it is of another gridtie: run `make site` to write it anew")
    return station


def find(environ: Mapping[str, str], home: Path) -> Endpoint:
    """The first of these that holds a key: the directory that GRIDTIE_CONFIG_DIR names, OPENAI_BASE_URL with a key of
    ours in OPENAI_API_KEY, ~/.config/gridtie, /etc/gridtie. Raises `StationError`.
    """
    looked = []
    for where, endpoint, key in _candidates(environ, home):
        if key:
            return Endpoint(_checked(endpoint or ENDPOINT, where), key, where)
        looked.append(where)
    if not CONFIG_DIR.exists() and not environ.get("GRIDTIE_CONFIG_DIR"):
        raise StationError(
            f"no station is set up on this machine, and no key of another was found in {', '.join(looked[:-1])}; "
            "`make site` sets one up, OPENAI_BASE_URL and OPENAI_API_KEY name one elsewhere"
        )
    raise StationError(
        f"no key of this station was found in {', '.join(looked)}; "
        "run it with sudo, have a key of your own made (gridtie_people), or set OPENAI_BASE_URL and OPENAI_API_KEY"
    )


def endpoint_only(environ: Mapping[str, str], home: Path) -> str:
    """The endpoint alone, for what needs no key. Raises `StationError`."""
    for where, endpoint, key in _candidates(environ, home):
        if key or endpoint:
            return _checked(endpoint or ENDPOINT, where)
    return ENDPOINT


def _candidates(environ: Mapping[str, str], home: Path) -> Iterator[tuple[str, str, str]]:
    """(where, endpoint, key) in order of precedence; empty strings for what a source does not have."""
    if environ.get("GRIDTIE_CONFIG_DIR"):
        yield _of_directory(config_dir(environ))
        return  # whoever names a station means that one
    key = environ.get("OPENAI_API_KEY", "")
    if key.startswith(KEY_PREFIX):
        yield "OPENAI_BASE_URL and OPENAI_API_KEY", environ.get("OPENAI_BASE_URL", ""), key
    own = home / ".config" / "gridtie"
    yield str(own), _line(own / "endpoint"), _line(own / "key")
    yield _of_directory(CONFIG_DIR)


def _of_directory(directory: Path) -> tuple[str, str, str]:
    try:
        endpoint = str(read_station(directory).get("endpoint", ""))
    except StationError:
        endpoint = ""
    return str(directory), endpoint, _line(directory / "station.key")


def _line(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _checked(url: str, where: str) -> str:
    """The endpoint without its path. A key travels in clear text only within this machine."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise StationError(f"endpoint {url!r} found in {where}; wanted http://HOST:PORT or https://HOST:PORT")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise StationError(f"endpoint {url!r} found in {where}; beyond this machine a key is only sent by https")
    return f"{parts.scheme}://{parts.netloc}"


def is_loopback(host: str) -> bool:
    """Whether a host name or address stays within this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def home_of(environ: Mapping[str, str]) -> Path:
    """The caller's home directory."""
    named = environ.get("HOME")
    return Path(named) if named else Path.home()
