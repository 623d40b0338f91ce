"""`gridtie route explain`: the decision for a request that is described and not sent, by the code that decides live."""

from __future__ import annotations

from typing import Any

import msgspec

from gridtie.dialects.facts import BYTES_PER_TOKEN, MAX_MODEL_CHARACTERS, Facts
from gridtie.dialects.types import Surface
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
    purpose: str | None = None
    surface: Surface = "openai"
    stream: bool = False
    needs: list[str] = []
    # Whole numbers, which JSON may also write with a point: 100.0.
    prompt_tokens: float = 0
    images: float = 0
    max_tokens: float | None = None
    choices: float = 1
    # As the header x-session-id says it.
    session: str = ""

    def facts(self) -> Facts:
        """What would have been read from such a request."""
        return Facts(
            fields={},
            model=self.model,
            stream=self.stream,
            max_output=None if self.max_tokens is None else int(self.max_tokens),
            choices=int(self.choices),
            needs=frozenset(self.needs) | ({"vision"} if self.images else frozenset[str]()),
            text_bytes=int(self.prompt_tokens) * BYTES_PER_TOKEN,
            images=int(self.images),
        )


def read_query(body: bytes | bytearray) -> Query:
    """The body of POST /gridtie/route. Raises ValueError that says what is wrong."""
    try:
        query = msgspec.json.decode(body or b"{}", type=Query)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(
            f"this does not describe a request: {error}; known: {', '.join(Query.__struct_fields__)}"
        ) from error
    if len(query.model) > MAX_MODEL_CHARACTERS:
        raise ValueError(f"model has {len(query.model)} characters, wanted at most {MAX_MODEL_CHARACTERS}")
    if unknown := sorted(set(query.needs) - NEEDS):
        raise ValueError(f"needs: {', '.join(unknown)[:80]} found, wanted any of {', '.join(sorted(NEEDS))}")
    for name, number, least, most in (
        ("prompt_tokens", query.prompt_tokens, 0, 2**31),
        ("images", query.images, 0, 10_000),
        ("choices", query.choices, 1, 128),
        ("max_tokens", query.max_tokens, 1, 2**31),
    ):
        if number is not None and not (least <= number <= most and float(number).is_integer()):
            raise ValueError(f"{name} is {number:g}, wanted a whole number from {least} to {most}")
    return query


def explain(info: RequestInfo, policy: Policy, snapshot: Snapshot) -> dict[str, Any]:
    """What would happen to the request right now, and why; nothing is sent and nothing is reserved."""
    return described(info, decide(info, policy, snapshot), policy, snapshot.holds_prefix)


def described(info: RequestInfo, plan: Plan, policy: Policy, holds_prefix: str = "") -> dict[str, Any]:
    """A decision as plain data; `policy` is what it was made by."""
    route = policy.route(info)
    return {
        "model": info.alias or policy.routing.defaults.alias,
        "environment": info.environment,
        "agent": info.agent,
        "tags": sorted(info.tags),
        "rule": plan.rule,
        # "" where a cloud may be used.
        "local_only": route.local_only,
        "max_cost": route.max_cost,
        "baseline": plan.baseline,
        # The target that holds the prefix of its session; "" where none is known.
        "holds_prefix": holds_prefix,
        "attempts": _attempts(plan),
        "timeouts": msgspec.to_builtins(plan.bounds.timeouts),
        "retries": msgspec.to_builtins(plan.bounds.retries),
        # Of those two what an alias or a rule says: setting -> whose it is.
        "set_by": dict(plan.bounds.whose),
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
            "rank": attempt.rank,
            "max_wait": attempt.max_wait,
            "first_token": attempt.first_token,
            "reserve_usd": attempt.reserve_usd,
            "budgets": list(attempt.budgets),
            "output_limit": attempt.output_limit,
        }
        for attempt in plan.attempts
    ]
