"""What bounds a request in time, and how often it asks a target again: the file's, its alias's, its rule's. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec.structs import asdict

from gridtie.config.schema import OwnRetries, OwnTimeouts, Retries, Routing, Rule, Timeouts
from gridtie.providers.registry import Alias


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that hold for a request."""

    timeouts: Timeouts = Timeouts()
    retries: Retries = Retries()
    # Setting -> whose it is: `timeouts.total` -> `rule "ci"`. None is named that the file itself has.
    whose: Mapping[str, str] = {}

    def setting(self, name: str) -> str:
        """A setting as it is found in the routing file."""
        owner = self.whose.get(name)
        return name if owner is None else f"{name} of {owner}"


def bounds(routing: Routing, alias: Alias, rule: Rule) -> Bounds:
    """Those of a rule hold before those of an alias, and both before the file's, setting by setting."""
    whose: dict[str, str] = {}
    owners: list[tuple[str, Alias | Rule]] = [(f'alias "{alias.name}"', alias), (f'rule "{rule.name}"', rule)]
    timeouts, retries = asdict(routing.timeouts), asdict(routing.retries)
    for owner, own in owners:
        _put(timeouts, own.timeouts, "timeouts", owner, whose)
        _put(retries, own.retries, "retries", owner, whose)
    return Bounds(timeouts=Timeouts(**timeouts), retries=Retries(**retries), whose=whose)


def _put(
    settings: dict[str, object], own: OwnTimeouts | OwnRetries, section: str, owner: str, whose: dict[str, str]
) -> None:
    for name, value in asdict(own).items():
        if value is not None:
            settings[name] = value
            whose[f"{section}.{name}"] = owner


def longest(routing: Routing) -> float:
    """Seconds that any request may take."""
    own = [model.timeouts.total for model in routing.models.values()] + [rule.timeouts.total for rule in routing.rules]
    return max([routing.timeouts.total, *(total for total in own if total is not None)])
