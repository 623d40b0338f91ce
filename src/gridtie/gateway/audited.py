"""What the router takes up of its configuration is noted, by digests before and after, and what it does not take."""

from __future__ import annotations

import logging
from pathlib import Path

from gridtie.gateway.settings import Loaded
from gridtie.host.audit import note

log = logging.getLogger("gridtie.config")


class Audited:
    """Told of each configuration that is in force."""

    def __init__(self, directory: Path, loaded: Loaded) -> None:
        """`loaded` is what it begins with."""
        self._directory = directory
        self._before = loaded
        self._note("router started", routing=loaded.digest, keys=loaded.keys.digest)

    def __call__(self, after: Loaded) -> None:
        """Note what is another than before."""
        before, self._before = self._before, after
        if after.digest != before.digest:
            self._note("routing file taken up", before=before.digest, after=after.digest)
        if after.keys.digest != before.keys.digest:
            self._note("keys taken up", before=before.keys.digest, after=after.keys.digest)
        if after.error and after.error != before.error:
            # Which mistake it is stands in the router's log, for admins.
            self._note("changed configuration not taken up", routing=after.digest, keys=after.keys.digest)

    def _note(self, what: str, **detail: str) -> None:
        try:
            note(self._directory, what, "router", **detail)
        except OSError:
            log.exception("%s, and it could not be noted in %s", what, self._directory)
