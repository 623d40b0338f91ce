"""Which sources of packages, images and models answer from this machine, asked all at once with a short time-out."""

from __future__ import annotations

import os
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from functools import lru_cache, partial
from pathlib import Path
from typing import Callable

# Long enough for a slow proxy's first answer, short enough for a person.
TIMEOUT_S = 6.0


def redact(url: str) -> str:
    """The URL without the credentials that it may carry."""
    parts = urllib.parse.urlsplit(url)
    if "@" not in parts.netloc:
        return url
    return urllib.parse.urlunsplit(parts._replace(netloc="***@" + parts.netloc.rpartition("@")[2]))


def context() -> ssl.SSLContext:
    """TLS that trusts what this machine was told to trust, by whichever variable."""
    bundles = {os.environ.get(name, "") for name in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")}
    # The default context has read this one.
    bundles -= {"", os.environ.get("SSL_CERT_FILE")}
    with _making:
        return _trusting(frozenset(bundles))


# To read a bundle takes a tenth of a second of computing: done once, also where all threads ask at the same time.
_making = threading.Lock()


@lru_cache(maxsize=None)
def _trusting(bundles: frozenset[str]) -> ssl.SSLContext:
    made = ssl.create_default_context()
    for bundle in bundles:
        if Path(bundle).is_file():
            made.load_verify_locations(cafile=bundle)
    return made


def _request(url: str) -> urllib.request.Request:
    parts = urllib.parse.urlsplit(url)
    credentials, _, place = parts.netloc.rpartition("@")
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"{parts.scheme or 'no'} scheme; only http and https can be asked")
    # S310: the scheme was checked.
    request = urllib.request.Request(urllib.parse.urlunsplit(parts._replace(netloc=place)), method="HEAD")  # noqa: S310
    if credentials:
        import base64

        token = base64.b64encode(urllib.parse.unquote(credentials).encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
    return request


def probe(url: str) -> dict[str, object]:
    """Whether something speaks HTTP there. ``state`` is ``ok``, ``unreachable`` (no connection) or ``error``.

    The difference matters: another source is taken only for one that cannot be reached, never for one that answers
    with an error or with a certificate that is not trusted.
    """
    try:
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context()))
        with opener.open(_request(url), timeout=TIMEOUT_S) as answer:
            return {"state": "ok", "detail": f"HTTP {answer.status}"}
    except urllib.error.HTTPError as error:
        # 401, 403, 404 and 405 are answers of a server that is there (a registry asks for a token, HEAD is refused).
        # A proxy that does not let us through answers 403 or 407 to CONNECT, which is not an HTTPError.
        state = "error" if error.code >= 500 or error.code == 407 else "ok"
        return {"state": state, "detail": f"HTTP {error.code}"}
    except urllib.error.URLError as error:
        reason = error.reason
        if isinstance(reason, ssl.SSLError):
            return {"state": "error", "detail": f"TLS: {getattr(reason, 'verify_message', '') or reason}"}
        return {"state": "unreachable", "detail": str(getattr(reason, "strerror", None) or reason)}
    except (OSError, ValueError) as error:
        return {"state": "unreachable", "detail": str(error) or type(error).__name__}


class Probes:
    """Asks all sources at the same time, while the caller does something else."""

    def __init__(self, targets: dict[str, Callable[[], str]]) -> None:
        """``targets`` maps a name to what finds its URL; one that finds none is not asked."""
        self._results: dict[str, dict[str, object]] = {}
        self._threads = [threading.Thread(target=self._work, args=item, daemon=True) for item in targets.items()]
        for thread in self._threads:
            thread.start()
        self._deadline = time.monotonic() + TIMEOUT_S + 1.0

    def _work(self, name: str, find: Callable[[], str]) -> None:
        url = find()
        if url:
            late: dict[str, object] = {
                "url": redact(url),
                "state": "unreachable",
                "detail": f"no answer within {TIMEOUT_S:.0f} s",
            }
            self._results[name] = late
            self._results[name] = {**late, **probe(url)}

    def results(self) -> dict[str, dict[str, object]]:
        """What came of it; a source that has not answered by the deadline is unreachable. No URL holds credentials."""
        for thread in self._threads:
            # Name resolution has no time-out of its own: the thread is left behind, it dies with the module.
            thread.join(max(0.0, self._deadline - time.monotonic()))
        return dict(self._results)


def probe_all(targets: dict[str, str]) -> dict[str, dict[str, object]]:
    """Probe every named URL at the same time and wait for the answers."""
    return Probes({name: partial(str, url) for name, url in targets.items()}).results()
