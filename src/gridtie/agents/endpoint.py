"""Where the router is and which key opens it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit


class EndpointMissing(Exception):
    """No endpoint or no key was found. The text lists where they were looked for and what to do."""


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible base URL (it ends in /v1) and its key, which stays out of the representation."""

    base_url: str
    key: str = field(repr=False)

    @property
    def root(self) -> str:
        """The router's own address, without the OpenAI base path."""
        return self.base_url.removesuffix("/v1")

    @property
    def is_loopback(self) -> bool:
        return urlsplit(self.base_url).hostname in {"127.0.0.1", "localhost", "::1"}


def find(environ: Mapping[str, str] | None = None, home: Path | None = None) -> Endpoint:
    """The endpoint of OPENAI_BASE_URL, else of ~/.config/gridtie, else of /etc/gridtie (GRIDTIE_CONFIG_DIR).

    OPENAI_API_KEY counts only together with OPENAI_BASE_URL: alone it is the key of somebody's cloud account, which
    must never be shown to another server. Raises EndpointMissing.
    """
    environ = os.environ if environ is None else environ
    station = station_endpoint(environ, home)
    base_url = environ.get("OPENAI_BASE_URL", "").rstrip("/")
    if not base_url:
        if station is None:
            raise EndpointMissing(
                "No router was found: OPENAI_BASE_URL is not set, and neither ~/.config/gridtie/endpoint with key, nor "
                f"{config_dir(environ)}/station.json with station.key can be read. Provision a station (make site), "
                "or set OPENAI_BASE_URL and OPENAI_API_KEY."
            )
        return station
    key = environ.get("OPENAI_API_KEY", "")
    if not key and station is not None and station.base_url == base_url:
        key = station.key
    if not key:
        raise EndpointMissing(f"OPENAI_BASE_URL is {base_url}, but OPENAI_API_KEY is not set. Set both, or neither.")
    return Endpoint(base_url, key)


def config_dir(environ: Mapping[str, str] | None = None) -> Path:
    """The directory of the station's configuration."""
    environ = os.environ if environ is None else environ
    return Path(environ.get("GRIDTIE_CONFIG_DIR", "/etc/gridtie"))


def station_endpoint(environ: Mapping[str, str], home: Path | None = None) -> Endpoint | None:
    """What provisioning left for this user, or for the whole machine; None when neither can be read."""
    etc = config_dir(environ)
    personal = (home or Path.home()) / ".config" / "gridtie"
    # A configuration directory that was named on purpose goes before the user's default station.
    places = [(_text(personal / "endpoint"), _text(personal / "key")), (_declared(etc), _text(etc / "station.key"))]
    if "GRIDTIE_CONFIG_DIR" in environ:
        places.reverse()
    for address, key in places:
        if address and key:
            return Endpoint(_with_base_path(address), key)
    return None


def _declared(etc: Path) -> str:
    try:
        return str(json.loads(_text(etc / "station.json") or "{}").get("endpoint", ""))
    except ValueError:
        return ""


def _text(path: Path) -> str:
    """A small file's text, or nothing where it is missing or closed to this user."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _with_base_path(address: str) -> str:
    address = address.rstrip("/")
    return address if address.endswith("/v1") else f"{address}/v1"
