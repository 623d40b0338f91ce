"""The station's own key."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from plugins.module_utils import gridtie_keys
from plugins.modules.gridtie_keys import _limits, _pool_keys

from gridtie.gateway.keys import Keys
from gridtie.host import keys as host_keys
from standins.play import play

ROOT = Path(__file__).resolve().parents[3]

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


def test_limits_of_the_inventory_are_those_of_the_key_and_what_was_set_by_hand_goes() -> None:
    first, keys = gridtie_keys.with_people(EMPTY, [person()], {}, NOW)
    first["keys"][1].update(limits={"usd_per_day": 9.0}, expires="2027-01-01T00:00:00Z")
    kept, _ = gridtie_keys.with_people(first, [person()], keys, NOW)
    declared, _ = gridtie_keys.with_people(
        first, [person(limits={"tokens_per_minute": 5}, until="2026-12-31")], keys, NOW
    )
    lifted, same = gridtie_keys.with_people(first, [person(limits={})], keys, NOW)

    assert kept == first
    assert declared["keys"][1]["limits"] == {"tokens_per_minute": 5}
    assert declared["keys"][1]["expires"] == "2026-12-31T23:59:59Z"
    assert "limits" not in lifted["keys"][1] and same == keys


def test_limits_are_written_in_the_kinds_that_the_router_reads(tmp_path: Path) -> None:
    given = {"tokens_per_minute": "5", "usd_per_day": 2, "usd_per_month": None, "models": ["coder"]}
    limits = _limits(given)
    document, _ = gridtie_keys.with_people(EMPTY, [person(limits=limits, until="2026-12-31")], {}, NOW)
    (tmp_path / "keys.json").write_text(json.dumps(document))

    assert limits == {"tokens_per_minute": 5, "usd_per_day": 2.0, "models": ["coder"]}
    assert len(Keys.load(tmp_path / "keys.json")) == 2


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


def test_a_day_of_rotation_that_is_yet_to_come_renews_nothing_with_each_run(tmp_path: Path) -> None:
    first, keys = gridtie_keys.with_people(EMPTY, [person()], {}, NOW)
    later = NOW + datetime.timedelta(days=1)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/pool-known").write_text(gridtie_keys.new_key() + "\n")
    given = {"config_dir": str(tmp_path), "pool": ["known"], "pool_since": "2999-01-01", "group": "root"}

    assert gridtie_keys.with_people(first, [person(since="2026-11-24")], keys, later) == (first, keys)
    assert _pool_keys(given, True)[2] == []


def test_a_name_that_was_added_by_hand_is_not_taken_over() -> None:
    with pytest.raises(gridtie_keys.KeyFileError, match="laptop"):
        gridtie_keys.with_people(EMPTY, [person("laptop")], {}, NOW)


def test_a_name_of_a_station_that_was_added_by_hand_is_not_taken_over() -> None:
    # Two rows of one name are a file that the router refuses, with every key in it.
    by_hand = {"name": "relay.laptop", "sha256": "0" * 64, "environments": ["dev"]}

    with pytest.raises(gridtie_keys.KeyFileError, match=r"relay\.laptop"):
        gridtie_keys.with_relays({**EMPTY, "keys": [by_hand]}, {"laptop": "1" * 64}, NOW)


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


# -- who has the station's own key ------------------------------------------------------------------------------------


def keep(directory: Path, *options: str, admin_copy: bool) -> str:
    """Make the station's keys as the role does, for a login account with this home; the output."""
    home = directory / "home"
    (home / ".config").mkdir(parents=True, exist_ok=True)
    (directory / "etc/secrets").mkdir(parents=True, exist_ok=True)
    task = {
        "name": "Make the station's keys",
        "gridtie.gridtie.gridtie_keys": {
            "config_dir": str(directory / "etc"),
            "group": "root",
            "endpoint": "http://127.0.0.1:8484",
            "person": {"uid": 0, "gid": 0, "home": str(home)},
            "admin_copy": admin_copy,
        },
    }
    status, output = play(directory, [task], {}, *options)
    assert status == 0, output
    return output


@pytest.mark.skipif(os.getuid() != 0, reason="the files are root's")
def test_the_login_account_of_an_earlier_version_loses_the_stations_key(tmp_path: Path) -> None:
    """1.0.0 left it in the home directory of whatever account Ansible logged in with, on every host."""
    copy = tmp_path / "home/.config/gridtie/key"
    keep(tmp_path, admin_copy=True)
    key = (tmp_path / "etc/station.key").read_text()
    assert (copy.read_text(), copy.stat().st_mode & 0o777) == (key, 0o600)

    outputs = [keep(tmp_path, "--check", admin_copy=False)]
    assert copy.exists()
    outputs += [keep(tmp_path, admin_copy=False), keep(tmp_path, admin_copy=False)]

    assert ["changed=1" in output for output in outputs] == [True, True, False]
    assert not copy.exists()
    assert (tmp_path / "etc/station.key").read_text() == key
    assert [output for output in outputs if key.strip() in output] == []


@pytest.mark.skipif(os.getuid() != 0, reason="the files are root's")
def test_a_key_of_ones_own_is_not_taken_away(tmp_path: Path) -> None:
    own = tmp_path / "home/.config/gridtie/key"
    own.parent.mkdir(parents=True)
    own.write_text(gridtie_keys.new_key() + "\n")
    before = own.read_text()

    keep(tmp_path, admin_copy=False)

    assert own.read_text() == before


@pytest.mark.skipif(os.getuid() != 0, reason="the files are root's")
@pytest.mark.parametrize("who", ["station", "relay.one"])
def test_a_key_that_somebody_adds_while_the_playbook_runs_is_not_lost(tmp_path: Path, who: str) -> None:
    def change() -> None:
        if who == "station":
            keep(tmp_path, admin_copy=False)
            return
        relays = {"config_dir": str(tmp_path / "etc"), "group": "root", "relays": {"one": "1" * 64}}
        status, output = play(tmp_path, [{"gridtie.gridtie.gridtie_relays": relays}], {})
        assert status == 0, output

    def waits() -> bool:
        lines = Path("/proc/locks").read_text().splitlines()
        return any("->" in line and f":{etc.stat().st_ino} " in line for line in lines)

    (etc := tmp_path / "etc").mkdir()
    with ThreadPoolExecutor(1) as pool:
        with host_keys.locked(etc):
            done = pool.submit(change)
            while not (waited := waits()) and not done.done():
                time.sleep(0.02)
            row = {"name": "ann", "sha256": "2" * 64, "environments": ["dev"]}
            (etc / "keys.json").write_text(json.dumps({"schema": 1, "keys": [row]}))
        done.result()

    assert waited
    assert {each.name for each in host_keys.read(etc)} == {"ann", who}


@pytest.mark.parametrize(
    ("wanted", "connection", "copied"),
    [
        ("auto", "local", True),
        ("auto", "ssh", False),
        ("auto", None, False),
        ("login", "ssh", True),
        ("none", "local", False),
    ],
)
def test_only_a_person_at_the_machine_itself_gets_it_unasked(wanted: str, connection: str | None, copied: bool) -> None:
    text = yaml.safe_load((ROOT / "roles/router/vars/main.yml").read_text())["_router_admin_copy"]
    known = {"gridtie_admin_key": wanted, **({"ansible_connection": connection} if connection else {})}

    assert Templar(loader=DataLoader(), variables=known).template(trust_as_template(text)) is copied


def test_a_server_that_has_yet_to_learn_a_key_is_known(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/pool-known").write_text(gridtie_keys.new_key() + "\n")
    given = {"config_dir": str(tmp_path), "pool": ["known", "new"], "pool_since": "", "group": "root"}

    _, digests, new = _pool_keys(given, True)

    assert set(digests) == {"known", "new"}
    assert new == ["new"]


def test_a_pool_that_is_asked_as_one_knows_this_station_by_one_key(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    known = gridtie_keys.new_key()
    (tmp_path / "secrets/pool-known").write_text(known + "\n")
    (tmp_path / "secrets/pool-other").write_text(gridtie_keys.new_key() + "\n")
    pool = ["known", "other", "new"]
    given = {"config_dir": str(tmp_path), "pool": pool, "pool_since": "", "group": "root", "pool_shared": True}

    _, digests, new = _pool_keys(given, True)

    assert digests == dict.fromkeys(pool, gridtie_keys.digest(known))
    assert new == ["other", "new"]


def test_limits_that_were_set_by_hand_stay_and_an_end_goes_with_its_key() -> None:
    first, keys = gridtie_keys.with_people(EMPTY, [person()], {}, NOW)
    by_hand = {"limits": {"requests_per_minute": 9}, "expires": "2099-01-01T00:00:00Z"}
    limited = {**first, "keys": [{**row, **by_hand} if row["name"] == "alice" else row for row in first["keys"]]}
    again, same = gridtie_keys.with_people(limited, [person()], keys, NOW)
    renewed, _ = gridtie_keys.with_people(limited, [person()], {}, NOW)

    assert (again, same) == (limited, keys)
    assert renewed["keys"][1]["limits"] == {"requests_per_minute": 9}
    assert "expires" not in renewed["keys"][1]


def test_a_run_leaves_the_keys_that_clients_were_given_with_the_pages_that_they_let_in() -> None:
    client = {"name": "obsidian-ann", "sha256": "c" * 64, "environments": ["dev"], "origins": ["app://obsidian.md"]}
    document = {**EMPTY, "keys": [*EMPTY["keys"], client]}
    wired = gridtie_keys.with_station_key(document, gridtie_keys.new_key(), NOW)
    peopled, _ = gridtie_keys.with_people(wired, [person()], {}, NOW)
    relayed = gridtie_keys.with_relays(peopled, {"one": "1" * 64}, NOW)

    assert client in relayed["keys"]
