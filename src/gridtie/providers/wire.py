"""Where a provider is asked, by its type: base URL, credentials, and the address that says how it is."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from gridtie.config import address
from gridtie.config.schema import LimitField, Provider, ProviderType

# The version of the Messages API that dialects/anthropic_request.py speaks; Anthropic requires the header.
ANTHROPIC_VERSION = "2026-10-21"

Headers = tuple[tuple[str, str], ...]


def auth_headers(type: ProviderType, key: str | None) -> Headers:
    """The headers that carry a provider's key. Raises ValueError for a key that fits no header."""
    if key is not None and (not key or not key.isascii() or not key.isprintable() or " " in key):
        raise ValueError("it does not hold one key (one line of printable characters without spaces)")
    if type == "anthropic":
        return (("anthropic-version", ANTHROPIC_VERSION), *((("x-api-key", key),) if key else ()))
    return (("authorization", f"Bearer {key}"),) if key else ()


def base_url(provider: Provider) -> str:
    """What request paths are appended to."""
    return (provider.base_url or "").rstrip("/")


def limit_field(provider: Provider) -> LimitField:
    """The field of a request that an output limit is written into.

    OpenAI's newer models refuse `max_tokens`, and so does Azure, which serves the same; other servers know it alone.
    """
    if provider.output_limit_field is not None:
        return provider.output_limit_field
    host = address.read(provider.base_url).host.removesuffix(".") if provider.base_url else ""
    newer = host == "api.openai.com" or host.endswith(".openai.azure.com")
    return "max_completion_tokens" if newer else "max_tokens"


def probe_url(provider: Provider) -> str:
    """What answers without inference whether a local provider is there; "" for clouds, which are never probed."""
    if provider.locality == "cloud":
        return ""
    if provider.type == "ollama":
        return f"{base_url(provider)}/api/ps"
    return f"{base_url(provider)}/models" if provider.type == "openai" else ""


def station_base_url(dialect: Literal["ollama", "openai"], url: str) -> str:
    """station.json names the engine; llama.cpp's server has its OpenAI surface below /v1."""
    return url.rstrip("/") + ("/v1" if dialect == "openai" else "")


def station_probe_url(dialect: Literal["ollama", "openai"], url: str) -> str:
    """Ollama lists what is in memory; llama.cpp's server says whether its model is."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" + ("/health" if dialect == "openai" else "/api/ps")
