"""Where the endpoint and the key come from; a key is only sent where it belongs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gridtie.host import paths
from gridtie.host.paths import (
    ENDPOINT,
    StationError,
    endpoint_only,
    find,
    is_loopback,
    read_station,
    state_dir,
)

OURS = "gt-" + "a" * 43
OTHER = "gt-" + "b" * 43


@pytest.fixture(autouse=True)
def no_station_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "CONFIG_DIR", tmp_path / "etc")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    own = tmp_path / "home" / ".config" / "gridtie"
    own.mkdir(parents=True)
    (own / "endpoint").write_text("http://127.0.0.1:9001\n")
    (own / "key").write_text(OURS + "\n")
    return tmp_path / "home"


def station(directory: Path, port: int = 9002, key: str = OTHER) -> Path:
    directory.mkdir()
    (directory / "station.json").write_text(json.dumps({"schema": 1, "endpoint": f"http://127.0.0.1:{port}"}))
    (directory / "station.key").write_text(key)
    return directory


def test_the_callers_own_key_is_taken_before_the_machines(home: Path, tmp_path: Path) -> None:
    station(tmp_path / "etc")
    found = find({}, home)
    assert (found.url, found.key) == ("http://127.0.0.1:9001", OURS)


def test_without_one_the_machines_is_taken(tmp_path: Path) -> None:
    station(tmp_path / "etc")
    found = find({}, tmp_path / "nobody")
    assert (found.url, found.key) == ("http://127.0.0.1:9002", OTHER)


def test_whoever_names_a_station_means_that_one_and_no_other(home: Path, tmp_path: Path) -> None:
    named = station(tmp_path / "second", port=9003)
    found = find({"GRIDTIE_CONFIG_DIR": str(named)}, home)
    assert (found.url, found.key) == ("http://127.0.0.1:9003", OTHER)
    with pytest.raises(StationError, match=r"no key of this station was found in .*third"):
        find({"GRIDTIE_CONFIG_DIR": str(tmp_path / "third")}, home)


def test_the_variables_of_openai_clients_win_if_the_key_is_ours(home: Path) -> None:
    found = find({"OPENAI_BASE_URL": "http://127.0.0.1:9004/v1", "OPENAI_API_KEY": OTHER}, home)
    assert (found.url, found.key) == ("http://127.0.0.1:9004", OTHER)


def test_a_clouds_key_is_never_taken_and_ours_never_sent_to_a_cloud(home: Path) -> None:
    found = find({"OPENAI_BASE_URL": "https://api.example.com/v1", "OPENAI_API_KEY": "sk-cloud"}, home)
    assert (found.url, found.key) == ("http://127.0.0.1:9001", OURS)


def test_a_key_without_an_endpoint_is_for_the_usual_one(home: Path) -> None:
    (home / ".config" / "gridtie" / "endpoint").unlink()
    assert find({}, home).url == ENDPOINT


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://192.0.2.1:8484", "only sent by https"),
        ("http://example.com", "only sent by https"),
        ("ftp://127.0.0.1", "wanted http"),
        ("127.0.0.1:8484", "wanted http"),
    ],
)
def test_an_endpoint_that_will_not_do_is_refused(home: Path, url: str, said: str) -> None:
    (home / ".config" / "gridtie" / "endpoint").write_text(url)
    with pytest.raises(StationError, match=said):
        find({}, home)


def test_an_endpoint_beyond_this_machine_is_fine_with_tls(home: Path) -> None:
    (home / ".config" / "gridtie" / "endpoint").write_text("https://llm.example.com:8443/v1")
    assert find({}, home).url == "https://llm.example.com:8443"


def test_without_any_key_it_says_where_it_looked_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StationError, match=r"no station is set up .*nobody/.config/gridtie; `make site`"):
        find({}, tmp_path / "nobody")
    (tmp_path / "etc").mkdir()
    with pytest.raises(StationError, match=r"nobody/.config/gridtie, .*etc; run it with sudo"):
        find({}, tmp_path / "nobody")


def test_the_endpoint_can_be_known_without_a_key(tmp_path: Path) -> None:
    (station(tmp_path / "etc") / "station.key").unlink()
    assert endpoint_only({}, tmp_path / "nobody") == "http://127.0.0.1:9002"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "run `make site`"),
        ("{", "cannot be used"),
        ('{"schema": 2}', "schema 1 wanted"),
        ("[]", "schema 1 wanted"),
    ],
)
def test_a_station_file_that_will_not_do_is_named(tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / "station.json").write_text(content)
    with pytest.raises(StationError, match=said):
        read_station(tmp_path)


def test_the_state_is_where_the_station_says_unless_the_environment_does(tmp_path: Path) -> None:
    named = {"GRIDTIE_CONFIG_DIR": str(station(tmp_path / "second"))}
    assert state_dir(named) == Path("/var/lib/gridtie")
    (tmp_path / "second" / "station.json").write_text('{"schema": 1, "state_dir": "/srv/second"}')
    assert state_dir(named) == Path("/srv/second")
    assert state_dir({**named, "GRIDTIE_STATE_DIR": "/elsewhere"}) == Path("/elsewhere")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("a.localhost", True),
        ("0.0.0.0", False),
        ("192.0.2.1", False),
        ("localhost.example.com", False),
    ],
)
def test_loopback_is_what_stays_within_the_machine(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
