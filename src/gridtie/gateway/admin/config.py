"""`GET /gridtie/config`: which configuration is in force, and what is wrong with the files as they are."""

from __future__ import annotations

from collections.abc import Iterable

from gridtie.gateway.admin.answer import tell
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.routes import Route
from gridtie.gateway.settings import Settings

# What is wrong names lines of the files, and those are not everybody's business.
_NOT_IN_FULL = "the changed configuration is not used; an admin key is told why"


class Config:
    """The configuration, as far as a key may know."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def routes(self) -> Iterable[Route]:
        """The paths it answers."""
        return (Route(path="/gridtie/config", get=self.config),)

    def config(self, exchange: Exchange) -> None:
        """Digests and time for every key, mistakes in full and warnings for admins."""
        key, loaded = exchange.head.key, self._settings.current
        admin = key is not None and key.admin
        error = loaded.error if admin else loaded.error and _NOT_IN_FULL
        tell(
            exchange,
            {
                "digest": loaded.digest,
                "keys": loaded.keys.file_digest,
                "loaded_at": loaded.loaded_at,
                "error": error or None,
                **({"warnings": loaded.warnings} if admin else {}),
            },
        )
