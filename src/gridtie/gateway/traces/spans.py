"""The spans of one request: a server's for the whole, one below it for each attempt. Pure.

Names are those of OpenTelemetry's conventions for HTTP and for generative AI (semantic-conventions-genai 0.1.0); what
they have no name for begins with `gridtie.`. No text of prompts or answers, no key and no name of one: errors are in
the words of the ledger's row.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gridtie.config import address
from gridtie.gateway.traces.prompt import messages
from gridtie.gateway.traces.trace import Finished, Leg
from gridtie.ledger.entry import Entry, bounded
from gridtie.providers.target import Target

Value = str | bool | int | float | list[str]

# Of the dialects; all others are chats.
_OPERATIONS = {
    "openai-completions": "text_completion",
    "ollama-generate": "text_completion",
    "ollama-fill": "text_completion",
    "openai-embeddings": "embeddings",
    "openai-embeddings-base64": "embeddings",
    "ollama-embed": "embeddings",
    "ollama-embeddings": "embeddings",
}
# As the conventions call those that speak OpenAI's dialect at these hosts.
_PROVIDERS = {
    "api.openai.com": "openai",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "x_ai",
    "generativelanguage.googleapis.com": "gcp.gemini",
}
# Of an attempt: what is no failure of its target's.
_NO_FAILURE = frozenset({"ok", "skipped", "cancelled"})
_SECOND = 1_000_000_000


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """One span; times are Unix time in nanoseconds. `error`: why it failed, None where it did not."""

    name: str
    kind: Literal["server", "client", "internal"]
    span_id: int
    start: int
    end: int
    attributes: dict[str, Value]
    error: str | None = None


def spans(finished: Finished) -> list[Span]:
    """The request's own span first, and its attempts in order: they are its children."""
    entry = bounded(finished.entry)
    legs = finished.trace.legs
    return [_request(finished, entry), *(_attempt(finished, entry, leg, last=leg is legs[-1]) for leg in legs)]


def _request(finished: Finished, entry: Entry) -> Span:
    trace, outcome = finished.trace, finished.outcome
    method, _, path = trace.route.partition(" ")
    planned = outcome.planned
    # What a client did wrong is no error of a server's, by the conventions for HTTP.
    failed = bool(entry.code) and (entry.status >= 500 or outcome.committed)
    attributes = _known(
        {
            "http.request.method": method,
            "http.route": path,
            "http.response.status_code": entry.status,
            "gridtie.request.id": entry.id,
            "gridtie.outcome": _result(finished),
            "gridtie.surface": entry.surface,
            "gridtie.environment": entry.environment,
            "gridtie.agent": entry.agent,
            "gridtie.tags": list(entry.tags),
            "gridtie.purpose": entry.purpose,
            "gridtie.rule": entry.rule,
            "gridtie.reason": planned.reason if planned is not None and entry.target else None,
            "gridtie.skipped": [f"{skip.target}: {skip.reason}" for skip in outcome.plan.skipped],
            "gridtie.target": entry.target,
            "gridtie.locality": entry.locality,
            "gridtie.attempts": outcome.attempts,
            "gridtie.waited_seconds": entry.waited or None,
            "gridtie.cost_usd": entry.cost_usd,
            "gridtie.baseline_usd": entry.baseline_usd,
            "gen_ai.request.model": entry.asked,
            "gridtie.code": entry.code,
            "gridtie.error": entry.error,
            "error.type": entry.code if failed else None,
        }
    )
    return Span(
        name=trace.route,
        kind="server",
        span_id=trace.span_id,
        start=_unix(finished, outcome.started),
        end=_unix(finished, outcome.started + entry.duration),
        attributes=attributes,
        error=entry.error if failed else None,
    )


def _attempt(finished: Finished, entry: Entry, leg: Leg, *, last: bool) -> Span:
    target, tried = leg.planned.target, leg.tried
    operation = _OPERATIONS.get(finished.trace.dialect, "chat")
    failed = tried.outcome not in _NO_FAILURE
    attributes: dict[str, Value] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": _provider(target),
        "gen_ai.request.model": target.model,
        "gridtie.target": target.id,
        "gridtie.locality": target.locality,
        "gridtie.reason": leg.planned.reason,
        "gridtie.outcome": tried.outcome,
        **_asked(finished, leg),
        **_place(target),
        **(_answer(finished, entry, leg) if last and entry.target == target.id else {}),
        **({"error.type": tried.outcome} if failed else {}),
        **({"gridtie.error": tried.message} if tried.message else {}),
    }
    return Span(
        name=f"{operation} {target.model}",
        kind="client" if leg.sent else "internal",
        span_id=leg.span_id,
        start=_unix(finished, leg.started),
        end=_unix(finished, leg.started + tried.duration),
        attributes=attributes,
        error=tried.message if failed else None,
    )


def _asked(finished: Finished, leg: Leg) -> dict[str, Value]:
    info = finished.outcome.info
    limit = info.max_output if leg.planned.output_limit is None else leg.planned.output_limit
    return _known(
        {
            "gen_ai.request.stream": info.stream,
            "gen_ai.request.max_tokens": limit,
            "gen_ai.request.choice.count": info.choices if info.choices != 1 else None,
        }
    )


def _answer(finished: Finished, entry: Entry, leg: Leg) -> dict[str, Value]:
    """What the target made of it, and, where a person allows it, of what."""
    outcome, facts = finished.outcome, finished.trace.facts
    first = None if entry.first_token is None or not entry.stream else outcome.started + entry.first_token
    return _known(
        {
            "gen_ai.response.time_to_first_chunk": None if first is None else first - leg.started,
            "gen_ai.usage.input_tokens": entry.input_tokens,
            "gen_ai.usage.output_tokens": entry.output_tokens,
            "gen_ai.usage.cache_read.input_tokens": entry.cached_tokens or None,
            "gen_ai.usage.cache_write.input_tokens": entry.cache_write_tokens or None,
            "gen_ai.usage.reasoning.output_tokens": entry.reasoning_tokens or None,
            "gridtie.usage.estimated": entry.estimated or None,
            "gen_ai.input.messages": None if facts is None else messages(facts),
        }
    )


def _place(target: Target) -> dict[str, Value]:
    try:
        found = address.read(target.base_url)
    except ValueError:
        return {}
    return {"server.address": found.host, "server.port": found.port}


def _provider(target: Target) -> str:
    """As the conventions call it; else the engine, or the provider's name in the routing file."""
    if target.dialect == "anthropic":
        return "anthropic"
    host = _place(target).get("server.address", "")
    return _PROVIDERS.get(str(host)) or target.engine or target.provider


def _result(finished: Finished) -> str:
    outcome, entry = finished.outcome, finished.entry
    if outcome.gone:
        return "cancelled"
    if entry.complete:
        return "ok"
    return "failed" if outcome.refusal is None else "refused"


def _unix(finished: Finished, monotonic: float) -> int:
    outcome = finished.outcome
    return int((outcome.time + (monotonic - outcome.started)) * _SECOND)


def _known(attributes: dict[str, Value | None]) -> dict[str, Value]:
    """Without those of which nothing is known."""
    return {name: value for name, value in attributes.items() if value is not None and value != "" and value != []}
