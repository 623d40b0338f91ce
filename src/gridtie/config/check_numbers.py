"""Numbers: above zero where zero has no meaning, and in the unit that is meant."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from gridtie.config.check_models import places
from gridtie.config.problems import KeyPath, Problem
from gridtie.config.schema import Costs, Limits, Model, Responses, Routing, Rule

# Below it a size is meant in kilo- or megabytes: not even a small request fits.
_LEAST_BYTES = 1000
# One answer for one key.
_LEAST_ENTRIES = 2
# Seconds of a day: above it a time is meant in milliseconds.
_LONGEST_SECONDS = 86_400
# No model writes as many tokens in one answer.
_MOST_OUTPUT_TOKENS = 1_000_000
# Shares of requests that are told apart; a larger one is a number of something else.
_MOST_WEIGHT = 1_000_000
# Requests that wait and ask the same target more often than this do not help it.
_MOST_RETRIES = 10
# US dollars: households paid at most half a dollar in 2025; above it the price is in cents.
_MOST_USD_PER_KWH = 5.0


def numbers(routing: Routing) -> Iterator[Problem]:
    """Every number with a unit is above zero: zero would mean never to one reader and unlimited to another."""
    for name, provider in routing.providers.items():
        path: KeyPath = ("providers", name)
        yield from _above_zero(provider.max_in_flight, (*path, "max_in_flight"), "requests")
        yield from _at_least_zero(provider.max_relayed, (*path, "max_relayed"), "requests; 0: none of other stations")
    for name, model in routing.models.items():
        yield from _weights(model, ("models", name))
        yield from _bounds(model, ("models", name))
    for at, rule in enumerate(routing.rules):
        path = ("rules", at)
        yield from _bounds(rule, path)
        yield from _above_zero(rule.max_cost, (*path, "max_cost"), "US dollars")
        yield from _at_least_zero(rule.max_wait, (*path, "max_wait"), "seconds")
        yield from _at_least_zero(rule.when.larger_than, (*path, "when", "larger_than"), "tokens")
        yield from _above_zero(rule.when.smaller_than, (*path, "when", "smaller_than"), "tokens")
    for at, budget in enumerate(routing.budgets):
        yield from _above_zero(budget.usd, ("budgets", at, "usd"), "US dollars")
    yield from _bounds(routing, ())
    yield from _limits(routing.limits)
    yield from _responses(routing.responses)
    yield from _costs(routing.costs)


def _weights(model: Model, path: KeyPath) -> Iterator[Problem]:
    """Parts of the requests; 0 is none."""
    found = [
        *zip([each.weight for each in model.local_models()], places(model.local, (*path, "local")), strict=True),
        *zip([each.weight for each in model.cloud_models()], places(model.cloud, (*path, "cloud")), strict=True),
    ]
    for weight, where in found:
        if weight is not None:
            yield from _within(weight, _MOST_WEIGHT, (*where, "weight"), "its part of the requests; 0: none")


def _bounds(owner: Routing | Model | Rule, path: KeyPath) -> Iterator[Problem]:
    """Time-outs and retries: of the file, of an alias, of a rule."""
    for key, value in msgspec.structs.asdict(owner.timeouts).items():
        yield from _seconds(value, (*path, "timeouts", key))
    retries = owner.retries
    yield from _seconds(retries.backoff, (*path, "retries", "backoff"))
    yield from _seconds(retries.max_backoff, (*path, "retries", "max_backoff"))
    if retries.count is not None:
        yield from _within(retries.count, _MOST_RETRIES, (*path, "retries", "count"), "times a target is asked again")


def _costs(costs: Costs) -> Iterator[Problem]:
    if costs.electricity is not None:
        path: KeyPath = ("costs", "electricity")
        yield from _at_least_zero(costs.electricity.watts, (*path, "watts"), "watts of one machine")
        yield from _at_least_zero(costs.electricity.idle_watts, (*path, "idle_watts"), "watts of one machine")
        yield from _at_least_zero(costs.electricity.usd_per_kwh, (*path, "usd_per_kwh"), "US dollars")
        if _MOST_USD_PER_KWH < costs.electricity.usd_per_kwh < float("inf"):
            yield Problem(
                path=(*path, "usd_per_kwh"),
                what=f"found {costs.electricity.usd_per_kwh:g}, more than electricity costs anywhere (US dollars)",
                fix=f"write {costs.electricity.usd_per_kwh / 100:g} if it is in cents",
            )
    if costs.hardware is not None:
        path = ("costs", "hardware")
        yield from _above_zero(costs.hardware.usd, (*path, "usd"), "US dollars")
        yield from _above_zero(costs.hardware.years, (*path, "years"), "years")
        yield from _at_least_zero(costs.hardware.resale_usd, (*path, "resale_usd"), "US dollars")
        if costs.hardware.resale_usd > costs.hardware.usd:
            yield Problem(
                path=(*path, "resale_usd"),
                what=f"found {costs.hardware.resale_usd:g}, more than it was bought for ({costs.hardware.usd:g})",
                fix="wanted: what it will be sold for after `years`, or 0",
            )


def _limits(limits: Limits) -> Iterator[Problem]:
    for key, value in msgspec.structs.asdict(limits).items():
        path = ("limits", key)
        if key.endswith("timeout"):
            yield from _seconds(value, path)
        elif key.endswith("_bytes"):
            yield from _above_zero(value, path, "bytes")
            if 0 < value < _LEAST_BYTES:
                yield Problem(
                    path=path, what=f"found {value} bytes, in which no request fits", fix="16 MiB is 16777216, for one"
                )
        else:
            yield from _above_zero(value, path, "tokens" if key == "output_tokens" else "of them")
    if limits.output_tokens > _MOST_OUTPUT_TOKENS:
        yield Problem(
            path=("limits", "output_tokens"),
            what=f"found {limits.output_tokens}, wanted at most {_MOST_OUTPUT_TOKENS} (tokens of one answer)",
        )
    if limits.held_bytes < 2 * limits.max_body_bytes:
        yield Problem(
            path=("limits", "held_bytes"),
            what=f"one key holds at most half of {limits.held_bytes} bytes, in which the largest body "
            f"({limits.max_body_bytes}, limits.max_body_bytes) does not fit",
            fix=f"write held_bytes: {2 * limits.max_body_bytes} or more, or lower max_body_bytes",
        )


def _responses(responses: Responses) -> Iterator[Problem]:
    if responses.keep_entries < _LEAST_ENTRIES:
        yield Problem(
            path=("responses", "keep_entries"),
            what=f"found {responses.keep_entries}, of which one key may have half; wanted {_LEAST_ENTRIES} or more",
        )
    if responses.keep_bytes < _LEAST_BYTES:
        yield Problem(
            path=("responses", "keep_bytes"),
            what=f"found {responses.keep_bytes} bytes, in which no conversation fits",
            fix="32 MiB is 33554432, for one",
        )
    yield from _seconds(responses.keep_seconds, ("responses", "keep_seconds"))


def _seconds(value: float | None, path: KeyPath) -> Iterator[Problem]:
    yield from _above_zero(value, path, "seconds")
    if value is not None and _LONGEST_SECONDS < value < float("inf"):
        yield Problem(
            path=path, what=f"found {value:g} s, more than a day", fix="times are seconds: milliseconds / 1000"
        )


def _above_zero(value: float | None, path: KeyPath, unit: str) -> Iterator[Problem]:
    if value is not None and not 0 < value < float("inf"):
        yield Problem(path=path, what=f"found {value:g}, wanted more than 0 ({unit})")


def _within(value: int, most: int, path: KeyPath, unit: str) -> Iterator[Problem]:
    if not 0 <= value <= most:
        yield Problem(path=path, what=f"found {value}, wanted a whole number from 0 to {most} ({unit})")


def _at_least_zero(value: float | None, path: KeyPath, unit: str) -> Iterator[Problem]:
    if value is not None and not 0 <= value < float("inf"):
        yield Problem(path=path, what=f"found {value:g}, wanted 0 or more ({unit})")
