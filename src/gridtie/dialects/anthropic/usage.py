"""Usage as Anthropic counts it: cached tokens stand beside the input tokens, not among them."""

from __future__ import annotations

from typing import Any

from gridtie.dialects.openai_chat.usage import CompletionDetails, PromptDetails, WireUsage, plausible

_COUNTS = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


class Counts:
    """The counts of one answer. Those in a stream are cumulative: a later one replaces an earlier one."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._reasoning: int | None = None
        self._odd = False

    def update(self, usage: Any) -> None:
        """Take what a `usage` object holds, whatever its fields are; a missing one changes nothing."""
        if not isinstance(usage, dict):
            self._odd = self._odd or usage is not None
            return
        for name in _COUNTS:
            value = usage.get(name)
            count = plausible(value)
            if count is not None:
                self._known[name] = count
            # A count that is no integer, or none that an answer can have.
            self._odd = self._odd or (value is not None and (count is None or isinstance(value, float)))
        details = usage.get("output_tokens_details")
        if isinstance(details, dict):
            self._reasoning = plausible(details.get("thinking_tokens"))

    def wire(self, *, broken_off: bool) -> WireUsage | None:
        """As OpenAI counts. Of an answer that was broken off, what was counted so far says little about its length."""
        if not self._known and not self._odd:
            return None
        fresh = self._known.get("input_tokens")
        written = self._known.get("cache_creation_input_tokens", 0)
        cached = self._known.get("cache_read_input_tokens", 0)
        return WireUsage(
            prompt_tokens=None if fresh is None else fresh + written + cached,
            completion_tokens=None if broken_off else self._known.get("output_tokens"),
            prompt_tokens_details=PromptDetails(cached, written),
            completion_tokens_details=CompletionDetails(self._reasoning),
            odd=self._odd,
        )

    @property
    def output(self) -> int:
        """Tokens counted so far."""
        return self._known.get("output_tokens", 0)
