"""A target: one model at one provider, as the rest of the router sees it."""

from __future__ import annotations

import msgspec

from gridtie.config.schema import LimitField, Locality
from gridtie.config.station import Shown
from gridtie.dialects.types import Dialect

_CHAT = frozenset({"chat", "json", "tools", "vision"})
# What a model of somebody else's may be asked for, by the dialect: which of it that model can do is upstream's to say.
CAPABILITIES: dict[Dialect, frozenset[str]] = {
    "openai": _CHAT | {"embeddings"},
    "ollama": _CHAT | {"embeddings"},
    "anthropic": _CHAT,
}


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One model at one provider; built when configuration is loaded, not per request."""

    id: str  # "provider/model"
    provider: str
    model: str
    locality: Locality
    dialect: Dialect
    base_url: str
    # This station's own engine: what another station's router may ask for.
    own: bool = False
    # Whether requests tagged `private` may go there.
    private: bool = True
    # Says without inference how a local engine is; "": never probed.
    probe_url: str = ""
    # Exact for local models (we set it); None where it is not known.
    context: int | None = None
    # Of this station's own models: what they were trained for (0: not known), memory in bytes with the context that is
    # set, and with larger ones.
    trained_context: int = 0
    predicted_bytes: int = 0
    larger_contexts: tuple[tuple[int, int], ...] = ()
    # Concurrent requests this target serves; None: no limit of its own.
    slots: int | None = None
    # Behind vllm-router: the servers' URLs, and how many of those requests each takes.
    servers: tuple[tuple[str, int], ...] = ()
    # Concurrent requests the whole provider takes, shared by all of its targets; None: no limit.
    provider_slots: int | None = None
    # Of those of its own, how many may be other stations' at once; None: no limit.
    max_relayed: int | None = None
    # Another station's router: it says what it can take, and gives slots to those that stand in line.
    lends: bool = False
    capabilities: frozenset[str] = _CHAT
    score: float | None = None
    include_usage: bool = True
    # The field that a limit on the answer goes into, where the router writes one.
    output_limit_field: LimitField = "max_tokens"
    # Of this station's own models: what answers, for the ledger.
    engine: str = ""
    engine_version: str = ""
    digest: str = ""
    # It calls tools only where it is held to a schema of them.
    held_calls: bool = False
    # What it has shown before it counted; None where nobody asked it.
    acceptance: Shown | None = None
    headers: tuple[tuple[str, str], ...] = ()  # credentials among them: never logged
    ca_file: str | None = None

    def __repr__(self) -> str:
        return f"Target({self.id!r}, {self.locality}, {self.dialect}, {self.base_url!r})"
