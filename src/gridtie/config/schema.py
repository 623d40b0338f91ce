"""The routing file as types: frozen, strict, without any I/O.

`config/load.py` turns a file into `Routing` and names file, line and key in every error;
`config/checks.py` holds what a type cannot say (names that must exist, numbers that must be positive).
"""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

Locality = Literal["local", "cloud"]
ProviderType = Literal["station", "pool", "openai", "anthropic", "ollama"]
Preference = Literal["better", "always", "never"]
LimitField = Literal["max_tokens", "max_completion_tokens"]


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A mapping of the routing file: no unknown keys, no change after loading."""

    # Fields that the loader sets: no keys of the file.
    SET_BY_LOADER: ClassVar[frozenset[str]] = frozenset()


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
    # Of type openai: the field that an output limit is written into; None: what `providers.cloud.limit_field` says.
    output_limit_field: LimitField | None = None
    # PEM file of a private certificate authority; None: the machine's own list.
    ca_file: str | None = None
    # Of a pool: whether its models stand before the station's own in `local`. `better`: those that are better, by
    # coding score, else by size.
    prefer: Preference | None = None
    # Of a pool: whether requests tagged `private` may go there. They stay on this machine by omission.
    private: bool | None = None
    # Of a station: concurrent requests of other stations' routers, over all of its models; 0: it lends nothing. None:
    # as many as its own people may send.
    max_relayed: int | None = None
    # Model name -> price; wins over the price snapshot.
    prices: dict[str, Price] = {}


class OwnTimeouts(Struct, frozen=True):
    """`Timeouts` of an alias or a rule; None: what holds without it."""

    connect: float | None = None
    first_token: float | None = None
    first_token_cold: float | None = None
    between_tokens: float | None = None
    total: float | None = None
    whole: float | None = None


class OwnRetries(Struct, frozen=True):
    """`Retries` of an alias or a rule; None: what holds without it."""

    count: int | None = None
    backoff: float | None = None
    max_backoff: float | None = None


class LocalModel(Struct, frozen=True):
    """A local model by a name that `Model.local` takes."""

    model: str
    # Its part of the requests, beside its neighbours in the list that have one; 0: it gets none. None: a place of
    # its own.
    weight: int | None = None


class CloudModel(Struct, frozen=True):
    provider: str
    model: str
    # As that of a local model.
    weight: int | None = None


class Model(Struct, frozen=True):
    """An alias: the name applications ask for.

    `local` is `auto` (the station's best model for `purpose`), a model of the station by its name
    (`gridtie/smollm2:135m`, `smollm2:135m` or just `smollm2`), `provider/model` of another local
    provider, or a list of such names in order of preference; `cloud` is one or a list likewise.
    `min_score` is the least coding score (aider edit, percent) that a local model needs as a
    fallback for a cloud, that is, where a rule's `use` names a cloud before it. `floor` is its name
    before 1.1.0; one of them at most is set.
    """

    SET_BY_LOADER: ClassVar[frozenset[str]] = frozenset({"written"})

    local: str | LocalModel | list[str | LocalModel] | None = "auto"
    purpose: str = "chat"
    cloud: CloudModel | list[CloudModel] | None = None
    # `provider/model` in the price snapshot that the savings are measured against; None: the default's.
    baseline: str | None = None
    min_score: float | None = None
    floor: float | None = None
    timeouts: OwnTimeouts = OwnTimeouts()
    retries: OwnRetries = OwnRetries()
    # The alias as the file spells it, for lists and messages; its key in `Routing.models` is canonical.
    written: str = ""

    def local_models(self) -> list[LocalModel]:
        """Every local model, in order of preference."""
        named = self.local if isinstance(self.local, list) else [] if self.local is None else [self.local]
        return [LocalModel(model=each) if isinstance(each, str) else each for each in named]

    def least_score(self) -> float | None:
        """By whichever of its names it is set."""
        return self.floor if self.min_score is None else self.min_score

    def cloud_models(self) -> list[CloudModel]:
        """Every cloud, in order of preference."""
        return self.cloud if isinstance(self.cloud, list) else [] if self.cloud is None else [self.cloud]


class When(Struct, frozen=True):
    """All given conditions must hold; within one condition any of the values.

    After loading, environments, tags, agents and aliases are in canonical form (`config/names.py`).
    """

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

    `never` and `max_cost` hold from every rule that matches: a header that makes another rule the
    first can tighten what holds for a request, and never loosen it.
    """

    name: str
    use: list[str]
    when: When = When()
    never: Literal["cloud", "local"] | None = None
    # Seconds to wait for a busy local slot before the next target is tried; None: the request's total time.
    max_wait: float | None = None
    # US dollars that one request may cost at most, estimated before it is sent.
    max_cost: float | None = None
    # Before those of the alias, which stand before the file's.
    timeouts: OwnTimeouts = OwnTimeouts()
    retries: OwnRetries = OwnRetries()


class Budget(Struct, frozen=True):
    """US dollars of cloud spend in a calendar period (UTC); None in `environment`/`key` means all."""

    name: str
    usd: float
    period: Literal["hour", "day", "month"] = "day"
    environment: str | None = None
    key: str | None = None


# How the budgets of keys' own limits are called, so that none of a routing file has such a name.
KEY_BUDGETS = "keys.json/"


class KeyBudget(Budget, frozen=True):
    """A key's own limit, which is in keys.json: no mapping of the routing file."""


class Timeouts(Struct, frozen=True):
    """Seconds. `first_token_cold` holds where the model is not loaded yet."""

    connect: float = 2.0
    first_token: float = 60.0
    first_token_cold: float = 300.0
    between_tokens: float = 60.0
    total: float = 900.0
    # Until the first byte of a whole (unstreamed) answer that is passed on; None: `total`.
    whole: float | None = None


class Retries(Struct, frozen=True):
    """When a target is asked again before the next place is: `count` times a request, after `backoff` seconds.

    They double with each, up to `max_backoff`, the longest Retry-After that is waited for as well.
    """

    count: int = 0
    backoff: float = 0.5
    max_backoff: float = 8.0


class Limits(Struct, frozen=True):
    """What one client and one request may take. Sizes in bytes, times in seconds."""

    max_body_bytes: int = 16 * 1024 * 1024
    max_header_bytes: int = 32 * 1024
    max_headers: int = 100
    header_timeout: float = 10.0
    max_connections: int = 1024
    # What all clients together can make the router hold; one key at most half of it.
    held_bytes: int = 128 * 1024 * 1024
    # Written into a request as its output limit where money is limited and the client names none.
    output_tokens: int = 8192
    # Upstream attempts over one request, the first included.
    attempts: int = 4


class Responses(Struct, frozen=True):
    """Answers of `/v1/responses` that are kept, so that a later request may name one (`previous_response_id`).

    In memory alone, and gone with the process. One key holds at most half of the number and of the bytes.
    """

    keep: bool = False
    # Over all keys: answers, and bytes of the conversations that led to them.
    keep_entries: int = 1000
    keep_bytes: int = 32 * 1024 * 1024
    # Seconds.
    keep_seconds: float = 3600.0


class Traces(Struct, frozen=True):
    """What spans may say, where the router sends any (`GRIDTIE_TRACES_ENDPOINT`)."""

    # The text of prompts; never that of requests tagged private, nor of those of another station.
    prompts: bool = False


class Defaults(Struct, frozen=True):
    """What holds where a request or an alias says nothing."""

    # For a request that names no model.
    alias: str = "coder"
    environment: str = "dev"
    # `provider/model` in the price snapshot.
    baseline: str = "openai/gpt-5.4-mini"
    # Names beside 127.0.0.1, localhost and [::1] that a request's Host may say.
    allowed_hosts: list[str] = []
    # Origins of pages and applications, beside the router's own, that may ask: `app://obsidian.md`.
    allowed_origins: list[str] = []


class Electricity(Struct, frozen=True):
    """What a machine draws while it answers, and what a kilowatt-hour costs.

    The defaults are those of a workstation with one large card at a European household's price: of a smaller machine
    they say too much, so that a report on it promises too little. Round figures of ours, no measurement.
    """

    # Of one machine, at the plug, while it answers.
    watts: float = 300.0
    # While it does not; 0 where it would be switched on anyway.
    idle_watts: float = 0.0
    usd_per_kwh: float = 0.30


class Hardware(Struct, frozen=True):
    """What was bought for the models: written off in equal parts, down to what it will be sold for."""

    usd: float
    years: float = 4.0
    resale_usd: float = 0.0


class Costs(Struct, frozen=True):
    """What `gridtie report` counts beside tokens. No decision about a request looks at it."""

    # None: the defaults, which the report then calls assumed.
    electricity: Electricity | None = None
    # None: no amortisation, and no break-even.
    hardware: Hardware | None = None
    # `provider/model` in the price snapshot: what the same tokens would have cost elsewhere, beside the named baseline.
    baselines: tuple[str, ...] = ("openai/gpt-5.4-nano", "openai/gpt-5.4")


class Routing(Struct, frozen=True):
    """The whole routing file; after loading, the names in it that are compared are in canonical form."""

    version: Literal[1]
    providers: dict[str, Provider]
    models: dict[str, Model]
    rules: list[Rule]
    # Every environment there is: a name that is not among them is a typing error, not a new one.
    environments: tuple[str, ...] = ("dev", "test", "ci", "production")
    budgets: list[Budget] = []
    timeouts: Timeouts = Timeouts()
    retries: Retries = Retries()
    limits: Limits = Limits()
    responses: Responses = Responses()
    traces: Traces = Traces()
    defaults: Defaults = Defaults()
    costs: Costs = Costs()
