"""Keys open the router, and only where they may."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from gridtie.config.problems import ConfigError
from gridtie.gateway.keys import Key, Keys, presented, resolve_environment
from gridtie.host import keys as written
from gridtie.routing.plan import Refusal
from standins.ledger import NOON

KEY = "gt-" + "a" * 43


def row(name: str = "alice", key: str = KEY, **changes: Any) -> dict[str, Any]:
    digest = hashlib.sha256(key.encode()).hexdigest()
    return {"name": name, "sha256": digest, "environments": ["dev"], "admin": False, "created": "", **changes}


def load(folder: Path, *rows: dict[str, Any]) -> Keys:
    path = folder / "keys.json"
    path.write_text(json.dumps({"schema": 1, "keys": rows}))
    return Keys.load(path)


def test_a_key_is_found_by_its_hash(tmp_path: Path) -> None:
    keys = load(tmp_path, row(environments=["test", "dev"], admin=True))

    assert keys.lookup(KEY.encode()) == Key(name="alice", environments=("test", "dev"), admin=True)


@pytest.mark.parametrize("presented", [b"", b"gt-", b"\xff" * 200, KEY.upper().encode(), KEY.encode() + b" "])
def test_anything_else_is_nobodys_key(tmp_path: Path, presented: bytes) -> None:
    assert load(tmp_path, row()).lookup(presented) is None


def test_a_key_is_known_by_its_digest_as_long_as_it_opens_anything(tmp_path: Path) -> None:
    """What a session of the dashboard is held to."""
    ends = "2026-11-22T14:00:00Z"
    keys = load(tmp_path, row(), row("bob", "gt-" + "b" * 43, expires=ends))
    alice, bob = (hashlib.sha256(each.encode()).digest() for each in (KEY, "gt-" + "b" * 43))

    assert keys.of_digest(alice, 1e12) == keys.lookup(KEY.encode())
    assert keys.of_digest(bob, NOON - 1) == Key(name="bob", environments=("dev",))
    assert keys.of_digest(bob, NOON) is None
    assert keys.of_digest(b"x" * 32, 0.0) is None


def test_the_bounds_of_a_name_are_those_of_its_present_key(tmp_path: Path) -> None:
    old = [{"sha256": "0" * 64, "until": "2026-11-23T14:00:00Z"}]
    keys = load(tmp_path, row(previous=old, limits={"models": ["chat"]}), row("bob", "gt-" + "b" * 43))

    bounds = keys.bounds("alice")
    assert bounds is not None
    assert (bounds.limits.models, bounds.renewed) == (("chat",), False)
    assert keys.bounds("bob") is None


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({b"authorization": b"Bearer  gt-a "}, b"gt-a"),
        ({b"authorization": b"BEARER gt-a"}, b"gt-a"),
        ({b"x-api-key": b" gt-a"}, b"gt-a"),
        ({b"authorization": b"Basic gt-a"}, b""),
        ({}, b""),
    ],
)
def test_a_key_is_read_from_where_clients_send_it(headers: dict[bytes, bytes], key: bytes) -> None:
    assert presented(headers) == key


def test_whose_a_name_is_shows_in_its_keys(tmp_path: Path) -> None:
    """A name that is given to somebody else has none of the keys of before: what was kept for it is gone."""
    before = load(tmp_path, row(), row("bob", key="b")).holders()
    after = load(tmp_path, row(key="another"), row("bob", key="b")).holders()

    assert before.keys() == after.keys() == {"alice", "bob"}
    assert before["alice"].isdisjoint(after["alice"])
    assert before["bob"] == after["bob"] == {hashlib.sha256(b"b").digest()}


def test_environments_are_compared_with_case_folded(tmp_path: Path) -> None:
    found = load(tmp_path, row(environments=["Dev", "CI"])).lookup(KEY.encode())

    assert found is not None
    assert found.environments == ("dev", "ci")


def test_a_key_that_was_added_on_the_host_opens_the_router(tmp_path: Path) -> None:
    key = written.add(tmp_path, "bob", ["ci"], admin=False)

    assert Keys.load(tmp_path / "keys.json").lookup(key.encode()) == Key(name="bob", environments=("ci",))


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([row(sha256="abc")], "sha256 is not 64 lower-case hex digits"),
        ([row(environments=[])], 'key "alice": it has no environment'),
        ([row(), row(key="other")], "the name is empty or taken"),
        ([row(), row("bob")], "another key has the same sha256"),
        ([row(name="")], "the name is empty or taken"),
        ([row(environment="dev")], "not a key file"),
        ([row(environments=[" "])], 'key "alice": it has no environment'),
        ([row(environments=["dev", "Relay"])], "no other key has it"),
        ([row(environments=["RELAY"])], "no other key has it"),
    ],
)
def test_a_file_that_would_let_the_wrong_one_in_is_refused(
    tmp_path: Path, rows: list[dict[str, Any]], says: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, *rows)

    assert says in str(caught.value)


def test_environments_of_a_key_are_compared_without_case(tmp_path: Path) -> None:
    key = load(tmp_path, row(environments=["Dev", "dev", "PRODUCTION"])).lookup(KEY.encode())

    assert key == Key(name="alice", environments=("dev", "production"))
    assert resolve_environment(key, "Production") == "production"
    assert resolve_environment(key, None) == "dev"


@pytest.mark.parametrize("environment", ["relay", "Relay", " RELAY "])
def test_the_environment_of_relays_is_theirs_in_any_spelling(tmp_path: Path, environment: str) -> None:
    with pytest.raises(ConfigError, match='a relay has the environment "relay" alone'):
        load(tmp_path, row(environments=[environment]))


def test_an_environment_of_spaces_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="it has no environment"):
        load(tmp_path, row(environments=[" "]))


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="gridtie keys add NAME"):
        Keys.load(tmp_path / "keys.json")


@pytest.mark.parametrize(
    ("claimed", "wanted"), [(None, "dev"), ("", "dev"), ("dev", "dev"), ("test", "test"), (" TEST", "test")]
)
def test_a_request_is_in_an_environment_of_its_key(claimed: str | None, wanted: str) -> None:
    assert resolve_environment(Key(name="k", environments=("dev", "test")), claimed) == wanted


def test_an_environment_beyond_the_key_is_refused_and_named() -> None:
    refusal = resolve_environment(Key(name="k", environments=("dev", "test")), "production")

    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.code) == (403, "environment_not_allowed")
    assert 'the key "k" may not be used in the environment "production"; allowed: dev, test' in refusal.message
