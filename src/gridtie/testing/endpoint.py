"""Where a model is asked, and with which key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit


class EndpointError(Exception):
    """There is no endpoint to test with; the message says what to do and shows no key."""


@dataclass(frozen=True)
class Endpoint:
    """A router: `base_url` is what OpenAI's SDKs take (it ends in /v1), `url` the same without a path."""

    url: str
    # Not in the representation: pytest prints that where a test fails.
    key: str = field(repr=False)

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"


def named(environ: Mapping[str, str]) -> Endpoint | None:
    """What GRIDTIE_BASE_URL and GRIDTIE_KEY name; None without the first. Raises EndpointError."""
    given = environ.get("GRIDTIE_BASE_URL", "").rstrip("/")
    if not given:
        return None
    url = given.removesuffix("/v1")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path:
        raise EndpointError(
            "GRIDTIE_BASE_URL is not the address of a router; wanted: scheme, host and port, such as http://gridtie:8484"
        )
    key = environ.get("GRIDTIE_KEY", "")
    if not key:
        raise EndpointError("GRIDTIE_BASE_URL is set and GRIDTIE_KEY is not; set it to a key of that router")
    return Endpoint(url, key)
