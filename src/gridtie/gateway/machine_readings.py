"""What a service of the machine saw of cards and engine (`gridtie readings`), as metrics; nothing where none runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from time import time

import msgspec

from gridtie.gateway.telemetry import Reading

# As host/readings.py names it.
FILE = "readings.json"
# Seconds after which nothing is said: the service looks every ten.
STALE_S = 60.0
# Bounds of what is read: the file is another program's.
_MOST_BYTES = 64 * 1024
_MOST_CARDS = 64
_MOST_TEXT = 64


class Card(msgspec.Struct, frozen=True):
    """One graphics card: bytes, watts, degrees Celsius, share of the time; None for what it has no sensor for."""

    card: str
    model: str
    memory_bytes: float | None = None
    used_bytes: float | None = None
    watts: float | None = None
    celsius: float | None = None
    busy: float | None = None


class _Document(msgspec.Struct, frozen=True):
    time: float
    cards: tuple[Card, ...] = ()
    engine_bytes: int | None = None
    processor_joules: float | None = None


class MachineReadings:
    """The file, as it is at each scrape."""

    def __init__(self, path: Path, clock: Callable[[], float] = time) -> None:
        """`clock` gives Unix time."""
        self._path = path
        self._clock = clock

    def __iter__(self) -> Iterator[Reading]:
        """Nothing where the file is not there, is old or is something else."""
        found = self._fresh()
        if found is None:
            return
        if found.engine_bytes is not None:
            yield "gridtie_engine_resident_bytes", (), found.engine_bytes
        if found.processor_joules is not None:
            yield "gridtie_processor_joules", (), found.processor_joules
        for card in found.cards:
            labels = (card.card[:_MOST_TEXT], card.model[:_MOST_TEXT])
            for name, value in (
                ("gridtie_card_memory_bytes", card.memory_bytes),
                ("gridtie_card_memory_used_bytes", card.used_bytes),
                ("gridtie_card_power_watts", card.watts),
                ("gridtie_card_temperature_celsius", card.celsius),
                ("gridtie_card_busy_ratio", card.busy),
            ):
                if value is not None:
                    yield name, labels, value

    def cards(self) -> tuple[Card, ...]:
        """The graphics cards; none where nobody looks."""
        found = self._fresh()
        return found.cards if found is not None else ()

    def _fresh(self) -> _Document | None:
        try:
            with self._path.open("rb") as file:
                found = msgspec.json.decode(file.read(_MOST_BYTES), type=_Document)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        if abs(self._clock() - found.time) > STALE_S:
            return None
        return msgspec.structs.replace(found, cards=found.cards[:_MOST_CARDS])
