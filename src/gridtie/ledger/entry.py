"""One request's row: what the journal carries and the store keeps. No prompt or completion text."""

from __future__ import annotations

import msgspec


class Try(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One attempt at one target."""

    target: str
    locality: str
    outcome: str  # "ok", or a `Failed` value, or "cancelled", "skipped"
    # Seconds.
    duration: float = 0.0
    message: str = ""


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that is kept about one request. Times in seconds, money in US dollars."""

    id: str
    time: float  # Unix time of arrival
    key: str
    environment: str
    surface: str
    asked: str  # the alias or model name the client sent
    status: int
    agent: str | None = None
    tags: tuple[str, ...] = ()
    private: bool = False
    stream: bool = False
    rule: str = ""
    target: str | None = None  # None: nothing answered
    locality: str | None = None
    served: str | None = None
    tries: tuple[Try, ...] = ()
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    estimated: bool = False
    # False: the client left, or the answer broke off.
    complete: bool = True
    first_token: float | None = None
    duration: float = 0.0
    error: str = ""
    # None: no price is known for the target; never a silent zero.
    cost_usd: float | None = None
    baseline: str = ""
    baseline_usd: float | None = None
    price_date: str = ""
