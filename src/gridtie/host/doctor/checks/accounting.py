"""The ledger has what the doctor itself just asked."""

from __future__ import annotations

from gridtie.host.doctor.check import Check, Finding, bad, good
from gridtie.host.doctor.look import Look


def metered(look: Look) -> Finding:
    answered = look.greedy[0]
    id = answered.headers.get("x-gridtie-request-id", "")
    wanted = "the row of the request that was just answered, with its tokens"
    if not id:
        return bad("no x-gridtie-request-id in the answer", wanted, "see the router's log")
    answer = look.get(f"/gridtie/requests/{id}")
    if answer.status != 200:
        return bad(f"request {id}: {answer.status}: {answer.error()[1]}", wanted, "see the router's log")
    row = answer.json()
    tokens = (row.get("input_tokens", 0), row.get("output_tokens", 0))
    found = f"request {id}: {tokens[0]} tokens in, {tokens[1]} out, cost {row.get('cost_usd')} USD"
    stated = answered.json()["usage"]
    if min(tokens) < 1 or tokens != (stated["prompt_tokens"], stated["completion_tokens"]):
        return bad(
            found,
            f"{stated['prompt_tokens']} in, {stated['completion_tokens']} out, as answered",
            "see the router's log",
        )
    return good(found, wanted)


CHECKS = (Check("ledger.row", "the doctor's own request is in the ledger", metered, needs=("engine.deterministic",)),)
