"""What a machine of ours costs while it answers: watts and their price, or the price of its tokens."""

from __future__ import annotations

from gridtie.config.schema import Electricity, Routing
from gridtie.ledger.prices import Rates
from gridtie.report.question import Power, QuestionError


def power_of(set_: Electricity | None, kwh: float | None = None) -> Power:
    """By `costs.electricity`, or its defaults; `kwh` is what a meter counted. Raises `QuestionError`."""
    if kwh is not None and not 0 <= kwh < float("inf"):
        raise QuestionError(f"--kwh {kwh:g} found; wanted the kilowatt-hours of the period, 0 or more")
    used = set_ or Electricity()
    return Power(
        watts=used.watts,
        idle_watts=used.idle_watts,
        usd_per_kwh=used.usd_per_kwh,
        measured_kwh=kwh,
        chosen=set_ is not None,
    )


def own_prices(routing: Routing) -> dict[str, Rates]:
    """What tokens of local models cost by the routing file."""
    return {
        f"{name}/{model}": Rates(input=price.input, output=price.output, cached_input=price.cached_input)
        for name, provider in routing.providers.items()
        if provider.locality == "local"
        for model, price in provider.prices.items()
    }
