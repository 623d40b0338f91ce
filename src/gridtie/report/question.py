"""What a report is asked: the period, whose traffic, and what is counted beside tokens. Pure data."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from gridtie.config.schema import Hardware
from gridtie.ledger.prices import ModelPrices, Rates
from gridtie.ledger.zone import Zone

# Columns of the view `metered` by which traffic can be narrowed.
NARROWED = ("environment", "key", "agent", "project", "model")
# What a report has a table for: columns of its own table `traffic`, and tags, of which a request may have several.
DIMENSIONS = ("environment", "key", "agent", "project", "tag", "model", "rule", "day", "month")

_MONTH = re.compile(r"(\d{4})-(\d\d)")

# How the electricity's figure came about.
#   measured: a meter's reading for the period; set: watts and price of the routing file; assumed: the defaults of both.
Status = Literal["measured", "set", "assumed"]


class QuestionError(ValueError):
    """The question cannot be answered as put; the message says what is wanted."""


class Power(msgspec.Struct, frozen=True, kw_only=True):
    """Electricity: of one machine, in watts, or as a meter counted it."""

    watts: float
    idle_watts: float
    usd_per_kwh: float
    # Kilowatt-hours of the period, all machines together; None: nobody measured.
    measured_kwh: float | None = None
    # Whether watts and price are somebody's, and not the defaults.
    chosen: bool = False

    @property
    def status(self) -> Status:
        """How the figure came about."""
        return "measured" if self.measured_kwh is not None else "set" if self.chosen else "assumed"


class Other(msgspec.Struct, frozen=True, kw_only=True):
    """A model that the same tokens are priced at beside each request's own baseline."""

    ref: str
    prices: ModelPrices


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Times are Unix seconds, [since, until)."""

    since: float
    until: float
    zone: Zone
    power: Power
    # What the machines were bought for; None: nothing is written off.
    hardware: Hardware | None
    others: tuple[Other, ...]
    # The day of the snapshot that the others' prices are of.
    price_date: str
    # What tokens of local models cost here, as "provider/model": in place of their electricity.
    own_prices: Mapping[str, Rates]
    # Column -> values of which one must hold.
    only: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        if not self.since < self.until:
            raise QuestionError(
                f"the period begins at {_utc(self.since)} and ends at {_utc(self.until)}; "
                "wanted: --since before --until"
            )


def month(text: str, zone: Zone) -> tuple[float, float]:
    """A calendar month in a zone as [since, until) in Unix seconds. Raises `QuestionError`."""
    found = _MONTH.fullmatch(text)
    if not found or not 1 <= int(found[2]) <= 12 or int(found[1]) < 1970:
        raise QuestionError(f"month {text[:80]!r} found; wanted one as 2026-11")
    year, number = int(found[1]), int(found[2])
    first = datetime.datetime(year, number, 1)
    following = datetime.datetime(year + number // 12, number % 12 + 1, 1)
    return zone.instant(first), zone.instant(following)


def _utc(moment: float) -> str:
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).isoformat(sep=" ", timespec="seconds")
