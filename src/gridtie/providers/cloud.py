"""What differs between clouds that speak the same dialect."""

from __future__ import annotations

from urllib.parse import urlsplit

from gridtie.config.schema import OutputLimitField, Provider


def output_limit_field(provider: Provider) -> OutputLimitField:
    """Where a limit on the answer is written.

    OpenAI's newer models refuse `max_tokens` with a 400; other servers may not know `max_completion_tokens`, and one
    that passes over it would not be limited at all.
    """
    if provider.output_limit_field is not None:
        return provider.output_limit_field
    host = urlsplit(provider.base_url or "").hostname or ""
    is_openai = host == "api.openai.com" or host.endswith(".openai.azure.com")
    return "max_completion_tokens" if is_openai else "max_tokens"
