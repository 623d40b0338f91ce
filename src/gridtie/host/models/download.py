"""Downloads that resume: a file by URL into a partial file, checked by sha256 before anyone sees it.

Proxies and CAs are those of the environment (HTTPS_PROXY, SSL_CERT_FILE) or of the caller. Errors are FetchError, whose
message names the URL without credentials, what came and what to do.
"""

from __future__ import annotations

import base64
import errno
import functools
import http.client
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Mapping, Optional, TypeVar

from ..paths import is_loopback
from .store import sha256_of

_T = TypeVar("_T")
_CHUNK = 1 << 20
# Statuses after which the same request may succeed: time-outs, rate limits, a server in trouble.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_NO_SUCH_RANGE = 416
# Room in bytes that a download never takes: a full disk harms more than models.
DISK_RESERVE = 1 << 30
# What this machine's own disk says: another try fails the same way.
_LOCAL_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM})
_NO_URL = "it is no URL that can be asked; wanted: https://SERVER[:PORT]/PATH, what is special in it written as %20"
# Longest that a server's Retry-After is obeyed, in seconds.
_LONGEST_PAUSE_S = 60.0


class FetchError(Exception):
    """A download failed for good. `status` is what the server answered, 0 where it did not; `code` its own name for
    what is wrong (Hugging Face's `X-Error-Code`), "" where it has none.
    """

    def __init__(self, message: str, status: int = 0, code: str = "") -> None:
        super().__init__(message)
        self.status, self.code = status, code


class NotReachedError(FetchError):
    """No connection was made. Only this is a reason to take another source: an answer that is wrong is not."""


@dataclass(frozen=True)
class Fetcher:
    """How to download: CA bundle, seconds without a byte before a try is given up, tries and pauses between them.

    A try that brought `gain` bytes more begins the count of tries anew: a line that is cut every few minutes gets a
    large file through all the same. `token` is shown to the server that is asked, and to no other that it sends on to.
    """

    ca_bundle: str = ""
    stall_s: float = 60.0
    gain: int = 16 << 20
    pause: Callable[[float], None] = field(default=time.sleep)
    tries: int = 6
    token: str = field(default="", repr=False)

    def read(self, url: str, accept: str = "*/*", most: int = 1 << 22) -> bytes:
        """A small document. Raises FetchError."""

        def once() -> bytes:
            with self.open(url, {"Accept": accept}) as answer:
                content: bytes = answer.read(most + 1)
            if len(content) > most:
                raise FetchError(f"{shown(url)} sends more than {most} bytes where a small document was expected")
            return content

        return self.retried(url, once)

    def download(self, url: str, partial: Path, sha256: str, progress: Callable[[int], None]) -> None:
        """Complete `partial` from `url` and check it; an empty `sha256` accepts any content.

        What an earlier run left in `partial` is kept and continued. Content with a wrong hash is deleted and fetched
        once more from the start (a damaged remainder is the usual reason); a second time it is an error.
        """
        fresh = not partial.exists()
        self.retried(url, lambda: self._continue(url, partial, progress), lambda: _size(partial))
        found = sha256_of(partial)
        if not sha256 or found == sha256:
            return
        partial.unlink()
        if fresh:
            raise FetchError(
                f"{shown(url)} has the wrong content: sha256 {found}, wanted {sha256}. Nothing was kept. Either the "
                "source was changed or something on the way changes files; compare with its pin"
            )
        self.download(url, partial, sha256, progress)

    def _continue(self, url: str, partial: Path, progress: Callable[[int], None]) -> None:
        have = _size(partial)
        headers = {"Range": f"bytes={have}-"} if have else {}
        try:
            answer = self.open(url, headers)
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
            self._room_for(url, int(expected or 0), partial.parent)
            with partial.open("ab" if resumed else "wb") as file:
                while block := answer.read(_CHUNK):
                    file.write(block)
                    have += len(block)
                    progress(have)
                file.flush()
                os.fsync(file.fileno())
        if wanted is not None and have < wanted:
            raise ConnectionError(f"the connection ended after {have} of {wanted} bytes")

    def _room_for(self, url: str, size: int, directory: Path) -> None:
        free = shutil.disk_usage(directory).free
        if size + DISK_RESERVE > free:
            raise FetchError(
                f"{shown(url)} has {size / 1e9:.2f} GB to come, {directory} has {free / 1e9:.2f} GB free, of which "
                f"{DISK_RESERVE / 1e9:.2f} GB stay free; nothing of it was fetched: free some space and run again"
            )

    def open(self, url: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        """Ask once. Raises FetchError for what cannot be asked; what `retried` takes care of goes through."""
        try:
            parts = urllib.parse.urlsplit(url)
            host, _ = parts.hostname or "", parts.port
        except ValueError:
            raise FetchError(f"{shown(url)}: {_NO_URL}") from None
        if parts.scheme not in ("http", "https"):
            raise FetchError(f"{shown(url)}: only http and https can be downloaded from")
        account, _, server = parts.netloc.rpartition("@")
        plain = urllib.parse.urlunsplit(parts._replace(netloc=server, fragment=""))
        # Ranges are of the file as it is; a compressed transfer would shift them.
        request = urllib.request.Request(plain, headers={"Accept-Encoding": "identity", **headers})  # noqa: S310 - checked above
        if account:
            # Python's own client takes what stands before the @ for a part of the server's name.
            basic = base64.b64encode(
                urllib.parse.unquote(account if ":" in account else f"{account}:").encode()
            ).decode()
            request.add_unredirected_header("Authorization", f"Basic {basic}")
        if self.token:
            if parts.scheme != "https" and not is_loopback(host):
                raise FetchError(f"{shown(url)}: a token is sent by https alone; name that address (HF_ENDPOINT)")
            request.add_unredirected_header("Authorization", f"Bearer {self.token}")
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=_trust(self.ca_bundle)), _SameServer)
        answer: http.client.HTTPResponse = opener.open(request, timeout=self.stall_s)
        return answer

    def retried(self, url: str, work: Callable[[], _T], got: Callable[[], int] = lambda: 0) -> _T:
        """Run `work`, again after a failure that may pass, with pauses of 1, 2, 4, 8 and 16 s or as the server asks.

        `got` tells how many bytes there are by now. Raises FetchError.
        """
        tries, had = 0, got()
        while True:
            try:
                return work()
            except urllib.error.HTTPError as error:
                error.close()
                reason, passing, pause = f"HTTP {error.code}", error.code in _PASSING, _asked_pause(error)
                kind, answered = FetchError, (error.code, error.headers.get("X-Error-Code") or "")
            except http.client.InvalidURL:
                # Its message repeats what it does not understand, a signed query among it.
                raise FetchError(f"{shown(url)}: {_NO_URL}") from None
            except (OSError, http.client.HTTPException) as error:
                cause = getattr(error, "reason", error)
                reason, passing, pause = str(cause) or type(error).__name__, _may_pass(cause), 0.0
                kind, answered = NotReachedError if passing and not got() else FetchError, (0, "")
            have = got()
            tries, had = (1, have) if have >= had + self.gain else (tries + 1, had)
            if not passing or tries >= self.tries:
                break
            self.pause(max(float(2 ** (tries - 1)), pause))
        after = f" after {tries} tries" if tries > 1 else ""
        raise kind(f"{shown(url)} cannot be fetched{after}: {reason}", *answered)


class _SameServer(urllib.request.HTTPRedirectHandler):
    """A renamed repository is elsewhere on the same server, which is to know who asks; a storage is not."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Optional[urllib.request.Request]:
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        token = req.unredirected_hdrs.get("Authorization")
        if request and token and _server(newurl) == _server(req.full_url):
            request.add_unredirected_header("Authorization", token)
        return request


def _server(url: str) -> tuple[str, str]:
    return urllib.parse.urlsplit(url)[:2]


@functools.lru_cache(maxsize=4)
def _trust(ca_bundle: str) -> ssl.SSLContext:
    """Reading the certificates of all authorities takes longer than a request."""
    return ssl.create_default_context(cafile=ca_bundle or None)


def _may_pass(cause: object) -> bool:
    """Whether the same request may succeed later: not where a certificate or the own disk is at fault."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        return False
    return not (isinstance(cause, OSError) and cause.errno in _LOCAL_ERRORS)


def _asked_pause(error: urllib.error.HTTPError) -> float:
    """Seconds that the server asks to wait, as far as that is bearable; 0 where it says nothing (or names a date)."""
    asked = (error.headers.get("Retry-After") or "").strip()
    return min(float(asked), _LONGEST_PAUSE_S) if asked.isdigit() else 0.0


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def shown(url: str) -> str:
    """The URL as it may be printed: without credentials and without a signed query."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return "the address that was given"
    server = parts.netloc.rpartition("@")[2]
    # What stands behind the colon and is no port may be half of a password.
    name, colon, port = server.rpartition(":")
    server = name if colon and name and not re.fullmatch(r"[0-9]*|[0-9a-fA-F:]*\]", port) else server
    return urllib.parse.urlunsplit((parts.scheme, server, parts.path, "", ""))
