"""Which servers there should be, which vllm-router has, and how the one becomes the other."""

from __future__ import annotations

import json
import logging
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib import error, parse, request

log = logging.getLogger("gridtie")

# Seconds for which vllm-router waits for a new one to be well.
ADD_S = 30


@dataclass(frozen=True)
class Server:
    """One of them, and the file with the authorities that it is known by, beside the list."""

    url: str
    ca_file: str


def wanted(file: Path) -> list[Server] | None:
    """Those that the file names; None where it cannot be read, and then nothing is changed."""
    try:
        named = json.loads(file.read_text(encoding="utf-8"))["servers"]
        return [Server(str(each["url"]), str(each["ca_file"])) for each in named]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def authorities(file: Path) -> str:
    """Whom to trust for them: all their authorities, each once."""
    found = []
    for server in wanted(file) or []:
        with suppress(OSError):
            found.append((file.parent / Path(server.ca_file).name).read_text(encoding="utf-8").strip() + "\n")
    return "".join(dict.fromkeys(found))


def listed(router: str) -> list[str]:
    """The URLs that vllm-router has now. Raises OSError where it does not answer."""
    return [str(each) for each in json.loads(_ask("GET", f"{router}/list_workers"))["urls"]]


class Servers:
    """Keeps vllm-router's servers those of the file. One that is down is tried again and again, beside the others."""

    def __init__(self, router: str, file: Path) -> None:
        self._router = router
        self._file = file
        self._adding: dict[str, threading.Thread] = {}

    def reconcile(self) -> None:
        """One look; what goes is let go at once, and what it still answers ends by itself."""
        servers = wanted(self._file)
        if servers is None:
            return
        named = [server.url for server in servers]
        try:
            have = listed(self._router)
            for url in have:
                if url not in named:
                    log.info("%s is not named any more", url)
                    _ask("POST", f"{self._router}/remove_worker?url={parse.quote(url, safe='')}")
        except (OSError, ValueError):
            return
        for url in named:
            if url not in have and not self._is_adding(url):
                self._adding[url] = threading.Thread(target=self._add, args=(url,), daemon=True)
                self._adding[url].start()

    def _is_adding(self, url: str) -> bool:
        thread = self._adding.get(url)
        return thread is not None and thread.is_alive()

    def _add(self, url: str) -> None:
        try:
            _ask("POST", f"{self._router}/add_worker?url={parse.quote(url, safe='')}", ADD_S + 10)
            log.info("%s is asked from now on", url)
        except (OSError, ValueError) as refused:
            log.warning("%s cannot be asked yet: %s", url, _told(refused))


def _ask(method: str, url: str, timeout: float = 10) -> bytes:
    asked = request.Request(url, method=method)  # noqa: S310 - vllm-router's own address
    with request.build_opener(request.ProxyHandler({})).open(asked, timeout=timeout) as answer:
        return bytes(answer.read())


def _told(refused: Exception) -> str:
    if isinstance(refused, error.HTTPError):
        return refused.read(300).decode(errors="replace").partition(". Please set")[0]
    return str(refused)
