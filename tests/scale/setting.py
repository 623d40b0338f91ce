"""What routers of the lab's Swarm are given: one alias, a cloud that has a price, and a budget for each key."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from gridtie.host import keys
from lab.host import CHECKOUT
from scale.swarm import CLOUD, NAME, PORT, Database

# US dollars a million tokens; so dear that a minute of load comes to the end of a budget.
INPUT_USD, OUTPUT_USD = 100.0, 1_000.0
BUDGET_USD = 6.0
# It waits a moment, and speaks slowly: a fault finds some answers under way.
MODEL = "standin-spoken"
CLOUD_KEY, ENGINE_KEY = "sk-cloud", "sk-engine"

# The second file of `docker stack deploy`: what a team adds of its own.
MORE = """\
version: "3.9"
services:
  router:
    extra_hosts: [{hosts}]
    # Long enough for what the lab asks, and shorter than a test has patience.
    stop_grace_period: 40s
    environment: {{GRIDTIE_DRAIN_SECONDS: "30"}}
    secrets:
      - {{source: cloud, target: /etc/gridtie/secrets/cloud, uid: "65534", gid: "65534", mode: 0400}}
      - {{source: engine, target: /etc/gridtie/secrets/engine, uid: "65534", gid: "65534", mode: 0400}}
secrets:
  cloud:
    name: "gridtie_cloud_${{GRIDTIE_CONFIG_VERSION:?}}"
    file: "${{GRIDTIE_CONFIG_DIR:?}}/cloud"
  engine:
    name: "gridtie_engine_${{GRIDTIE_CONFIG_VERSION:?}}"
    file: "${{GRIDTIE_CONFIG_DIR:?}}/engine"
"""


@dataclass(frozen=True)
class Setting:
    """A directory with them; keys by name; the second file of the stack."""

    directory: Path
    keys: dict[str, str]
    more: str


def write(
    directory: Path, holders: Sequence[str], database: Database, authority: Path, hosts: dict[str, str]
) -> Setting:
    """Write them, with a key for each holder, one for `station`, who may see all, and a budget for each holder."""
    directory.mkdir()
    known = {name: keys.add(directory, name, ["dev"], admin=name == "station") for name in (*holders, "station")}
    (directory / "llm_routing.yaml").write_text(yaml.safe_dump(_routing(holders)))
    shutil.copy(CHECKOUT / "config/prices.json", directory)
    shutil.copy(authority, directory / "authorities.pem")
    shutil.copy(authority.with_name("server.pem"), directory)
    for name, content in (("database", database.url), ("cloud", CLOUD_KEY), ("engine", ENGINE_KEY)):
        (directory / name).write_text(content)
    return Setting(directory, known, MORE.format(hosts=json.dumps([f"{n}:{a}" for n, a in hosts.items()])[1:-1]))


def _routing(holders: Sequence[str]) -> dict[str, object]:
    base_url = f"https://{CLOUD}:8443/v1"
    return {
        "version": 1,
        "providers": {
            "vendor": {
                "type": "openai",
                "base_url": base_url,
                "key_file": "secrets/cloud",
                "prices": {MODEL: {"input": INPUT_USD, "output": OUTPUT_USD}},
            },
            "engine": {"type": "openai", "base_url": base_url, "key_file": "secrets/engine", "locality": "local"},
        },
        "models": {"coder": {"local": f"engine/{MODEL}", "cloud": {"provider": "vendor", "model": MODEL}}},
        # What the budget does not pay for is answered all the same.
        "rules": [{"name": "all", "use": ["cloud", "local"]}],
        "budgets": [{"name": name, "usd": BUDGET_USD, "period": "month", "key": name} for name in holders],
        "defaults": {"allowed_hosts": [f"{NAME}:{PORT}"]},
    }
