"""Asks upstream, or who stands in for it, what it has: lists of sums and digests of container images."""

from __future__ import annotations

import hashlib
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping

from gridtie.artefacts.update import ArtefactsError
from gridtie.host.models.download import Fetcher, FetchError, shown
from gridtie.host.models.mirror import SUMS, MirrorError, parse_sums, release_path

UPSTREAM = "https://github.com/ollama/ollama/releases/download"
# Docker's own hub answers under another name than the one in references.
_HUB = ("docker.io", "https://registry-1.docker.io")
# The index of all architectures first; a registry may hold one image only.
_MANIFESTS = (
    "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
)
_LIMIT_S = 60
# An index is some KiB.
_MOST_BYTES = 1 << 22


def archive_sums(version: str, mirror: str = "", fetcher: Fetcher | None = None) -> dict[str, str]:
    """File name to sha256 of a release, from upstream or the `mirror` at that address. Raises ArtefactsError."""
    base = f"{mirror.rstrip('/')}/{release_path(version, SUMS)}" if mirror else f"{UPSTREAM}/v{version}/{SUMS}"
    try:
        return parse_sums((fetcher or Fetcher()).read(base).decode(), shown(base))
    except (FetchError, MirrorError, UnicodeDecodeError) as error:
        raise ArtefactsError(str(error)) from error


def image_digest(reference: str, registry: str = "") -> str:
    """Digest of what a registry has under `host/repository:tag`. `registry` is an address to ask instead of the host.

    The digest is that of the bytes that were received, which must be the one that the registry tells. Raises
    ArtefactsError.
    """
    host, _, rest = reference.partition("/")
    repository, _, tag = rest.rpartition(":")
    base = registry.rstrip("/") or (_HUB[1] if host == _HUB[0] else f"https://{host}")
    url = f"{base}/v2/{repository}/manifests/{tag}"
    try:
        content, told = _manifest(url, {"Accept": _MANIFESTS})
    except (OSError, ValueError) as error:
        raise ArtefactsError(f"{shown(url)} cannot be asked for the digest of {reference}: {error}") from error
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if told and told != digest:
        raise ArtefactsError(f"{shown(url)} tells the digest {told}, and what it sent has {digest}")
    return digest


def _manifest(url: str, headers: Mapping[str, str]) -> tuple[bytes, str]:
    try:
        return _read(url, headers)
    except urllib.error.HTTPError as error:
        challenge = error.headers.get("WWW-Authenticate", "")
        if error.code != 401 or not challenge.startswith("Bearer "):
            raise
    return _read(url, {**headers, "Authorization": f"Bearer {_token(challenge)}"})


def _token(challenge: str) -> str:
    """A token for everybody, from where the registry says."""
    asked = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    realm = asked.pop("realm", "")
    if not realm.startswith(("http://", "https://")):
        raise ValueError(f"the registry wants a login that is not understood: {challenge}")
    content, _ = _read(f"{realm}?{urllib.parse.urlencode(asked)}", {})
    answer = json.loads(content)
    return str(answer.get("token") or answer["access_token"])


def _read(url: str, headers: Mapping[str, str]) -> tuple[bytes, str]:
    request = urllib.request.Request(url, headers=dict(headers))  # noqa: S310 - our callers name http and https only
    with urllib.request.urlopen(request, timeout=_LIMIT_S) as answer:  # noqa: S310
        content: bytes = answer.read(_MOST_BYTES)
        return content, answer.headers.get("Docker-Content-Digest", "")
