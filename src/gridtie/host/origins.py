"""How a browser names the page that asks (RFC 6454): what may be declared, for the routing file and for keys alike."""

from __future__ import annotations

import re
from typing import Tuple

# As a browser writes an Origin header: scheme and host, a port only where it is not the scheme's own.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::[1-9][0-9]{0,4})?")
_WANTED = "wanted: scheme://host[:port], such as app://obsidian.md"


def fault(origin: str) -> Tuple[str, str]:
    """What is wrong with an origin that is to be declared (in lower case), and what to do; two empty texts where
    nothing is. One that no browser sends never matches; `*` and `null` would let everybody's pages ask.
    """
    if origin in ("*", "null"):
        return f'"{origin}" is the origin of pages that anybody makes', _WANTED
    if not _ORIGIN.fullmatch(origin):
        return "it is no origin", f"{_WANTED}; no path, no slash at the end, no *"
    if (origin.startswith("http://") and origin.endswith(":80")) or (
        origin.startswith("https://") and origin.endswith(":443")
    ):
        return "a browser leaves the scheme's own port out", "leave it out here too"
    return "", ""
