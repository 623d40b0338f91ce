"""The service image is set up by its environment, and by what is mounted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gridtie_service.settings import SettingError, Settings, write_configuration

from gridtie.gateway.keys import Keys
from gridtie.gateway.settings import Settings as RouterSettings

IMAGE = Path(__file__).resolve().parents[3] / "compose/images/service"
KEY = "a-key-of-a-pipeline"


def settings(**environ: str) -> Settings:
    return Settings.read({"GRIDTIE_KEY": KEY, **environ})


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("", "GRIDTIE_KEY is not set"),
        ("short", "GRIDTIE_KEY has 5 characters, wanted 16 or more"),
        ("a key with spaces in it", "a space, a line end or another character"),
        ("a-key-with-a-newline\n", "a space, a line end or another character"),
        ("ein-schlüssel-mit-umlaut", "a space, a line end or another character"),
    ],
)
def test_a_key_that_cannot_be_one_is_refused_with_a_command_that_makes_one_and_not_shown(key: str, said: str) -> None:
    with pytest.raises(SettingError) as raised:
        settings(GRIDTIE_KEY=key)

    assert said in str(raised.value)
    assert "openssl rand -hex" in str(raised.value)
    assert not key or key.strip() not in str(raised.value)


def test_a_name_that_is_an_address_with_a_scheme_is_refused() -> None:
    with pytest.raises(SettingError, match=r"GRIDTIE_HOSTS has 'http://docker:8484'; wanted: names"):
        settings(GRIDTIE_HOSTS="http://docker:8484")


def shipped(directory: Path) -> Path:
    directory.mkdir()
    (directory / "prices.json").write_text('{"schema": 1}')
    (directory / "station.json").write_text('{"schema": 1, "models": []}')
    return directory


def test_what_is_mounted_takes_the_place_of_what_ships(tmp_path: Path) -> None:
    mounted = tmp_path / "mounted"
    (mounted / "secrets").mkdir(parents=True)
    (mounted / "llm_routing.yaml").write_text("version: 1\n")
    (mounted / "prices.json").write_text('{"schema": 2}')

    made = write_configuration(settings(), tmp_path, shipped(tmp_path / "shipped"), mounted)
    (mounted / "llm_routing.yaml").write_text("version: 1 # edited\n")

    assert (made / "llm_routing.yaml").read_text() == "version: 1 # edited\n"
    assert (made / "prices.json").read_text() == '{"schema": 2}'
    assert (made / "secrets").is_dir()


def test_neither_the_key_nor_what_the_engine_serves_is_taken_from_a_mount(tmp_path: Path) -> None:
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    for name in ("keys.json", "station.json"):
        (mounted / name).write_text("of another station")

    made = write_configuration(settings(), tmp_path, shipped(tmp_path / "shipped"), mounted)

    assert Keys.load(made / "keys.json").names() == {"pipeline"}
    assert json.loads((made / "station.json").read_text())["models"] == []


def test_a_container_that_is_started_again_begins_with_what_is_mounted_then(tmp_path: Path) -> None:
    mounted, ours = tmp_path / "mounted", shipped(tmp_path / "shipped")
    mounted.mkdir()
    (mounted / "llm_routing.yaml").write_text("version: 1\n")
    write_configuration(settings(), tmp_path, ours, mounted)
    (mounted / "llm_routing.yaml").unlink()

    assert not (write_configuration(settings(), tmp_path, ours, mounted) / "llm_routing.yaml").exists()


def test_the_router_takes_it_with_the_key_and_by_the_names_of_a_pipeline(tmp_path: Path) -> None:
    """The router's own reader, on the routing file that ships."""
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    (mounted / "llm_routing.yaml").write_bytes((IMAGE / "llm_routing.yaml").read_bytes())
    ours = tmp_path / "shipped"
    ours.mkdir()
    (entry,) = json.loads((IMAGE / "embedded.json").read_text())
    model = {"name": entry["name"], "catalogue": "smollm2:135m", "dialect": "openai", "url": "http://127.0.0.1:8080"}
    station = {
        "schema": 1,
        "engine": {"kind": "embedded", "mode": "container"},
        "models": [{**model, "context": entry["context"], "purposes": ["code", "chat", "smoke-test"]}],
    }
    (ours / "station.json").write_text(json.dumps(station))
    (ours / "prices.json").write_bytes((IMAGE.parents[2] / "config/prices.json").read_bytes())

    loaded = RouterSettings(
        write_configuration(settings(GRIDTIE_HOSTS="Docker, 10.0.0.7"), tmp_path, ours, mounted)
    ).current

    key = loaded.keys.lookup(KEY.encode())
    assert key is not None
    assert (key.environments[0], key.admin) == ("ci", True)
    assert loaded.station is not None
    assert {"localhost:*", "gridtie:*", "docker:*", "10.0.0.7:*"} <= set(loaded.station.hosts)
    assert loaded.routing.models.keys() == {"coder", "chat", "smoke-test"}
