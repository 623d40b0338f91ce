"""Keys are made, listed and revoked on the host, and their file is always whole."""

from __future__ import annotations

import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gridtie.host import keys
from gridtie.host.cli import main
from gridtie.host.keys import KeysError


def test_a_key_is_shown_once_and_only_its_hash_is_stored(tmp_path: Path) -> None:
    key = keys.add(tmp_path, "alice", ["dev", "test", "dev"])
    text = (tmp_path / "keys.json").read_text()

    assert re.fullmatch(r"gt-[A-Za-z0-9_-]{43}", key)
    assert key not in text
    assert keys.read(tmp_path)[0].sha256 == hashlib.sha256(key.encode()).hexdigest()
    assert keys.read(tmp_path)[0].environments == ("dev", "test")


def test_a_new_file_is_readable_to_its_group_alone(tmp_path: Path) -> None:
    keys.add(tmp_path, "alice", ["dev"])

    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o640


def test_the_mode_that_a_file_has_is_kept(tmp_path: Path) -> None:
    keys.add(tmp_path, "alice", ["dev"])
    (tmp_path / "keys.json").chmod(0o600)
    keys.add(tmp_path, "bob", ["dev"])

    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600


def test_a_revoked_key_is_gone_and_others_stay(tmp_path: Path) -> None:
    for name in ("alice", "bob"):
        keys.add(tmp_path, name, ["dev"])
    keys.revoke(tmp_path, "alice")

    assert [row.name for row in keys.read(tmp_path)] == ["bob"]
    assert [path.name for path in tmp_path.iterdir()] == ["keys.json"]


def test_a_key_that_exists_already_can_be_stored(tmp_path: Path) -> None:
    given = keys.new_key()

    assert keys.add(tmp_path, "station", ["dev"], key=given) == given


def test_two_who_add_keys_at_once_lose_none(tmp_path: Path) -> None:
    # Each call opens the directory anew, so the lock holds between threads as it does between processes.
    def some(person: str) -> None:
        for number in range(5):
            keys.add(tmp_path, f"{person}{number}", ["dev"])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(some, "abcd"))

    assert len(keys.read(tmp_path)) == 20


@pytest.mark.parametrize(
    ("name", "environments", "key", "says"),
    [
        ("alice", ["dev"], None, 'there is a key "alice" already; revoke it first'),
        ("bob", [], None, "at least one environment"),
        ("b b", ["dev"], None, "'b b' is no name"),
        ("bob", ["de v"], None, "'de v' is no name"),
        ("bob", ["dev"], "sk-cloud", "the given key is none of ours"),
    ],
)
def test_what_cannot_be_stored_says_why_and_changes_nothing(
    tmp_path: Path, name: str, environments: list[str], key: str | None, says: str
) -> None:
    keys.add(tmp_path, "alice", ["dev"])
    before = (tmp_path / "keys.json").read_bytes()

    with pytest.raises(KeysError, match=re.escape(says)):
        keys.add(tmp_path, name, environments, key=key)
    assert (tmp_path / "keys.json").read_bytes() == before


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"schema": 2, "keys": []}', '{"schema": 1}', '{"schema": 1, "keys": [1]}']
)
def test_a_broken_file_is_never_written_over(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys.json").write_text(text)

    with pytest.raises(KeysError, match=r"keys\.json"):
        keys.add(tmp_path, "alice", ["dev"])
    assert (tmp_path / "keys.json").read_text() == text


def test_a_machine_without_a_station_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(KeysError, match="is a station set up here"):
        keys.add(tmp_path / "nowhere", "alice", ["dev"])


class TestCommand:
    """`gridtie keys`."""

    @pytest.fixture(autouse=True)
    def here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GRIDTIE_CONFIG_DIR", str(tmp_path))

    def test_add_prints_the_key_alone_on_standard_output(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["keys", "add", "alice", "--environment", "dev"]) == 0
        assert re.fullmatch(r"gt-[A-Za-z0-9_-]{43}\n", capsys.readouterr().out)

    def test_an_unusual_environment_is_pointed_out(self, capsys: pytest.CaptureFixture[str]) -> None:
        main(["keys", "add", "alice", "--environment", "prodution"])
        assert '"prodution" is none of dev, test, ci, production' in capsys.readouterr().err

    def test_list_shows_names_and_rights(self, capsys: pytest.CaptureFixture[str]) -> None:
        main(["keys", "add", "alice", "--environment", "dev", "--environment", "ci", "--admin"])
        capsys.readouterr()
        assert main(["keys", "list"]) == 0
        assert re.fullmatch(r"alice +\S+Z +dev, ci \(admin\)\n", capsys.readouterr().out)

    def test_list_as_json_is_for_programs(self, capsys: pytest.CaptureFixture[str]) -> None:
        main(["keys", "add", "alice", "--environment", "dev"])
        capsys.readouterr()
        main(["keys", "list", "--json"])
        assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["alice"]

    def test_revoking_nobody_names_who_there_is(self, capsys: pytest.CaptureFixture[str]) -> None:
        main(["keys", "add", "alice", "--environment", "dev"])
        assert main(["keys", "revoke", "bob"]) == 2
        assert 'there is no key "bob"; there are: alice' in capsys.readouterr().err


def test_what_the_playbook_wrote_of_a_key_survives_a_change_by_hand(tmp_path: Path) -> None:
    row = {"name": "relay.laptop", "sha256": "0" * 64, "environments": ["relay"], "relay": True, "managed": True}
    (tmp_path / "keys.json").write_text(json.dumps({"schema": 1, "keys": [row]}))

    keys.add(tmp_path, "alice", ["dev"])

    kept = keys.read(tmp_path)[0]
    assert (kept.relay, kept.managed, kept.environments) == (True, True, ("relay",))


def test_the_environment_of_relays_is_nobody_elses(tmp_path: Path) -> None:
    with pytest.raises(KeysError, match="other stations"):
        keys.add(tmp_path, "alice", ["relay"])
