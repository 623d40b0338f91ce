"""`gridtie route explain`: the decision for a request that is described and not sent."""

from __future__ import annotations

from typing import Any

import msgspec

from gridtie.dialects.types import Dialect
from gridtie.routing.decide import decide
from gridtie.routing.plan import Plan, RequestInfo
from gridtie.routing.policy import NEEDS, Policy
from gridtie.routing.snapshot import Snapshot


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request in outline; what is left out is as in a plain chat request."""

    model: str = ""
    # None: the key's first.
    environment: str | None = None
    agent: str | None = None
    tags: list[str] = []
    surface: Dialect = "openai"
    stream: bool = False
    needs: list[str] = []
    prompt_tokens: int = 0
    max_tokens: int | None = None


def read_query(body: bytes) -> Query:
    """The body of POST /gridtie/route. Raises ValueError that says what is wrong."""
    try:
        query = msgspec.json.decode(body or b"{}", type=Query)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"this does not describe a request: {error}; known: {', '.join(Query.__struct_fields__)}"
        ) from error
    if unknown := sorted(set(query.needs) - NEEDS):
        raise ValueError(f"needs: {', '.join(unknown)} found, wanted any of {', '.join(sorted(NEEDS))}")
    if query.prompt_tokens < 0 or (query.max_tokens is not None and query.max_tokens < 0):
        raise ValueError("prompt_tokens and max_tokens are 0 or more")
    return query


def explain(query: Query, key: str, environment: str, policy: Policy, snapshot: Snapshot) -> dict[str, Any]:
    """What would happen to the request right now, and why; nothing is sent and nothing is reserved.

    `environment` is the one that the key may claim, resolved as for a real request.
    """
    ask = RequestInfo(
        id="explain",
        surface=query.surface,
        alias=query.model,
        environment=environment,
        key=key,
        agent=query.agent,
        tags=frozenset(query.tags),
        stream=query.stream,
        needs=frozenset(query.needs),
        prompt_tokens=query.prompt_tokens,
        max_tokens=query.max_tokens,
    )
    plan = decide(ask, policy, snapshot)
    route = policy.route(ask)
    return {
        "model": query.model or policy.routing.defaults.alias,
        "environment": environment,
        "tags": sorted(query.tags),
        "rule": plan.rule,
        # "" where a cloud may be used.
        "local_only": route.local_only,
        "max_cost": route.max_cost,
        "baseline": plan.baseline,
        "attempts": _attempts(plan),
        "skipped": [msgspec.to_builtins(skip) for skip in plan.skipped],
        "refusal": msgspec.to_builtins(plan.refusal),
    }


def _attempts(plan: Plan) -> list[dict[str, Any]]:
    return [
        {
            "target": attempt.target.id,
            "locality": attempt.target.locality,
            "context": attempt.target.context,
            "reason": attempt.reason,
            "max_wait": attempt.max_wait,
            "first_token": attempt.first_token,
            "reserve_usd": attempt.reserve_usd,
            "budgets": list(attempt.budgets),
        }
        for attempt in plan.attempts
    ]
