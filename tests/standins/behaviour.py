"""What a stand-in cloud does with a request, as data: its answer, its faults, its pace."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any


@dataclass(frozen=True)
class ToolCall:
    """A call that the answer makes; `arguments` is a JSON object."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Refusal:
    """An error in the dialect's own envelope. `type` and `code` are the provider's words."""

    status: int
    type: str
    message: str
    code: str | int | None = None


@dataclass(frozen=True)
class Behaviour:
    """The default is a plain good answer."""

    text: str = "Hello from the stand-in cloud."
    # Say the text as it is, whatever form was asked for.
    exact: bool = False
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()
    # The dialect's own word for how the answer ended; None: what fits the content.
    finish: str | None = None
    refusal: Refusal | None = None
    # Response headers beside the usual ones.
    headers: dict[str, str] = field(default_factory=dict)
    # Seconds before anything is sent, and between two events of a stream.
    delay: float = 0.0
    pause: float = 0.0
    # Events of a stream after which the connection ends: with a reset, or as a well-formed HTTP message
    # whose stream has no end mark, or with an error event.
    cut_after: int | None = None
    cut: str = "reset"  # "reset", "end", "error"
    # "as asked" is the real behaviour; "null" sends `usage: null` in every frame and no usage; "missing" none at all.
    usage: str = "as asked"
    # Tokens of the prompt that were read from a cache.
    cached_tokens: int = 0
    # It works in turns, as `standins.agent` says: calls, and after their results what those were.
    agent: bool = False
    # Bytes that are sent in place of an answer, with status 200.
    junk: bytes | None = None


HUGE = " ".join(f"word{number}" for number in range(5_000))

# By the model name that a test asks for; any other name gets a plain good answer.
BY_MODEL: dict[str, Behaviour] = {
    "standin-busy": Behaviour(
        refusal=Refusal(429, "rate_limit", "Rate limit reached for requests. Please try again in 7s."),
        headers={"retry-after": "7"},
    ),
    "standin-overloaded": Behaviour(refusal=Refusal(529, "overloaded", "Overloaded")),
    "standin-broken": Behaviour(refusal=Refusal(500, "server", "The server had an error while processing.")),
    "standin-unauthorized": Behaviour(refusal=Refusal(401, "authentication", "Incorrect API key provided.")),
    "standin-missing": Behaviour(refusal=Refusal(404, "not_found", "The model `standin-missing` does not exist.")),
    "standin-context": Behaviour(refusal=Refusal(400, "context", "")),
    "standin-invalid": Behaviour(refusal=Refusal(400, "invalid", "Invalid value for 'messages'.")),
    "standin-slow": Behaviour(delay=3.0),
    "standin-paced": Behaviour(pause=0.05),
    "standin-spoken": Behaviour(delay=0.3, pause=0.05),
    "standin-silent": Behaviour(delay=3600.0),
    "standin-cut": Behaviour(cut_after=4),
    "standin-cut-at-once": Behaviour(cut_after=0),
    "standin-cut-before-content": Behaviour(cut_after=1),
    "standin-unended": Behaviour(cut_after=4, cut="end"),
    "standin-error-in-stream": Behaviour(cut_after=4, cut="error"),
    "standin-usage-null": Behaviour(usage="null"),
    "standin-usage-missing": Behaviour(usage="missing"),
    "standin-cached": Behaviour(cached_tokens=16),
    "standin-tools": Behaviour(
        text="", calls=(ToolCall("add", {"a": 2, "b": 3}), ToolCall("now")),
    ),
    "standin-agent": Behaviour(agent=True),
    "standin-reasoning": Behaviour(reasoning="The user greets."),
    "standin-length": Behaviour(finish="length"),
    "standin-huge": Behaviour(text=HUGE),
    "standin-junk": Behaviour(junk=b"<html><body>captive portal</body></html>"),
}  # fmt: skip


def from_json(mapping: dict[str, Any]) -> Behaviour:
    """A behaviour from its JSON form; fields that are left out keep their default."""
    known = {each.name for each in fields(Behaviour)}
    if unknown := mapping.keys() - known:
        raise ValueError(f"unknown fields {sorted(unknown)}; known are {sorted(known)}")
    made = Behaviour(**{key: value for key, value in mapping.items() if key not in ("calls", "refusal", "junk")})
    if mapping.get("refusal"):
        made = replace(made, refusal=Refusal(**mapping["refusal"]))
    if mapping.get("junk") is not None:
        made = replace(made, junk=mapping["junk"].encode())
    return replace(made, calls=tuple(ToolCall(**call) for call in mapping.get("calls", ())))
