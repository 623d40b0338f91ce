"""Where this host reaches the engine, for modules."""

from __future__ import annotations

from .gridtie_host.models.engine_address import reached

__all__ = ["reached"]
