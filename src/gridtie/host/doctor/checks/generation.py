"""Real generation through the router, and where traffic goes."""

from __future__ import annotations

import json
from typing import Any

from gridtie.host.doctor.check import Check, Finding, bad, good
from gridtie.host.doctor.look import Look
from gridtie.host.router import Answer

_ENVIRONMENTS = ("dev", "test", "ci", "production")

# The grammar leaves two whole answers. Where it has to choose, the smoke-test model gives the right one 190 times the
# probability of the wrong one (-0.95 against -6.2 nats, the same on both engines).
_QUESTION = "What is the capital of France?"
_RIGHT, _WRONG = "Paris", "Tokyo"
_SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string", "enum": [_WRONG, _RIGHT]}},
    "required": ["answer"],
    "additionalProperties": False,
}


def deterministic(look: Look) -> Finding:
    wanted = "the same text twice"
    texts = []
    for answer in look.greedy:
        if answer.status != 200:
            return bad(_said(answer), wanted, _both_logs(look))
        texts.append(_content(answer))
    if not texts[0].strip():
        return bad("an empty answer", wanted, f"see the engine's log (`{look.log}`)")
    if texts[0] != texts[1]:
        return bad(f"{texts[0]!r}, then {texts[1]!r}", wanted, f"see `{look.log}`; `make site` puts its settings back")
    return good(f"{texts[0].strip()[:60]!r}, twice", wanted)


def constrained(look: Look) -> Finding:
    body: dict[str, Any] = {
        "messages": [{"role": "user", "content": _QUESTION}],
        "max_tokens": 24,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "capital", "strict": True, "schema": _SCHEMA},
        },
    }
    answer = look.chat(body)
    wanted = json.dumps({"answer": _RIGHT})
    if answer.status != 200:
        return bad(_said(answer), wanted, _both_logs(look))
    try:
        found = json.loads(_content(answer))
    except ValueError:
        return bad(_content(answer)[:200], wanted, f"the engine ignores the schema: see `{look.log}`")
    if found != {"answer": _RIGHT}:
        return bad(
            json.dumps(found), wanted, f"it computes wrong answers: see `{look.log}`, run `gridtie doctor --deep`"
        )
    return good(json.dumps(found), wanted)


def local(look: Look) -> Finding:
    headers = look.greedy[0].headers
    found = (
        f"{headers.get('x-gridtie-target')} ({headers.get('x-gridtie-locality')}), rule {headers.get('x-gridtie-rule')}"
    )
    wanted = f"{look.smoke_test_model()['name']} (local)"
    served = headers.get("x-gridtie-target", "").partition("/")[2]
    if headers.get("x-gridtie-locality") != "local" or served != look.smoke_test_model()["name"]:
        return bad(
            found, wanted, "look at the rules of llm_routing.yaml with `gridtie route explain --environment dev`"
        )
    return good(found, wanted)


def private(look: Look) -> Finding:
    wanted = "no cloud among the targets of private requests, in any environment"
    leaks, seen = [], []
    for environment in _ENVIRONMENTS:
        answer = look.post("/gridtie/route", {"environment": environment, "tags": ["private"]})
        if answer.status != 200:
            return bad(f"{environment}: {answer.status}: {answer.error()[1]}", wanted, f"see `{look.router_log}`")
        plan = answer.json()
        targets = [attempt["target"] for attempt in plan["attempts"] if attempt["locality"] != "local"]
        leaks += [f"{environment}: {target}" for target in targets]
        if not plan["local_only"]:
            leaks.append(f"{environment}: rule {plan['rule']} may choose a cloud later")
        seen.append(environment)
    if leaks:
        return bad("; ".join(leaks), wanted, "put `never: cloud` into the rule for tag private in llm_routing.yaml")
    return good(f"{', '.join(seen)}: local only, else refused", wanted)


def _content(answer: Answer) -> str:
    return str(answer.json()["choices"][0]["message"]["content"] or "")


def _both_logs(look: Look) -> str:
    return f"see the logs of both: `{look.router_log}`, `{look.log}`"


def _said(answer: Answer) -> str:
    return f"status {answer.status}: {answer.error()[1]}"


CHECKS = (
    Check("engine.deterministic", "the engine generates, the same twice", deterministic, needs=("router.key",)),
    Check(
        "engine.constrained", "a question held to a schema gets the right answer", constrained, needs=("router.key",)
    ),
    Check("route.dev", "development traffic is answered here", local, needs=("engine.deterministic",)),
    Check("route.private", "private traffic has no way to a cloud", private, needs=("router.key",)),
)
