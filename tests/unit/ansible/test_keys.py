"""The station's own key."""

from __future__ import annotations

import datetime
import hashlib

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
