"""The policy for one key that has limits: its own money beside the budgets of all, and what it may ask for."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from gridtie.config.schema import KeyBudget
from gridtie.providers.registry import Alias
from gridtie.routing import refusals
from gridtie.routing.plan import RequestInfo
from gridtie.routing.policy import Policy, Route


class KeyPolicy(Policy):
    """Apart from that of all others, whose plans need not be made anew where one key's money is counted."""

    def __init__(self, policy: Policy, budgets: Sequence[KeyBudget], models: frozenset[str]) -> None:
        """`models`: names in canonical form that it may ask for; none at all: every one."""
        routing = replace(policy.routing, budgets=[*policy.routing.budgets, *budgets])
        super().__init__(routing, policy.targets.only(models) if models else policy.targets)

    def _worked_out(self, info: RequestInfo, name: str, alias: Alias | None) -> Route:
        if alias is None and self.targets.everything.named(name) is not None:
            return Route(rule="", refusal=refusals.model_not_allowed(info.key, name, self.targets.names()))
        return super()._worked_out(info, name, alias)
