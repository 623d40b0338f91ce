"""The routing file as types: frozen, strict, without any I/O.

`config/load.py` turns a file into `Routing` and names file, line and key in every error;
`config/checks.py` holds what a type cannot say (names that must exist, numbers that must be positive).
"""

from __future__ import annotations

from typing import Literal

import msgspec

Locality = Literal["local", "cloud"]
ProviderType = Literal["station", "pool", "openai", "anthropic", "ollama"]
OutputLimitField = Literal["max_tokens", "max_completion_tokens"]
Preference = Literal["better", "always", "never"]


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A mapping of the routing file: no unknown keys, no change after loading."""


class Price(Struct, frozen=True):
    """US dollars per million tokens; overrides the price snapshot for one model."""

    input: float
    output: float
    cached_input: float | None = None


class Provider(Struct, frozen=True):
    """Somewhere that models are served.

    `station` is what the playbook provisioned on this machine, `pool` the routers of the machines that the
    inventory put beside it (both are read from station.json); the other types name a wire dialect and need
    `base_url`.
    """

    type: ProviderType
    # OpenAI-compatible: with /v1. Anthropic and Ollama: without a path.
    base_url: str | None = None
    # A provider with no declared locality counts as cloud: a prompt never leaves by omission.
    # (A station and its pool are local by nature; the loader sets it.)
    locality: Locality = "cloud"
    # A file that holds the key and nothing else; relative to the routing file's directory.
    key_file: str | None = None
    # Concurrent requests over all models of this provider; None: no limit here.
    max_in_flight: int | None = None
    # Some endpoints reject `stream_options`: then usage is estimated, and flagged as an estimate.
    include_usage: bool = True
    # PEM file of a private certificate authority; None: the machine's own list.
    ca_file: str | None = None
    # Of a pool: whether its models stand before the station's own in `local`. `better`: those that are better, by
    # coding score, else by size.
    prefer: Preference | None = None
    # Of a pool: whether requests tagged `private` may go there. They stay on this machine by omission.
    private: bool | None = None
    # The field that a limit on the answer goes into; None: max_completion_tokens at OpenAI and Azure, else max_tokens.
    output_limit_field: OutputLimitField | None = None
    # Model name -> price; wins over the price snapshot.
    prices: dict[str, Price] = {}


class CloudModel(Struct, frozen=True):
    provider: str
    model: str


class Model(Struct, frozen=True):
    """An alias: the name applications ask for.

    `local` is `auto` (the station's best model for `purpose`), a model of the station by its name
    (`gridtie/smollm2:135m`, `smollm2:135m` or just `smollm2`), `provider/model` of another local
    provider, or a list of such names in order of preference. `floor` is the least coding score
    (aider edit, percent) that a local model needs where a rule lets it stand in for the cloud,
    that is, where `use` names a cloud before it.
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
    """`use` holds `local`, `cloud` or `provider/model`, in order; the first rule that matches gives it.

    `never` and `max_cost` hold from every rule that matches: a header that brings another rule to
    the front can tighten what holds for a request, and never loosen it.
    """

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
    # A whole (unstreamed) answer that is passed on; None: as long as `total`.
    whole: float | None = None


class Limits(Struct, frozen=True):
    """What one client and one request may take. Sizes in bytes, times in seconds."""

    max_body_bytes: int = 16 * 1024 * 1024
    max_header_bytes: int = 32 * 1024
    max_headers: int = 100
    header_timeout: float = 10.0
    max_connections: int = 1024
    # Bytes that all clients together can make the router hold; one key has at most half.
    held_bytes: int = 128 * 1024 * 1024
    # Tokens of an answer, where money is limited and the client names no limit.
    output_tokens: int = 8192
    # Upstream attempts over one request, the first included.
    attempts: int = 4


class Defaults(Struct, frozen=True):
    """What holds where a request or an alias says nothing."""

    # For a request that names no model.
    alias: str = "coder"
    environment: str = "dev"
    # `provider/model` in the price snapshot.
    baseline: str = "openai/gpt-5.4-mini"
    # Names beside 127.0.0.1, localhost and [::1] that a request's Host may say.
    allowed_hosts: list[str] = []
    # Origins beside our own pages that may ask, such as `app://obsidian.md` or `vscode-file://vscode-app`.
    allowed_origins: list[str] = []


class Routing(Struct, frozen=True):
    """The whole routing file."""

    version: Literal[1]
    providers: dict[str, Provider]
    models: dict[str, Model]
    rules: list[Rule]
    # Every environment there is: a name that is not among them is a typing error, not a new one.
    environments: tuple[str, ...] = ("dev", "test", "ci", "production")
    budgets: list[Budget] = []
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()
    defaults: Defaults = Defaults()
