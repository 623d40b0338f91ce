"""What a client connection asks to have its requests served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gridtie.config.schema import Limits
    from gridtie.gateway.client_connection import ClientConnection
    from gridtie.gateway.exchange import Exchange
    from gridtie.gateway.settings import Loaded
    from gridtie.routing.held_bytes import HeldBytes


class Service(Protocol):
    """Judges and answers; one for all connections."""

    limits: Limits
    # Seconds after which an answer that has not ended never will.
    patience: float
    held: HeldBytes
    date_line: bytes
    draining: bool
    # Replaced whenever a head could be judged differently than before.
    loaded: Loaded

    def request_id(self) -> str: ...

    def opened(self, connection: ClientConnection) -> bool:
        """A client has connected; False where there are too many."""
        ...

    def closed(self, connection: ClientConnection) -> None: ...

    def admit(self, exchange: Exchange) -> bool:
        """Judge the head of a request before its body is read; False where it has been answered."""
        ...

    def handle(self, exchange: Exchange) -> None:
        """Answer a whole request, now or later."""
        ...

    def refuse(self, exchange: Exchange, status: int, code: str, message: str) -> None:
        """Answer with an error."""
        ...
