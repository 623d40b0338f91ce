"""`GET /gridtie/key`: what the key that asks may do, and what is left of it."""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic
from typing import Any

import msgspec

from gridtie.gateway.admin.answer import tell
from gridtie.gateway.allowance import Allowance
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.routes import Route
from gridtie.routing.state import State


class OwnKey:
    """Every key may ask, about itself alone."""

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self) -> Iterable[Route]:
        """The paths it answers."""
        return (Route(path="/gridtie/key", get=self.key),)

    def key(self, exchange: Exchange) -> None:
        """Its name, rights, end, limits, and what of these is left."""
        key, allowance = exchange.head.key, exchange.head.loaded.allowance
        if key is None:
            return
        rights = {"name": key.name, "environments": key.environments, "admin": key.admin}
        limits = {} if allowance is None else self._limits(allowance)
        tell(exchange, {**rights, "ends": None, "limits": {}, "left": {}, **limits})

    def _limits(self, allowance: Allowance) -> dict[str, Any]:
        bounded = allowance.bounded
        limits = {name: value for name, value in msgspec.to_builtins(bounded.limits).items() if value}
        money = {
            f"usd_per_{budget.period}": max(0.0, self._state.left_to_all(budget.name)) for budget in bounded.budgets()
        }
        return {"ends": bounded.ends, "limits": limits, "left": {**allowance.left(monotonic()), **money}}
