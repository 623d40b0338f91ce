"""Routing files of the cases, as data; every one has the alias `coder`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from standins.scripted import Upstream

# Short, so that a case is over soon; long enough for a machine that is busy with other cases.
TIMEOUTS = {"connect": 2.0, "first_token": 1.0, "first_token_cold": 1.0, "between_tokens": 1.0, "total": 3.0}

# US dollars per million tokens: figures that can be checked in one's head.
PRICE = {"input": 1.0, "output": 10.0}

MODEL = "gpt-5.4-mini"


def url(upstream: Upstream, dialect: str) -> str:
    """The base URL of an upstream: OpenAI's ends with /v1, the others' have no path."""
    return upstream.url if dialect == "openai" else upstream.url.removesuffix("/v1")


def config(
    here: Upstream | None = None,
    cloud: Upstream | None = None,
    *,
    standby: Upstream | None = None,
    here_is: str = "openai",
    cloud_is: str = "openai",
    use: Sequence[str] = ("local", "cloud"),
    rules: Sequence[Mapping[str, Any]] = (),
    timeouts: Mapping[str, float] | None = None,
    here_has: Mapping[str, Any] | None = None,
    cloud_has: Mapping[str, Any] | None = None,
    **sections: Any,
) -> dict[str, Any]:
    """Up to two local targets, `here/small` and `standby/small`, and a cloud, `remote/gpt-5.4-mini`.

    `rules` come before the last one, which holds for everything and uses `use`.
    """
    providers: dict[str, Any] = {}
    local = []
    if here is not None:
        providers["here"] = {
            "type": here_is,
            "base_url": url(here, here_is),
            "locality": "local",
            **(here_has or {}),
        }
        local.append("here/small")
    if standby is not None:
        providers["standby"] = {"type": "openai", "base_url": standby.url, "locality": "local"}
        local.append("standby/small")
    coder: dict[str, Any] = {"local": local or None}
    if cloud is not None:
        providers["remote"] = {
            "type": cloud_is,
            "base_url": url(cloud, cloud_is),
            "prices": {MODEL: dict(PRICE)},
            **(cloud_has or {}),
        }
        coder["cloud"] = {"provider": "remote", "model": MODEL}
    return {
        "version": 1,
        "providers": providers,
        "models": {"coder": coder},
        "rules": [*rules, {"name": "all", "use": list(use)}],
        "timeouts": {**TIMEOUTS, **(timeouts or {})},
        **sections,
    }


def station(engine: Upstream, *, dialect: str = "openai", capabilities: Sequence[str] = (), **more: Any) -> str:
    """The facts of a station with one model, `small`, as the playbook writes them into station.json."""
    model = {
        "name": "gridtie/small",
        "catalogue": "small",
        "dialect": dialect,
        "url": engine.url.removesuffix("/v1"),
        "context": 32768,
        "parallel": 4,
        "capabilities": list(capabilities),
        "purposes": ["code", "chat"],
        **more,
    }
    engine_facts = {"kind": "ollama" if dialect == "ollama" else "embedded", "mode": "native"}
    return json.dumps({"schema": 1, "engine": engine_facts, "models": [model]})


def station_config(cloud: Upstream | None = None, **options: Any) -> dict[str, Any]:
    """A routing file whose local models are the station's."""
    routing = config(None, cloud, **options)
    routing["providers"]["station"] = {"type": "station"}
    routing["models"]["coder"]["local"] = "auto"
    routing["models"]["coder"]["purpose"] = "code"
    return routing
