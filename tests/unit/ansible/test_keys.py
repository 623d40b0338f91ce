"""The station's own key."""

from __future__ import annotations

import datetime
import hashlib
import os
from pathlib import Path

import pytest
from plugins.module_utils import gridtie_keys

NOW = datetime.datetime(2026, 11, 22, 14, 0, tzinfo=datetime.UTC)


def test_keys_are_whole_and_differ() -> None:
    keys = {gridtie_keys.new_key() for _ in range(20)}

    assert len(keys) == 20
    assert all(gridtie_keys.valid(key) for key in keys)


@pytest.mark.parametrize("text", ["", "gt-", "gt-short", "sk-" + "a" * 43, "gt-" + "a" * 42], ids=repr)
def test_a_key_that_a_crash_cut_short_is_not_used(text: str) -> None:
    assert not gridtie_keys.valid(text)


def test_the_file_holds_the_hash_and_not_the_key() -> None:
    key = gridtie_keys.new_key()

    document = gridtie_keys.with_station_key(gridtie_keys.parse(""), key, NOW)

    assert document["keys"] == [
        {
            "name": "station",
            "sha256": hashlib.sha256(key.encode()).hexdigest(),
            "environments": ["dev", "test", "ci", "production"],
            "admin": True,
            "created": "2026-11-22T14:00:00Z",
        }
    ]


def test_the_same_key_changes_nothing_and_another_one_replaces_only_the_stations() -> None:
    first, second = gridtie_keys.new_key(), gridtie_keys.new_key()
    other = {"name": "laptop", "sha256": "0" * 64, "environments": ["dev"]}
    document = gridtie_keys.with_station_key({"schema": 1, "keys": [other]}, first, NOW)

    assert gridtie_keys.with_station_key(document, first, NOW + datetime.timedelta(days=1)) == document
    replaced = gridtie_keys.with_station_key(document, second, NOW)["keys"]
    assert [entry["name"] for entry in replaced] == ["station", "laptop"]


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 2, "keys": []}', '{"schema": 1}'])
def test_a_key_file_that_cannot_be_read_is_never_overwritten(text: str) -> None:
    with pytest.raises(gridtie_keys.KeyFileError):
        gridtie_keys.parse(text)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # The test runner has threads; a module has none.
def test_work_as_another_user_tells_whether_it_changed_anything() -> None:
    import os

    told = [gridtie_keys.as_user(os.getuid(), os.getgid(), lambda answer=answer: answer) for answer in (True, False)]

    assert told == [True, False]


def person(name: str = "alice", **more: object) -> gridtie_keys.Person:
    fields = {"environments": ("dev",), "admin": False, "uid": 1000, "gid": 1000, "home": "/home/alice", **more}
    return gridtie_keys.Person(name=name, **fields)  # type: ignore[arg-type]


HAND = {"name": "laptop", "sha256": "0" * 64, "environments": ["dev"]}
EMPTY = {"schema": 1, "keys": [HAND]}


def test_a_person_gets_a_key_once_and_keeps_it() -> None:
    first, keys = gridtie_keys.with_people(EMPTY, [person()], {}, NOW)
    again, same = gridtie_keys.with_people(first, [person()], keys, NOW + datetime.timedelta(days=1))

    assert (again, same) == (first, keys)
    assert keys["alice"] not in str(first)
    assert [row["name"] for row in first["keys"]] == ["laptop", "alice"]


def test_a_persons_rights_change_without_another_key() -> None:
    first, keys = gridtie_keys.with_people(EMPTY, [person()], {}, NOW)
    again, same = gridtie_keys.with_people(first, [person(environments=("dev", "production"))], keys, NOW)

    assert same == keys
    assert again["keys"][1]["environments"] == ["dev", "production"]


def test_somebody_who_leaves_the_inventory_loses_the_key_and_others_keep_theirs() -> None:
    both, keys = gridtie_keys.with_people(EMPTY, [person(), person("bob")], {}, NOW)
    left, same = gridtie_keys.with_people(both, [person("bob")], keys, NOW)

    assert [row["name"] for row in left["keys"]] == ["laptop", "bob"]
    assert same == {"bob": keys["bob"]}


@pytest.mark.parametrize("held", ["", "gt-short", "gt-" + "a" * 43], ids=["gone", "cut short", "another one's"])
def test_a_key_that_is_not_the_stored_one_is_replaced(held: str) -> None:
    """Also one that is well-formed: nobody brings a key of his own."""
    first, keys = gridtie_keys.with_people(EMPTY, [person()], {}, NOW)
    _, again = gridtie_keys.with_people(first, [person()], {"alice": held}, NOW)

    assert again["alice"] not in (held, keys["alice"])


@pytest.mark.parametrize(("since", "kept"), [("", True), ("2026-11-22", True), ("2026-11-23", False)])
def test_a_key_of_before_the_day_of_rotation_is_replaced(since: str, kept: bool) -> None:
    first, keys = gridtie_keys.with_people(EMPTY, [person()], {}, NOW)
    _, again = gridtie_keys.with_people(first, [person(since=since)], keys, NOW + datetime.timedelta(days=2))

    assert (again == keys) is kept


def test_a_name_that_was_added_by_hand_is_not_taken_over() -> None:
    with pytest.raises(gridtie_keys.KeyFileError, match="laptop"):
        gridtie_keys.with_people(EMPTY, [person("laptop")], {}, NOW)


def test_stations_that_may_ask_are_exactly_those_that_are_declared() -> None:
    first = gridtie_keys.with_relays(EMPTY, {"one": "1" * 64, "two": "2" * 64}, NOW)
    second = gridtie_keys.with_relays(first, {"two": ""}, NOW + datetime.timedelta(days=1))
    third = gridtie_keys.with_relays(second, {"two": "3" * 64, "new": ""}, NOW)

    assert [row["name"] for row in first["keys"]] == ["laptop", "relay.one", "relay.two"]
    assert second["keys"] == [HAND, first["keys"][2]]
    assert [row["sha256"] for row in third["keys"]] == ["0" * 64, "3" * 64]


def test_people_and_relays_do_not_touch_each_other() -> None:
    relayed = gridtie_keys.with_relays(EMPTY, {"one": "1" * 64}, NOW)
    peopled, _ = gridtie_keys.with_people(relayed, [person()], {}, NOW)

    assert [row["name"] for row in peopled["keys"]] == ["laptop", "relay.one", "alice"]
    assert gridtie_keys.with_relays(peopled, {"one": "1" * 64}, NOW) == peopled
    assert gridtie_keys.with_relays(peopled, {}, NOW)["keys"] == [HAND, peopled["keys"][-1]]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_persons_file_is_read_with_the_persons_rights(tmp_path: Path) -> None:
    secret, link = tmp_path / "secret", tmp_path / "key"
    secret.write_text("gt-secret\n")
    secret.chmod(0o600)
    link.symlink_to(secret)
    tmp_path.chmod(0o755)

    assert gridtie_keys.read_as_user(os.getuid(), os.getgid(), str(link)) == "gt-secret"
    assert gridtie_keys.read_as_user(os.getuid(), os.getgid(), str(tmp_path / "none")) == ""
    if os.getuid() == 0:
        assert gridtie_keys.read_as_user(65534, 65534, str(link)) == ""
