"""Why nothing is tried, in the caller's terms: what was asked, what stands in the way, what to do."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from gridtie.config.names import PRIVATE
from gridtie.config.problems import listed
from gridtie.providers.target import Target
from gridtie.routing.plan import Refusal, RequestInfo, Skip, SkipCode

__all__ = [
    "ALL_BUSY",
    "INTERNAL",
    "OVERLOADED",
    "RETRY_SOON",
    "SkipCode",
    "barred",
    "cannot",
    "environment_not_allowed",
    "key_too_fast",
    "malformed",
    "model_not_allowed",
    "no_rule",
    "nothing_left",
    "paused",
    "too_much_for_key",
    "unknown_model",
]

# Seconds to wait where nobody said how long: about as long as a short answer takes, so that a busy slot may be free,
# a stopped engine has been looked at again and there may be room for another request.
RETRY_SOON = 2

# A fault of ours. The client's SDK may try again: another request may go another way.
INTERNAL = Refusal(
    status=500, code="internal_error", message="the router failed; its log says why", retry_after=RETRY_SOON
)
OVERLOADED = Refusal(
    status=503,
    code="overloaded",
    message="the router holds as much as it may for its clients, or for this key (limits.held_bytes); "
    "send it again when fewer large requests are under way",
    retry_after=RETRY_SOON,
)
ALL_BUSY = Refusal(
    status=503, code="busy", message="every target is busy, or its budget is used up", retry_after=RETRY_SOON
)


def cannot(target: str, what: str) -> Refusal:
    """A request that no target can be told, this one being the last that was tried."""
    return Refusal(status=400, code="capability_missing", message=f"{target}: {what}")


def malformed(what: str) -> Refusal:
    """A request that is wrong whoever should answer it."""
    return Refusal(status=400, code="invalid_request", message=what)


def barred(info: RequestInfo, target: Target) -> str:
    """Why a request must not go to a target whatever the rules say; "" where it may."""
    if info.relayed and not target.own:
        return "another station's router may ask for this station's own engine only"
    if PRIVATE in info.tags and not target.private:
        return f"the request is tagged {PRIVATE}, and the pool is not declared for that (private: true at its provider)"
    return ""


def paused(skipped: Sequence[Skip]) -> Refusal | None:
    """The first to be asked again of those that wanted a pause before this request came; None where none did."""
    limited = [(skip.retry_after or RETRY_SOON, skip) for skip in skipped if skip.code == "limited"]
    if not limited:
        return None
    seconds, skip = min(limited, key=lambda each: each[0])
    return Refusal(
        status=429, code="rate_limited", message=f"{skip.target}: {skip.reason}", retry_after=math.ceil(seconds)
    )


def unknown_model(name: str, names: Sequence[str], closest: Callable[[str, Iterable[str]], str]) -> Refusal:
    hint = closest(name, names)
    message = f'there is no model "{name}" here{"; " + hint if hint else ""}; ask for one of: {listed(names)}'
    return Refusal(status=404, code="model_not_found", message=message)


def no_rule(environment: str, name: str) -> Refusal:
    message = (
        f'no rule of llm_routing.yaml matches a request for "{name}" in the environment "{environment}"; '
        "add one, or ask in another environment (header x-gridtie-environment)"
    )
    return Refusal(status=403, code="no_rule", message=message)


def environment_not_allowed(key: str, asked: str, allowed: Iterable[str]) -> Refusal:
    message = (
        f'the key "{key}" may not be used in the environment "{asked}"; allowed: {listed(allowed)}. '
        "Send one of these in x-gridtie-environment or leave the header out. "
        f"{_raised(key, 'environment NAME')}, once for each"
    )
    return Refusal(status=403, code="environment_not_allowed", message=message)


def model_not_allowed(key: str, name: str, allowed: Sequence[str]) -> Refusal:
    message = (
        f'the key "{key}" may not ask for "{name}"; allowed: {listed(allowed) or "none of the names of this router"}. '
        f"{_raised(key, 'model NAME')}, once for each"
    )
    return Refusal(status=403, code="model_not_allowed", message=message)


def key_too_fast(key: str, limit: int, of: str, wait: float) -> Refusal:
    """A key that has taken what it may in a minute; `of` are requests or tokens, `wait` is in seconds."""
    seconds = max(1, math.ceil(wait))
    message = (
        f'the key "{key}" may take {limit:,} {of} a minute, and has too little left for this: retry in {seconds} s. '
        f"{_raised(key, f'{of}-per-minute N')}"
    )
    return Refusal(status=429, code="rate_limit_exceeded", message=message, retry_after=seconds)


def too_much_for_key(key: str, limit: int, tokens: int) -> Refusal:
    """A prompt that is larger than all that a key may take in a minute: waiting does not help."""
    message = (
        f'the key "{key}" may take {limit:,} tokens a minute, and this prompt alone has about {tokens:,}: send less. '
        f"{_raised(key, 'tokens-per-minute N')}"
    )
    return Refusal(status=429, code="rate_limit_exceeded", message=message)


def _raised(key: str, option: str) -> str:
    return f"Who runs the station can change that: sudo gridtie keys edit {key} --{option}"


def nothing_left(alias: str, skipped: Sequence[Skip], local_only: str, retry_after: int = RETRY_SOON) -> Refusal:
    """Everything that a rule names was left out: the refusal that helps most.

    What passes by itself comes first, since waiting is all it takes; then what the caller can change,
    then what only the configuration can.
    """
    codes = {skip.code for skip in skipped}
    status, code, advice, passing = _verdict(codes, local_only, retry_after)
    why = "; ".join(f"{skip.target}: {skip.reason}" for skip in skipped)
    limit = f" It may not leave for a cloud: {local_only}." if local_only else ""
    return Refusal(
        status=status,
        code=code,
        message=f'no model can take this request for "{alias}": {why}.{limit} {advice}',
        retry_after=retry_after if passing else None,
    )


def _verdict(codes: set[SkipCode], local_only: str, retry_after: int) -> tuple[int, str, str, bool]:
    """Status, code, what to do, and whether it passes by itself."""
    if "busy" in codes and not codes & {"unready", "failing"}:
        return 429, "busy", f"Retry in {retry_after} s.", True
    if "limited" in codes and not codes & {"unready", "failing"}:
        return 429, "rate_limited", f"The provider asked for a pause; retry in {retry_after} s.", True
    if codes & {"unready", "failing", "busy", "limited"}:
        code = "no_local_ready" if local_only else "no_target_ready"
        return 503, code, _advice(codes, retry_after), True
    if "budget" in codes:
        advice = (
            "`gridtie usage` shows the spending; budgets are in llm_routing.yaml, those of a key in `gridtie keys`."
        )
        return 402, "budget_exhausted", advice, False
    if "price" in codes:
        advice = "Ask for fewer tokens (max_tokens), or change max_cost or prices in llm_routing.yaml."
        return 402, "too_expensive", advice, False
    if "misconfigured" in codes:
        advice = "The provider's key (key_file) or model name in llm_routing.yaml has to be mended."
        return 503, "target_misconfigured", advice, False
    if "capability" in codes:
        return 400, "capability_missing", "Ask for a model that can (GET /v1/models lists them).", False
    if "drained" in codes:
        return 503, "no_target", "Give it a weight above 0 in llm_routing.yaml.", False
    if local_only:
        advice = "Provision a local model for it (`ansible-playbook site.yml`) or change its rule."
        return 403, "local_only", advice, False
    advice = "Configure a cloud in llm_routing.yaml, or provision a local model that will do."
    return 503, "no_target", advice, False


def _advice(codes: set[SkipCode], retry_after: int) -> str:
    doctor = "; `gridtie doctor` says what is wrong with the engine" if "unready" in codes else ""
    return f"Retry in {retry_after} s{doctor}."
