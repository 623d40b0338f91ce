"""A router in front of a stand-in of every kind of target, with an alias for each of them and each behaviour."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from standins.cloud import Cloud
from standins.fixtures import RouterProcess, routing_file
from standins.recorder import Recorder

TARGETS = ("openai", "anthropic", "ollama", "llamacpp")
SECRETS = {"here": "sk-here", "openai": "sk-openai", "anthropic": "sk-ant-x"}


def every_target(cloud: Cloud, authority: Path, behaviours: tuple[str, ...], **more: Any) -> str:
    """A routing file with an alias `TARGET-BEHAVIOUR` for each pair."""
    aliases: dict[str, dict[str, Any]] = {}
    for target in TARGETS:
        for behaviour in behaviours:
            model = f"standin-{behaviour}"
            local = target in ("ollama", "llamacpp")
            served = {"local": f"{target}/{model}"} if local else {"cloud": {"provider": target, "model": model}}
            aliases[f"{target}-{behaviour}"] = {"local": None} | served
    more.setdefault("defaults", {"alias": next(iter(aliases))})
    routing = json.loads(routing_file(cloud, authority, aliases, **more))
    trusted = {"ca_file": str(authority / "ca.pem"), "locality": "local"}
    routing["providers"] |= {
        "ollama": {"type": "ollama", "base_url": cloud.base_url("ollama"), **trusted},
        "llamacpp": {"type": "openai", "base_url": cloud.base_url("llamacpp"), **trusted},
    }
    return json.dumps(routing)


def station_of(router: RouterProcess, recorder: Recorder) -> None:
    """Make the router's directory that of a station, which is asked through the recorder."""
    facts = {"schema": 1, "endpoint": recorder.url, "engine": {"kind": "ollama", "mode": "container"}, "models": []}
    (router.config / "station.json").write_text(json.dumps(facts))
    (router.config / "station.key").write_text(router.key)
