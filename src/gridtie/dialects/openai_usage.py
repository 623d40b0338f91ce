"""Usage as OpenAI's wire format writes it, read and written."""

from __future__ import annotations

import msgspec

from gridtie.dialects.types import Usage

# English text and code run at about four bytes a token with every tokenizer in use.
BYTES_PER_TOKEN = 4


class PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class CompletionDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class WireUsage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


def from_wire(wire: WireUsage) -> Usage:
    """Reported usage; a count that is missing or null is zero."""
    prompt, completion = wire.prompt_tokens_details, wire.completion_tokens_details
    return Usage(
        input=wire.prompt_tokens or 0,
        output=wire.completion_tokens or 0,
        cached=(prompt.cached_tokens or 0) if prompt else 0,
        cache_write=(prompt.cache_write_tokens or 0) if prompt else 0,
        reasoning=(completion.reasoning_tokens or 0) if completion else 0,
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
