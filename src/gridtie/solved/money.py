"""What requests cost, by the report's own arithmetic: its SQL, over a ledger that has these requests alone."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from gridtie.config.load import ConfigError, load_routing
from gridtie.ledger import Entry
from gridtie.ledger.prices import Rates
from gridtie.ledger.store import SqliteStore
from gridtie.ledger.zone import Zone
from gridtie.report.ledger_file import opened
from gridtie.report.question import Power, Question
from gridtie.report.sql import statements
from gridtie.report.tariff import own_prices, power_of


@dataclass(frozen=True)
class Tariff:
    """What local answers cost: electricity, or the price of their tokens."""

    power: Power = field(default_factory=lambda: power_of(None))
    own_prices: Mapping[str, Rates] = field(default_factory=dict)
    # The routing file that would say it and cannot be read.
    unread: str = ""

    @classmethod
    def read(cls, config: Path) -> Tariff:
        """As the routing file in a directory says; where it cannot be read, as the report assumes."""
        try:
            routing = load_routing(config / "llm_routing.yaml")
        except (ConfigError, OSError):
            return cls(unread=str(config / "llm_routing.yaml"))
        return cls(power_of(routing.costs.electricity), own_prices(routing))

    @property
    def words(self) -> str:
        """What stands beside every figure."""
        power = self.power
        missing = f"{self.unread} cannot be read here" if self.unread else "costs.electricity is not set"
        origin = "as set" if power.chosen else f"assumed, since {missing}"
        return f"{power.watts:g} W while answering at ${power.usd_per_kwh:.2f} a kilowatt-hour, {origin}"


def money(entries: Sequence[Entry], tariff: Tariff) -> dict[str, float | None]:
    """US dollars of each request by its id: clouds, electricity, prices of our own; None: no price is known.

    Idle electricity and amortisation are in none, as in the report's tables: nobody's requests cause them.
    """
    if not entries:
        return {}
    question = Question(
        since=min(each.time for each in entries),
        until=max(each.time for each in entries) + 1.0,
        zone=Zone(),
        power=tariff.power,
        hardware=None,
        others=(),
        price_date="",
        own_prices=tariff.own_prices,
        only={},
    )
    with tempfile.TemporaryDirectory(prefix="gridtie-solved-") as directory:
        path = Path(directory) / "ledger.sqlite"
        store = SqliteStore(path)
        try:
            # A line for each request, and as users' requests: the report leaves the tool's own out of every sum.
            store.save([replace(each, purpose="", environment="dev", project=each.id) for each in entries])
        finally:
            store.close()
        with opened(path) as connection:
            for sql in statements(question).prepare.values():
                connection.execute(sql)
            return {str(id): usd for id, usd in connection.execute(_EACH)}


_EACH = """SELECT project,
  sum(cost_pico) / 1e12 + sum(own_pico) / 1e12 + sum(powered_us) * (SELECT usd_per_us FROM machines)
FROM traffic GROUP BY project"""
