"""The files of a station, and a router of which is known whether it runs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from gridtie.host import keys
from gridtie.host.backup.places import Places
from gridtie.host.paths import read_station
from gridtie.ledger import Entry
from standins.ledger import open_ledger

HOST = "alice-laptop"
ROUTING = "version: 1\n# edited here\n"
MODEL = {"name": "gridtie/smollm2:135m", "digest": "sha256:" + "5" * 64, "source": "package"}


class RouterFile:
    """Runs while the file is there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: list[str] = []

    def running(self) -> bool:
        return self.path.exists()

    def stop(self) -> None:
        self.asked.append("stop")
        self.path.unlink(missing_ok=True)

    def start(self) -> None:
        self.asked.append("start")
        self.path.touch()


def station(root: Path, rows: Iterable[Entry] = (), *, key: str = "", ledger: bool = True) -> Places:
    """A station below `root`, whose station's key is `key` where that is given."""
    config, state = root / "etc", root / "var"
    for each in (config / "secrets", config / "tls", state / "ledger", state / "models", root / "home"):
        each.mkdir(parents=True)
    document = {
        "schema": 1,
        "project": "gridtie",
        "endpoint": "http://127.0.0.1:1",
        "state_dir": str(state),
        "models": [MODEL],
        "controller": {"lock": str(root / "home/gridtie.lock.yaml"), "ca_key": str(root / "home/ca/ca.key")},
    }
    (config / "station.json").write_text(json.dumps(document))
    made = keys.add(config, "station", ["dev", "test"], admin=True, key=key or None)
    texts = {
        "etc/station.key": made + "\n",
        "etc/llm_routing.yaml": ROUTING,
        "etc/prices.json": "{}",
        "etc/secrets/openai": "sk-of-a-cloud\n",
        "etc/tls/server.pem": "a certificate and its key\n",
        "etc/.keys.json.4711": "a scratch file",
        "var/models/added.json": '{"schema": 1, "models": []}\n',
        "var/models/brought.json": "{}",
        "var/ledger/audit.jsonl": '{"what": "started"}\n',
        "home/gridtie.lock.yaml": "schema: 1\n",
    }
    for name, text in texts.items():
        (root / name).write_text(text)
    if ledger:
        opened = open_ledger(state)
        for row in rows:
            opened.record(row)
        opened.close()
    return Places(config, state, read_station(config))


def rows_of(places: Places) -> list[str]:
    """The ids of all rows, as the next router finds them: it reads the journal first."""
    ledger = open_ledger(places.state)
    try:
        return sorted(entry.id for entry in ledger.latest(1_000_000))
    finally:
        ledger.close()


def tree(*roots: Path) -> dict[str, bytes]:
    """Every file below them with its content."""
    return {
        str(Path(directory, name)): Path(directory, name).read_bytes()
        for root in roots
        for directory, _, files in os.walk(root)
        for name in files
    }
