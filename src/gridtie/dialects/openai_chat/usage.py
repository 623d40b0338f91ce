"""Usage as OpenAI's wire format writes it, read and written.

A count that is missing or makes no sense (text, negative, larger than any model) is replaced by an estimate and
flagged: an answer is never lost over its bill.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.types import Usage

# More tokens than any answer or prompt has (the largest context that is offered has 10 million): no count.
_MOST = 100_000_000


class PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class CompletionDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class WireUsage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    # Whether any of it had to be guessed at.
    odd: bool = False


_Count = Annotated[int, msgspec.Meta(gt=0, le=_MOST)]


class SoundUsage(msgspec.Struct):
    """Usage with two counts that make sense and details that do, as nearly every server reports it."""

    prompt_tokens: _Count
    completion_tokens: _Count
    total_tokens: int = 0
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None

    def read(self) -> Usage:
        """What is metered."""
        input_tokens = self.prompt_tokens
        # Reasoning that is billed as output may stand in the sum alone (xAI, Google).
        output_tokens = max(self.completion_tokens, min(self.total_tokens, _MOST) - input_tokens)
        if self.prompt_tokens_details is None and self.completion_tokens_details is None:
            return Usage(input=input_tokens, output=output_tokens)
        details, answer = self.prompt_tokens_details, self.completion_tokens_details
        cached = _within(details.cached_tokens, input_tokens) if details else 0
        return Usage(
            input=input_tokens,
            output=output_tokens,
            cached=cached,
            cache_write=_within(details.cache_write_tokens, input_tokens - cached) if details else 0,
            reasoning=_within(answer.reasoning_tokens, output_tokens) if answer else 0,
        )


class _Timings(msgspec.Struct):
    cache_n: Any = None


class _Timed(msgspec.Struct):
    timings: _Timings | None = None


_wire = msgspec.json.Decoder(WireUsage | None)
_timed = msgspec.json.Decoder(_Timed)
_any = msgspec.json.Decoder()


def read(raw: msgspec.Raw, answer: bytes = b"") -> WireUsage | None:
    """Reported usage, whatever its fields hold; None where there is none. `answer` is what it stands in."""
    try:
        wire: WireUsage | None = _wire.decode(raw)
    except UNREADABLE:
        return _read_odd(raw)
    if wire is not None:
        # Ours, not upstream's to say.
        wire.odd = False
        if wire.prompt_tokens_details is None and times_cache(answer):
            wire.prompt_tokens_details = PromptDetails(_timed_cache(answer))
    return wire


def times_cache(answer: bytes) -> bool:
    """Whether an answer says beside its usage what came from a cache, as llama.cpp's builds of 2025 do.

    `tokens_cached`, which stands beside it in some, is no such count: it is what the slot holds after the answer.
    """
    # Quotes are escaped inside a JSON string: never part of a model's text.
    return b'"cache_n"' in answer


def _timed_cache(answer: bytes) -> int | None:
    try:
        timings = _timed.decode(answer).timings
    except UNREADABLE:
        return None
    return None if timings is None else plausible(timings.cache_n)


def from_wire(wire: WireUsage | None, prompt_estimate: int, output_estimate: int) -> Usage:
    """What is metered: the reported counts, each replaced by its estimate where it is missing or absurd."""
    if wire is None:
        return estimate(prompt_estimate, output_estimate)
    # No prompt has no tokens, and what was said has some: a zero there is a server that does not count.
    prompt = _count(wire.prompt_tokens) or None
    output = _count(wire.completion_tokens)
    if output == 0 and output_estimate > 0:
        output = None
    total = _count(wire.total_tokens)
    if prompt is None and output is not None and total is not None and total > output:
        prompt = total - output
    elif output is None and prompt is not None and total is not None and total > prompt:
        output = total - prompt
    elif prompt is not None and output is not None and total is not None and total > prompt + output:
        # Reasoning that is billed as output and stands in the sum alone (xAI, Google).
        output = total - prompt
    input_tokens = prompt_estimate if prompt is None else prompt
    output_tokens = output_estimate if output is None else output
    details, answer = wire.prompt_tokens_details, wire.completion_tokens_details
    cached = _within(details.cached_tokens, input_tokens) if details else 0
    return Usage(
        input=input_tokens,
        output=output_tokens,
        cached=cached,
        cache_write=_within(details.cache_write_tokens, input_tokens - cached) if details else 0,
        reasoning=_within(answer.reasoning_tokens, output_tokens) if answer else 0,
        estimated=prompt is None or output is None or wire.odd,
    )


def to_wire(usage: Usage) -> dict[str, object]:
    """The `usage` object that an OpenAI client reads."""
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def estimate(prompt_tokens: int, output_tokens: int) -> Usage:
    """What is metered where upstream reported nothing; flagged, so that reports can say so."""
    return Usage(input=prompt_tokens, output=output_tokens, estimated=True)


def plausible(value: object) -> int | None:
    """A count in any JSON type: `11.0` is 11, and what is no number of tokens is None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST:
        return None
    return int(value) if value == int(value) else None


def _read_odd(raw: msgspec.Raw) -> WireUsage | None:
    try:
        found = _any.decode(raw)
    except UNREADABLE:
        return None
    if not isinstance(found, dict):
        return None
    prompt, answer = _object(found, "prompt_tokens_details"), _object(found, "completion_tokens_details")
    return WireUsage(
        prompt_tokens=plausible(found.get("prompt_tokens")),
        completion_tokens=plausible(found.get("completion_tokens")),
        total_tokens=plausible(found.get("total_tokens")),
        prompt_tokens_details=PromptDetails(
            plausible(prompt.get("cached_tokens")), plausible(prompt.get("cache_write_tokens"))
        ),
        completion_tokens_details=CompletionDetails(plausible(answer.get("reasoning_tokens"))),
        odd=True,
    )


def _object(found: dict[str, Any], name: str) -> dict[str, Any]:
    value = found.get(name)
    return value if isinstance(value, dict) else {}


def _count(value: int | None) -> int | None:
    return value if value is not None and 0 <= value <= _MOST else None


def _within(value: int | None, most: int) -> int:
    return min(value, most) if value is not None and value > 0 else 0
