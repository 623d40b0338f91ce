"""The header of a GGUF behind a URL, by requests for its first bytes: what a model is, before it is fetched."""

from __future__ import annotations

from ..fit.header import MOST_BYTES, Cut, Header, parse_header
from .download import Fetcher, shown
from .sources import Means, blob_url, library_manifest
from .store import Manifest

# Most headers end within this: a vocabulary of 150,000 tokens has some 6 MB.
_FIRST_BYTES = 8 << 20


def read_remote_header(url: str, fetcher: Fetcher, name: str = "") -> Header:
    """The header of the file at `url`; at most MOST_BYTES of it are asked for. Raises FetchError and GgufError."""
    data, wanted = b"", _FIRST_BYTES
    while True:
        more = fetcher.read_part(url, len(data), wanted - len(data))
        data += more
        try:
            return parse_header(data, name or shown(url))
        except Cut as cut:
            if not more or len(data) >= MOST_BYTES:
                raise
            wanted = min(MOST_BYTES, max(cut.wanted, 2 * len(data)))


def library_header(name: str, means: Means) -> tuple[Manifest, Header]:
    """The manifest of a model of the library, and the header of its weights. Raises FetchError, ObtainError, GgufError
    and StoreError.
    """
    manifest = library_manifest(name, "", means)
    return manifest, read_remote_header(blob_url(name, manifest.model, means), means.fetcher, name)
