"""A small configured house for routing tests: a station with two models, a cloud, and rules to choose between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gridtie.config.load import judge
from gridtie.config.schema import Price, Routing
from gridtie.config.source import Source
from gridtie.config.station import Engine, Station, StationModel
from gridtie.dialects.types import Usage
from gridtie.providers.registry import Targets
from gridtie.routing.plan import RequestInfo
from gridtie.routing.policy import Policy
from gridtie.routing.snapshot import TargetState

SMALL = "station/gridtie/smollm2:135m"
LARGE = "station/gridtie/qwen2.5-coder:7b"
CLOUD = "openai/gpt-5.4-mini"

DOCUMENT: dict[str, Any] = {
    "version": 1,
    "providers": {
        "station": {"type": "station"},
        "openai": {
            "type": "openai",
            "base_url": "https://api.openai.com/v1",
            "key_file": "secrets/openai",
        },
    },
    "models": {
        "coder": {
            "local": "auto",
            "purpose": "code",
            "min_score": 50,
            "cloud": {"provider": "openai", "model": "gpt-5.4-mini"},
        },
        "chat": {
            "local": ["qwen2.5-coder:7b", "smollm2"],
            "cloud": {"provider": "openai", "model": "gpt-5.4-mini"},
        },
        "smoke-test": {"local": "smollm2", "purpose": "smoke-test"},
        "remote": {"local": None, "cloud": {"provider": "openai", "model": "gpt-5.4-mini"}},
    },
    "rules": [
        {"name": "private", "when": {"tags": ["private"]}, "use": ["local"], "never": "cloud"},
        {"name": "ci", "when": {"environment": ["ci"]}, "use": ["local"], "never": "cloud"},
        {"name": "dev", "when": {"environment": ["dev", "test"]}, "use": ["local", "cloud"], "max_wait": 30},
        {"name": "production", "when": {"environment": ["production"]}, "use": ["cloud", "local"]},
    ],
}


def document(**changes: Any) -> dict[str, Any]:
    """The house's routing file as data, with some top-level keys replaced."""
    return {**msgspec.json.decode(msgspec.json.encode(DOCUMENT)), **changes}


def routing(**changes: Any) -> Routing:
    """The house's routing, loaded as a file would be."""
    return judge(Source("llm_routing.yaml", document(**changes), {}))


def station(*, small: Mapping[str, Any] | None = None, large: Mapping[str, Any] | None = None) -> Station:
    """A station with a tiny model and a good one; the arguments change single facts of them."""
    models = [
        {
            "name": "gridtie/smollm2:135m",
            "catalogue": "smollm2:135m",
            "dialect": "ollama",
            "url": "http://engine:11434",
            "context": 8192,
            "capabilities": ["chat", "json"],
            "purposes": ["code", "chat", "smoke-test"],
            **(small or {}),
        },
        {
            "name": "gridtie/qwen2.5-coder:7b",
            "catalogue": "qwen2.5-coder:7b",
            "dialect": "ollama",
            "url": "http://engine:11434",
            "context": 32768,
            "parallel": 2,
            "capabilities": ["chat", "json", "tools"],
            "purposes": ["code", "chat"],
            "score": 57.9,
            **(large or {}),
        },
    ]
    engine = Engine(kind="ollama", mode="container")
    return Station(schema=1, engine=engine, models=msgspec.convert(models, list[StationModel]))


class FlatPricing:
    """Every token of the cloud model costs the same; other models have no price."""

    def __init__(self, usd_per_million: float = 1.0) -> None:
        self.usd_per_million = usd_per_million

    def cost(self, ref: str, usage: Usage, overrides: Mapping[str, Price] | None = None) -> float | None:
        return (usage.input + usage.output) * self.usd_per_million / 1e6 if ref == CLOUD else None


def targets(rules: Routing | None = None, facts: Station | None = None, *, bare: bool = False) -> Targets:
    """Targets of the house; `bare`: nothing was provisioned yet."""
    return Targets.build(
        rules or routing(),
        None if bare else facts or station(),
        read_secret=lambda name: "sk-test",
        pricing=FlatPricing(),
    )


def policy(facts: Station | None = None, *, bare: bool = False, **changes: Any) -> Policy:
    """The house's policy, with some top-level keys of its routing file replaced."""
    rules = routing(**changes)
    return Policy(rules, targets(rules, facts, bare=bare))


def request(alias: str = "coder", environment: str = "dev", **changes: Any) -> RequestInfo:
    """A plain request."""
    fields: dict[str, Any] = {"id": "r1", "surface": "openai", "key": "station", "prompt_tokens": 100}
    return RequestInfo(alias=alias, environment=environment, **{**fields, **changes})


def states(**changes: TargetState) -> dict[str, TargetState]:
    """All three targets well, local models in memory; the arguments small, large and cloud replace states."""
    return {
        SMALL: changes.get("small", TargetState(loaded=True)),
        LARGE: changes.get("large", TargetState(loaded=True)),
        CLOUD: changes.get("cloud", TargetState()),
    }
