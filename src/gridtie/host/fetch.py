"""Downloads that resume: a file by URL into a partial file, checked by sha256 before anyone sees it.

Proxies and CAs are those of the environment (HTTPS_PROXY, SSL_CERT_FILE) or of the caller. Errors are FetchError, whose
message names the URL without credentials, what came and what to do.
"""

from __future__ import annotations

import http.client
import os
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, TypeVar

from .store import sha256_of

_T = TypeVar("_T")
_CHUNK = 1 << 20
_TRIES = 6
# Statuses after which the same request may succeed: time-outs, rate limits, a server in trouble.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_NO_SUCH_RANGE = 416


class FetchError(Exception):
    """A download failed for good."""


@dataclass(frozen=True)
class Fetcher:
    """How to download: CA bundle, seconds without a byte before a try is given up, pauses between tries."""

    ca_bundle: str = ""
    stall_s: float = 60.0
    pause: Callable[[float], None] = field(default=time.sleep)

    def read(self, url: str, accept: str = "*/*", most: int = 1 << 22) -> bytes:
        """A small document. Raises FetchError."""

        def once() -> bytes:
            with self._open(url, {"Accept": accept}) as answer:
                content: bytes = answer.read(most + 1)
            if len(content) > most:
                raise FetchError(f"{shown(url)} sends more than {most} bytes where a small document was expected")
            return content

        return self._retried(url, once)

    def download(self, url: str, partial: Path, sha256: str, progress: Callable[[int], None]) -> None:
        """Complete `partial` from `url` and check it; an empty `sha256` accepts any content.

        What an earlier run left in `partial` is kept and continued. Content with a wrong hash is deleted and fetched
        once more from the start (a damaged remainder is the usual reason); a second time it is an error.
        """
        fresh = not partial.exists()
        self._retried(url, lambda: self._continue(url, partial, progress))
        found = sha256_of(partial)
        if not sha256 or found == sha256:
            return
        partial.unlink()
        if fresh:
            raise FetchError(
                f"{shown(url)} has the wrong content: sha256 {found}, wanted {sha256}. Nothing was kept. Either the "
                "source was changed or something on the way changes files; compare with the pin in models.lock.yaml"
            )
        self.download(url, partial, sha256, progress)

    def _continue(self, url: str, partial: Path, progress: Callable[[int], None]) -> None:
        have = partial.stat().st_size if partial.exists() else 0
        headers = {"Range": f"bytes={have}-"} if have else {}
        try:
            answer = self._open(url, headers)
        except urllib.error.HTTPError as error:
            if have and error.code == _NO_SUCH_RANGE:
                return  # It is complete; the hash decides.
            raise
        with answer:
            # A server that ignores ranges sends everything: then the file begins anew.
            resumed = have and answer.status == http.client.PARTIAL_CONTENT
            have = have if resumed else 0
            expected = answer.headers.get("Content-Length")
            wanted = have + int(expected) if expected else None
            with partial.open("ab" if resumed else "wb") as file:
                while block := answer.read(_CHUNK):
                    file.write(block)
                    have += len(block)
                    progress(have)
                file.flush()
                os.fsync(file.fileno())
        if wanted is not None and have < wanted:
            raise ConnectionError(f"the connection ended after {have} of {wanted} bytes")

    def _open(self, url: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        scheme = urllib.parse.urlsplit(url).scheme
        if scheme not in ("http", "https"):
            raise FetchError(f"{shown(url)}: only http and https can be downloaded from")
        # Ranges are of the file as it is; a compressed transfer would shift them.
        request = urllib.request.Request(url, headers={"Accept-Encoding": "identity", **headers})  # noqa: S310 - checked above
        context = ssl.create_default_context(cafile=self.ca_bundle or None)
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
        answer: http.client.HTTPResponse = opener.open(request, timeout=self.stall_s)
        return answer

    def _retried(self, url: str, work: Callable[[], _T]) -> _T:
        """Run `work`, again after a failure that may pass, with pauses of 1, 2, 4, 8 and 16 s."""
        for attempt in range(_TRIES):
            try:
                return work()
            except urllib.error.HTTPError as error:
                reason, passing = f"HTTP {error.code}", error.code in _PASSING
            except (OSError, http.client.HTTPException) as error:
                cause = getattr(error, "reason", error)
                # A certificate that is not trusted stays so.
                reason, passing = (
                    str(cause) or type(error).__name__,
                    not isinstance(cause, ssl.SSLCertVerificationError),
                )
            if not passing or attempt == _TRIES - 1:
                break
            self.pause(float(2**attempt))
        tries = f" after {attempt + 1} tries" if attempt else ""
        raise FetchError(f"{shown(url)} cannot be fetched{tries}: {reason}")


def shown(url: str) -> str:
    """The URL as it may be printed: without credentials and without a signed query."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
