"""What differs between clouds that speak the same dialect."""

from __future__ import annotations

from gridtie.config import address
from gridtie.config.schema import LimitField, Provider


def limit_field(provider: Provider) -> LimitField:
    """The field of a request that an output limit is written into.

    OpenAI's newer models refuse `max_tokens` with a 400, and so does Azure, which serves the same; other servers may
    not know `max_completion_tokens`, and one that passes over it would not be limited at all.
    """
    if provider.output_limit_field is not None:
        return provider.output_limit_field
    host = address.read(provider.base_url).host.removesuffix(".") if provider.base_url else ""
    newer = host == "api.openai.com" or host.endswith(".openai.azure.com")
    return "max_completion_tokens" if newer else "max_tokens"
