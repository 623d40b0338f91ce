"""What machines cost a month: written off in equal parts, and electricity, as `gridtie report` counts them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from gridtie.size.plan import Machine


@dataclass(frozen=True)
class Cost:
    """US dollars of a period; None: unknown, because the file does not say what a machine draws or cost."""

    electricity_usd: float | None
    amortisation_usd: float | None

    @property
    def usd(self) -> float | None:
        """Both, where both are known."""
        if self.electricity_usd is None or self.amortisation_usd is None:
            return None
        return self.electricity_usd + self.amortisation_usd


def cost(machine: Machine, cards: int, answering_s: float, days: float) -> Cost:
    """Of `cards` cards over so many days in which requests took `answering_s` seconds in all.

    A card draws its watts while it answers at all. Several answers at once share them, which is not counted: so
    electricity is at most this.
    """
    return Cost(_electricity(machine, cards, answering_s / 3600, days * 24), _written_off(machine, cards, days))


def _electricity(machine: Machine, cards: int, answering: float, hours: float) -> float | None:
    if machine.electricity is None:
        return None
    busy = min(answering / cards, hours)
    watt_hours = busy * machine.electricity.watts + (hours - busy) * machine.electricity.idle_watts
    return cards * watt_hours / 1000 * machine.electricity.usd_per_kwh


def _written_off(machine: Machine, cards: int, days: float) -> float | None:
    if machine.hardware is None:
        return None
    bought = machine.hardware
    return cards * (bought.usd - bought.resale_usd) / (bought.years * 365) * days
