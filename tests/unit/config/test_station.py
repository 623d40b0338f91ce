"""What the playbook wrote about this machine is read, or refused with the remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gridtie.config.problems import ConfigError
from gridtie.config.station import load_station

MODEL = {
    "name": "gridtie/smollm2:135m",
    "catalogue": "smollm2:135m",
    "dialect": "ollama",
    "url": "http://engine:11434",
    "context": 8192,
    "parallel": 1,
    "digest": "sha256:00",
    "source": "package",
    "capabilities": ["chat", "json"],
    "purposes": ["code", "chat", "probe"],
    "score": None,
    "bytes": 98362432,
    "predicted_bytes": 0,
    "why": "the only model that can be fetched here",
}
STATION = {
    "schema": 1,
    "project": "gridtie",
    "version": "1.0.0",
    "endpoint": "http://127.0.0.1:8484",
    "engine": {"kind": "ollama", "mode": "container", "source": "packages", "version": "0.32.15"},
    "models": [MODEL],
    "expected": {"published_ports": ["127.0.0.1:8484"], "router_container": "gridtie-router-1"},
}


def written(folder: Path, content: Any) -> Path:
    path = folder / "station.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def test_the_playbooks_file_is_read(tmp_path: Path) -> None:
    station = load_station(written(tmp_path, STATION))

    assert station is not None
    assert (station.engine.kind, station.models[0].name) == ("ollama", "gridtie/smollm2:135m")


def test_purposes_of_an_older_station_are_read_as_they_are_called_now(tmp_path: Path) -> None:
    member = {"name": "other", "url": "https://other:8443", "key_file": "k", "ca_file": "c", "models": [MODEL]}
    station = load_station(written(tmp_path, {**STATION, "pool": [member]}))

    assert station is not None
    for model in (*station.models, *station.pool[0].models):
        assert model.purposes == ["code", "chat", "smoke-test"]


def test_a_machine_that_was_never_provisioned_has_no_station(tmp_path: Path) -> None:
    assert load_station(tmp_path / "station.json") is None


def test_facts_of_a_later_version_do_not_disturb(tmp_path: Path) -> None:
    assert load_station(written(tmp_path, {**STATION, "novelty": {"x": 1}})) is not None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "not the facts of a station"),
        (b"\xff{}", "not the facts of a station"),
        ({**STATION, "schema": 2}, "not the facts of a station"),
        ({**STATION, "models": [{**MODEL, "dialect": "smoke"}]}, "$.models[0].dialect"),
        ({**STATION, "models": [{**MODEL, "parallel": 0}]}, "parallel is 0, wanted 1 or more"),
        ({**STATION, "models": [{**MODEL, "context": 0}]}, "context is 0, wanted 1 or more"),
        ({**STATION, "models": [{**MODEL, "name": "gridtie/mine:7b-Cloud"}]}, "sends the prompts of such models"),
        ({**STATION, "models": [{**MODEL, "url": "engine:11434"}]}, "its url does not begin with https:// or http://"),
        ({**STATION, "models": [{**MODEL, "url": "http://user:geheim@engine"}]}, "its url carries a credential"),
    ],
)
def test_a_file_that_was_changed_by_hand_says_how_to_get_it_back(tmp_path: Path, content: Any, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_station(written(tmp_path, content))

    assert says in str(caught.value)
    assert "geheim" not in str(caught.value)
    assert "run `ansible-playbook site.yml` again" in str(caught.value)
