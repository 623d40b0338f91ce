"""Prices of the file's own: of models that are used, and in the unit that is meant."""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec

from gridtie.config.problems import KeyPath, Problem, closest, listed
from gridtie.config.schema import Price, Provider, Routing

_UNIT = "US dollars per million tokens"
# Dollars per million tokens. As of 2026 list prices of text models lie between 0.002 (cached input of small ones) and
# 600: one below is per token or per thousand of them, as other tools' tables are; one above is in cents or per billion.
_LEAST, _MOST = 0.001, 2000.0


def prices(routing: Routing, name: str, provider: Provider, path: KeyPath) -> Iterator[Problem]:
    """What is wrong with the prices of one provider."""
    used = _used(routing, name)
    for model, price in provider.prices.items():
        here = (*path, "prices", model)
        if model not in used:
            yield Problem(
                path=here,
                what=f'no alias and no rule uses the model "{model}" of this provider',
                fix=closest(model, used) or f"used: {listed(used)}",
            )
        for key, value in msgspec.structs.asdict(price).items():
            yield from _amount(value, (*here, key))
        yield from _order(price, here)


def _used(routing: Routing, name: str) -> list[str]:
    """The models of a provider that aliases and rules name."""
    refs = [ref for rule in routing.rules for ref in rule.use]
    for model in routing.models.values():
        refs += [each.model for each in model.local_models()]
    clouds = [cloud for model in routing.models.values() for cloud in model.cloud_models()]
    used = [cloud.model for cloud in clouds if cloud.provider == name]
    return used + [ref.removeprefix(f"{name}/") for ref in refs if ref.startswith(f"{name}/")]


def _amount(value: float | None, path: KeyPath) -> Iterator[Problem]:
    if value is None or value == 0:
        return
    if not (math.isfinite(value) and value > 0):
        yield Problem(path=path, what=f"found {value:g}, wanted {_UNIT}, 0 or more")
    elif value < _LEAST:
        per_thousand = f", or {value * 1e3:.6g} if it is per thousand tokens" if value * 1e6 > 100 else ""
        yield Problem(
            path=path,
            what=f"found {value:g}, which looks like dollars per token; wanted {_UNIT}",
            fix=f"write {value * 1e6:.6g}{per_thousand}",
        )
    elif value > _MOST:
        yield Problem(
            path=path,
            what=f"found {value:g}, more than any model costs; wanted {_UNIT}",
            fix=f"write {value / 100:.6g} if it is in cents",
        )


def _order(price: Price, path: KeyPath) -> Iterator[Problem]:
    if 0 < price.output < price.input:
        yield Problem(
            path=path,
            what=f"output ({price.output:g}) costs less than input ({price.input:g}), which no provider charges",
            fix="exchange the two; a model that writes no text has output: 0",
        )
    if price.cached_input is not None and price.cached_input > price.input:
        yield Problem(
            path=(*path, "cached_input"),
            what=f"input from a cache ({price.cached_input:g}) costs more than new input ({price.input:g})",
            fix="wanted: what is charged for reading from the cache, or no cached_input",
        )
