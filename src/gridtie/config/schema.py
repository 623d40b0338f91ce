"""The routing file as types: frozen, strict, without any I/O.

`config/load.py` turns a file into `Routing` and names file, line and key in every error.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Locality = Literal["local", "cloud"]
ProviderType = Literal["station", "openai", "anthropic", "ollama"]


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A mapping of the routing file: no unknown keys, no change after loading."""


class Price(Struct, frozen=True):
    """US dollars per million tokens; overrides the price snapshot for one model."""

    input: float
    output: float
    cached_input: float | None = None


class Provider(Struct, frozen=True):
    """Somewhere that models are served.

    `station` is what the playbook provisioned on this machine (read from station.json);
    the other types name a wire dialect and need `base_url`.
    """

    type: ProviderType
    base_url: str | None = None
    # A provider with no declared locality counts as cloud: a prompt never leaves by omission.
    locality: Locality = "cloud"
    key_file: str | None = None
    max_in_flight: int | None = None
    # Some endpoints reject `stream_options`: then usage is estimated, and flagged as an estimate.
    include_usage: bool = True
    ca_file: str | None = None
    prices: dict[str, Price] = {}


class CloudModel(Struct, frozen=True):
    provider: str
    model: str


class Model(Struct, frozen=True):
    """An alias: the name applications ask for.

    `local` is `auto` (the station's best model for `purpose`), a model name, or a list in order of
    preference; `floor` is the least coding score (aider edit, percent) a local model needs to
    stand in for the cloud in production.
    """

    local: str | list[str] | None = "auto"
    purpose: str = "chat"
    cloud: CloudModel | None = None
    # `provider/model` in the price snapshot that the savings are measured against; None: the default's.
    baseline: str | None = None
    floor: float | None = None


class When(Struct, frozen=True):
    """All given conditions must hold; within one condition any of the values."""

    environment: list[str] | None = None
    tags: list[str] | None = None
    agent: list[str] | None = None
    alias: list[str] | None = None
    surface: list[str] | None = None
    # Estimated prompt tokens.
    larger_than: int | None = None
    smaller_than: int | None = None


class Rule(Struct, frozen=True):
    """First match wins. `use` holds `local`, `cloud` or `provider/model`, in order."""

    name: str
    use: list[str]
    when: When = When()
    never: Literal["cloud", "local"] | None = None
    # Seconds to wait for a busy local slot before the next target is tried; None: the request's total time.
    max_wait: float | None = None
    # US dollars that one request may cost at most, estimated before it is sent.
    max_cost: float | None = None


class Budget(Struct, frozen=True):
    """US dollars of cloud spend in a calendar period (UTC); None in `environment`/`key` means all."""

    name: str
    usd: float
    period: Literal["hour", "day", "month"] = "day"
    environment: str | None = None
    key: str | None = None


class Timeouts(Struct, frozen=True):
    """Seconds. `first_token_cold` holds where the model is not loaded yet."""

    connect: float = 2.0
    first_token: float = 60.0
    first_token_cold: float = 300.0
    between_tokens: float = 60.0
    total: float = 900.0


class Limits(Struct, frozen=True):
    max_body_bytes: int = 16 * 1024 * 1024
    max_header_bytes: int = 32 * 1024
    max_headers: int = 100
    header_timeout: float = 10.0
    max_connections: int = 1024
    attempts: int = 4


class Defaults(Struct, frozen=True):
    alias: str = "coder"
    environment: str = "dev"
    # `provider/model` in the price snapshot.
    baseline: str = "openai/gpt-5.4-mini"
    allowed_hosts: list[str] = []


class Routing(Struct, frozen=True):
    """The whole routing file."""

    version: Literal[1]
    providers: dict[str, Provider]
    models: dict[str, Model]
    rules: list[Rule]
    budgets: list[Budget] = []
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()
    defaults: Defaults = Defaults()
