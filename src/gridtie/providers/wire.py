"""Where a provider is asked, by its type: base URL, credentials, and the address that says how it is."""

from __future__ import annotations

from gridtie.config.schema import Provider, ProviderType

# The version of the Messages API that dialects/anthropic/write.py speaks; Anthropic requires the header.
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


def probe_url(provider: Provider) -> str:
    """What answers without inference whether a local provider is there; "" for clouds, which are never probed."""
    if provider.locality == "cloud":
        return ""
    if provider.type == "ollama":
        return f"{base_url(provider)}/api/ps"
    return f"{base_url(provider)}/models" if provider.type == "openai" else ""
