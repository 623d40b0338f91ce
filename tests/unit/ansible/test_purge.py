"""Before a purge it is told what would go, in numbers that a person can recognise."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from plugins.filter import gridtie_team as team
from plugins.modules.gridtie_purge_preview import preview


def test_models_requests_and_keys_are_told(tmp_path: Path) -> None:
    config, state = tmp_path / "etc", tmp_path / "var"
    (state / "ledger").mkdir(parents=True)
    (state / "models/ollama").mkdir(parents=True)
    config.mkdir()
    with (state / "models/ollama/blob").open("wb") as blob:
        blob.truncate(4_700_000_000)
    (config / "station.json").write_text(json.dumps({"models": [{"name": "qwen2.5-coder:7b"}]}))
    (config / "keys.json").write_text(json.dumps({"schema": 1, "keys": [{"name": "station"}, {"name": "alice"}]}))
    (config / "llm_routing.yaml").write_text("a person's\n")
    (config / "secrets").mkdir()
    for name in ("openai", "anthropic", "pool-server"):
        (config / "secrets" / name).write_text("secret")
    (config / "managed_secrets.json").write_text(json.dumps({"schema": 1, "files": ["secrets/openai"]}))
    (config / "written.json").write_text(json.dumps({"llm_routing.yaml": "0" * 64}))
    ledger = sqlite3.connect(state / "ledger/ledger.sqlite")
    ledger.execute("PRAGMA journal_mode=WAL")
    ledger.execute("CREATE TABLE requests (id TEXT, time REAL)")
    ledger.executemany("INSERT INTO requests VALUES (?, ?)", [("a", 1_764_000_000.0), ("b", 1_765_000_000.0)])
    ledger.commit()
    ledger.close()
    before = sorted(tmp_path.rglob("*"))

    assert preview(config, state) == [
        "models: qwen2.5-coder:7b (4.7 GB)",
        "ledger: 2 requests since 2025-11-24",
        "keys: station, alice",
        "keys of clouds: secrets/anthropic",
        f"routing file: {config}/llm_routing.yaml, which was edited here",
    ]
    # A file beside the ledger would be root's, and the router could not open its own.
    assert sorted(tmp_path.rglob("*")) == before


def test_requests_that_a_running_router_has_not_yet_moved_into_the_file_count(tmp_path: Path) -> None:
    (tmp_path / "ledger").mkdir()
    router = sqlite3.connect(tmp_path / "ledger/ledger.sqlite")
    router.execute("PRAGMA journal_mode=WAL")
    router.execute("CREATE TABLE requests (id TEXT, time REAL)")
    router.execute("INSERT INTO requests VALUES ('a', 1764000000.0)")
    router.commit()
    before = sorted(tmp_path.rglob("*"))

    assert preview(tmp_path / "etc", tmp_path) == ["ledger: 1 request since 2025-11-24"]
    assert sorted(tmp_path.rglob("*")) == before
    router.close()


def test_what_cannot_be_read_is_told_as_well(tmp_path: Path) -> None:
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger/ledger.sqlite").write_text("nonsense, and longer than the head of a database is" * 9)
    (tmp_path / "keys.json").write_text("[]")

    told = preview(tmp_path, tmp_path)

    assert told[0].startswith("ledger: ")
    assert "cannot be read" in told[0]
    assert told[1] == "keys: a file that cannot be read"


def test_where_nothing_is_left_there_is_nothing_to_confirm(tmp_path: Path) -> None:
    assert preview(tmp_path / "etc", tmp_path / "var") == []
    assert team.losses([{"inventory_hostname": "gone", "_station_preview": {"lines": []}}]) == ""


def test_the_losses_of_several_hosts_are_told_by_host() -> None:
    hosts = [
        {"inventory_hostname": "one", "_station_preview": {"lines": ["keys: station", "ledger: 2 requests"]}},
        {"inventory_hostname": "clean", "_station_preview": {"lines": []}},
    ]

    assert team.losses(hosts) == "one:\n  keys: station\n  ledger: 2 requests"
