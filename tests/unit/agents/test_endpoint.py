"""Which router the demo speaks to, and with which key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gridtie.agents.endpoint import EndpointMissing, find


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A user for whom a station was provisioned."""
    personal = tmp_path / "home" / ".config" / "gridtie"
    personal.mkdir(parents=True)
    (personal / "endpoint").write_text("http://127.0.0.1:8484\n")
    (personal / "key").write_text("gt-personal\n")
    return tmp_path / "home"


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """A station's configuration directory."""
    directory = tmp_path / "etc"
    directory.mkdir()
    (directory / "station.json").write_text(json.dumps({"endpoint": "http://127.0.0.1:9999"}))
    (directory / "station.key").write_text("gt-station\n")
    return directory


def test_the_users_own_station_is_the_default(home: Path) -> None:
    """Without any variable, what provisioning left in the home directory counts; the base path is added."""
    found = find({}, home)

    assert (found.base_url, found.root, found.key) == (
        "http://127.0.0.1:8484/v1",
        "http://127.0.0.1:8484",
        "gt-personal",
    )


def test_the_variables_of_openai_clients_go_first(home: Path) -> None:
    """They are what every other client reads as well."""
    found = find({"OPENAI_BASE_URL": "http://10.0.0.1/v1/", "OPENAI_API_KEY": "k"}, home)

    assert (found.base_url, found.key) == ("http://10.0.0.1/v1", "k")


def test_a_cloud_key_alone_is_not_shown_to_the_station(home: Path) -> None:
    """OPENAI_API_KEY without OPENAI_BASE_URL belongs to somebody's cloud account."""
    assert find({"OPENAI_API_KEY": "sk-cloud"}, home).key == "gt-personal"


def test_the_stations_address_without_a_key_gets_the_stations_key(home: Path) -> None:
    """Naming the address that is the default anyway changes nothing."""
    assert find({"OPENAI_BASE_URL": "http://127.0.0.1:8484/v1"}, home).key == "gt-personal"


def test_the_stations_key_is_not_sent_to_another_address(home: Path) -> None:
    """A foreign address needs a key of its own."""
    with pytest.raises(EndpointMissing, match="OPENAI_API_KEY is not set"):
        find({"OPENAI_BASE_URL": "http://10.0.0.1/v1"}, home)


def test_a_named_configuration_directory_goes_before_the_home_directory(home: Path, etc: Path) -> None:
    """A second station beside the first is meant when it is named."""
    found = find({"GRIDTIE_CONFIG_DIR": str(etc)}, home)

    assert (found.base_url, found.key) == ("http://127.0.0.1:9999/v1", "gt-station")


def test_without_anything_the_places_are_listed(tmp_path: Path) -> None:
    """The message says where was looked and what to do."""
    with pytest.raises(EndpointMissing, match=r"OPENAI_BASE_URL is not set.*endpoint.*station\.key.*make site"):
        find({"GRIDTIE_CONFIG_DIR": str(tmp_path)}, tmp_path)


def test_the_key_is_not_in_the_representation(home: Path) -> None:
    """Logs and tracebacks print representations."""
    assert "gt-personal" not in repr(find({}, home))
