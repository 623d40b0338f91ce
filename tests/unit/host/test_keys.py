"""Keys are made, listed and revoked on the host, and their file is always whole."""

from __future__ import annotations

import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from gridtie.host import audit, keys
from gridtie.host.cli import main
from gridtie.host.commands.keys import HANDED_OVER
from gridtie.host.key_limits import Limits
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
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audit", "keys.json"]


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
        ("Alice", ["dev"], None, 'there is a key "alice", and names are compared without case'),
        ("relay.laptop", ["dev"], None, "names that begin with relay. are those of other stations"),
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


@pytest.mark.parametrize(
    "more",
    [{"usd_per_year": 5}, {"limits": {"usd_per_year": 5}}, {"previous": [{"sha256": "0", "until": "", "why": ""}]}],
)
def test_what_a_newer_gridtie_says_of_a_key_is_not_lost_by_this_one(tmp_path: Path, more: dict[str, object]) -> None:
    row = {"name": "app", "sha256": "0" * 64, "environments": ["dev"], **more}
    (tmp_path / "keys.json").write_text(json.dumps({"schema": 1, "keys": [row]}))
    before = (tmp_path / "keys.json").read_bytes()

    with pytest.raises(KeysError, match="another gridtie"):
        keys.add(tmp_path, "alice", ["dev"])
    assert (tmp_path / "keys.json").read_bytes() == before


def test_a_key_that_has_ended_is_not_rotated_into_one_that_has_ended_as_well(tmp_path: Path) -> None:
    keys.add(tmp_path, "app", ["dev"], expires="2026-01-01T00:00:00Z")

    with pytest.raises(KeysError, match=r"ended .*gridtie keys edit app --expires"):
        keys.rotate(tmp_path, "app", 60.0, 1_790_000_000.0)


def test_a_change_that_cannot_be_noted_is_not_made_and_names_the_log(tmp_path: Path) -> None:
    keys.add(tmp_path, "app", ["dev"])
    before = (tmp_path / "keys.json").read_bytes()
    log = audit.of_host(tmp_path) / audit.FILE
    log.unlink()
    log.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(KeysError, match=re.escape(str(log))):
        keys.revoke(tmp_path, "app")
    assert (tmp_path / "keys.json").read_bytes() == before


def test_a_machine_without_a_station_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(KeysError, match="is a station set up here"):
        keys.add(tmp_path / "nowhere", "alice", ["dev"])


def typed(words: str) -> int:
    return main(words.split())


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

    def test_a_long_name_moves_no_column(self, capsys: pytest.CaptureFixture[str]) -> None:
        for name in ("app", "continue-somebody-with-a-long-name"):
            main(["keys", "add", name, "--environment", "dev"])
        capsys.readouterr()
        main(["keys", "list"])
        first, second = capsys.readouterr().out.splitlines()
        assert first.index("Z dev") == second.index("Z dev")

    def test_list_as_json_is_for_programs(self, capsys: pytest.CaptureFixture[str]) -> None:
        main(["keys", "add", "alice", "--environment", "dev"])
        capsys.readouterr()
        main(["keys", "list", "--json"])
        assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["alice"]

    def test_list_says_that_other_machines_have_keys_too_where_their_routers_share_them(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("GRIDTIE_STATE_DIR", str(tmp_path))
        main(["keys", "add", "alice", "--environment", "dev"])
        capsys.readouterr()
        main(["keys", "list"])
        alone = capsys.readouterr().err
        (tmp_path / "ledger").mkdir()
        (tmp_path / "ledger" / HANDED_OVER).write_text("{}")

        main(["keys", "list", "--json"])
        told = capsys.readouterr()

        assert alone == ""
        assert [row["name"] for row in json.loads(told.out)] == ["alice"]
        assert "listed and changed there" in told.err
        assert "FROM gridtie.keys" in told.err

    def test_list_shows_limits_ends_and_what_a_rotated_key_was(self, capsys: pytest.CaptureFixture[str]) -> None:
        typed("keys add app --environment dev --requests-per-minute 60 --usd-per-day 2.5 --model coder")
        typed("keys edit app --expires 2099-01-01T00:00Z --origin app://obsidian.md")
        typed("keys rotate app --overlap 90m")
        capsys.readouterr()
        typed("keys list")
        said = capsys.readouterr().out

        assert "dev; 60 requests a minute, $2.5 a day, coder only; ends " in said
        assert "; the key before it works until " in said
        assert said.endswith("; pages of app://obsidian.md\n")

    def test_what_a_rotated_key_was_is_not_listed_longer_than_the_key(self, capsys: pytest.CaptureFixture[str]) -> None:
        typed("keys add app --environment dev")
        typed("keys rotate app --overlap 7d")
        capsys.readouterr()
        typed("keys edit app --expires 1h")
        said = capsys.readouterr().out
        found = re.search(r"ends (.*); the key before it works until (.*)\n", said)

        assert found is not None
        assert found[1] == found[2]

    def test_a_row_that_an_older_router_refuses_is_seen_in_the_list(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        # What a key was stays in its row after the overlap, so that whoever comes with it is told.
        keys.add(tmp_path, "app", ["dev"])
        keys.rotate(tmp_path, "app", 60.0, 1_700_000_000.0)
        capsys.readouterr()
        typed("keys list")

        assert "; the key before it ended 2023-11-1" in capsys.readouterr().out

    def test_an_edit_takes_limits_away_and_says_what_is_left(self, capsys: pytest.CaptureFixture[str]) -> None:
        typed("keys add app --environment dev --requests-per-minute 60 --tokens-per-minute 500 --model coder")
        capsys.readouterr()

        assert typed("keys edit app --requests-per-minute none --model any --tokens-per-minute 900") == 0
        assert re.fullmatch(r"app +\S+Z +dev; 900 tokens a minute\n", capsys.readouterr().out)

    def test_who_edits_a_key_of_the_inventory_is_told_what_comes_back(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        row = {"name": "ann", "sha256": "0" * 64, "environments": ["dev"], "managed": True}
        (tmp_path / "keys.json").write_text(json.dumps({"schema": 1, "keys": [row]}))

        assert typed("keys edit ann --requests-per-minute none") == 0
        assert "gridtie_people) are back with the next run" in capsys.readouterr().err

    def test_rotate_prints_the_new_key_alone_on_standard_output(self, capsys: pytest.CaptureFixture[str]) -> None:
        main(["keys", "add", "app", "--environment", "dev"])
        old = capsys.readouterr().out
        assert main(["keys", "rotate", "app"]) == 0
        said = capsys.readouterr()

        assert re.fullmatch(r"gt-[A-Za-z0-9_-]{43}\n", said.out)
        assert said.out != old
        assert "the old key works until " in said.err

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (["--requests-per-minute", "0"], "a whole number above 0, or none"),
            (["--requests-per-minute", "1.5"], "a whole number above 0"),
            (["--usd-per-day", "nan"], "an amount above 0"),
            (["--usd-per-day", "-1"], "an amount above 0"),
            (["--expires", "yesterday"], "2026-12-31 (to its end)"),
            (["--expires", "2026-01-01"], "has passed"),
            (["--expires", "9999-12-31"], "or never"),
        ],
    )
    def test_what_is_no_limit_is_told_what_is_wanted(
        self, capsys: pytest.CaptureFixture[str], words: list[str], says: str
    ) -> None:
        with pytest.raises(SystemExit) as ended:
            main(["keys", "add", "app", "--environment", "dev", *words])

        assert ended.value.code == 2
        assert says in capsys.readouterr().err

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


class TestLimits:
    def test_a_key_without_limits_is_stored_as_it_always_was(self, tmp_path: Path) -> None:
        keys.add(tmp_path, "alice", ["dev"])
        (row,) = json.loads((tmp_path / "keys.json").read_text())["keys"]

        assert set(row) == {"name", "sha256", "environments", "admin", "relay", "managed", "created"}

    def test_what_is_stored_is_read_again(self, tmp_path: Path) -> None:
        limits = Limits(requests_per_minute=60, usd_per_day=2.5, models=("coder", "chat"))
        keys.add(tmp_path, "app", ["dev"], limits=limits, expires="2099-01-01T00:00:00Z", origins=["app://obsidian.md"])
        (row,) = keys.read(tmp_path)

        assert (row.limits, row.expires, row.origins) == (limits, "2099-01-01T00:00:00Z", ("app://obsidian.md",))

    def test_an_edit_changes_what_is_given_and_leaves_the_key(self, tmp_path: Path) -> None:
        key = keys.add(tmp_path, "app", ["dev"], limits=Limits(requests_per_minute=60))
        keys.edit(tmp_path, "app", lambda row: replace(row, environments=("ci",)))
        (row,) = keys.read(tmp_path)

        assert (row.sha256, row.environments) == (keys.digest(key), ("ci",))
        assert row.limits.requests_per_minute == 60

    @pytest.mark.parametrize("origin", ["*", "null", "https://a.example/page", "https://a.example:443"])
    def test_an_origin_that_no_page_of_ones_own_has_is_refused(self, tmp_path: Path, origin: str) -> None:
        with pytest.raises(KeysError, match="cannot be declared"):
            keys.add(tmp_path, "app", ["dev"], origins=[origin])

        assert keys.read(tmp_path) == []

    def test_the_environments_of_the_inventorys_keys_are_the_inventorys(self, tmp_path: Path) -> None:
        row = {"name": "ann", "sha256": "a" * 64, "environments": ["dev"], "managed": True}
        (tmp_path / "keys.json").write_text(json.dumps({"schema": 1, "keys": [row]}))

        with pytest.raises(KeysError, match="gridtie_people"):
            keys.edit(tmp_path, "ann", lambda row: replace(row, environments=("production",)))
        keys.edit(tmp_path, "ann", lambda row: replace(row, limits=Limits(tokens_per_minute=9)))

        assert keys.read(tmp_path)[0].limits == Limits(tokens_per_minute=9)

    def test_the_key_of_another_stations_router_has_no_limits_here(self, tmp_path: Path) -> None:
        row = {"name": "relay.a", "sha256": "a" * 64, "environments": ["relay"], "relay": True, "managed": True}
        (tmp_path / "keys.json").write_text(json.dumps({"schema": 1, "keys": [row]}))

        with pytest.raises(KeysError, match="another station"):
            keys.edit(tmp_path, "relay.a", lambda row: replace(row, limits=Limits(tokens_per_minute=9)))


class TestRotation:
    def test_the_key_before_is_kept_until_the_overlap_ends(self, tmp_path: Path) -> None:
        old = keys.add(tmp_path, "app", ["dev"])
        new, until = keys.rotate(tmp_path, "app", 3600.0, 1_800_000_000.0)
        (row,) = keys.read(tmp_path)

        assert until == "2027-01-15T09:00:00Z"
        assert (row.sha256, row.previous) == (keys.digest(new), ((keys.digest(old), until),))

    def test_a_second_one_leaves_the_first_overlap_to_its_end_and_drops_what_is_over(self, tmp_path: Path) -> None:
        first = keys.add(tmp_path, "app", ["dev"])
        second, _ = keys.rotate(tmp_path, "app", 3600.0, 1_800_000_000.0)
        keys.rotate(tmp_path, "app", 7200.0, 1_800_000_060.0)
        assert [old for old, _ in keys.read(tmp_path)[0].previous] == [keys.digest(first), keys.digest(second)]

        keys.rotate(tmp_path, "app", 60.0, 1_800_003_600.0)
        assert keys.digest(first) not in [old for old, _ in keys.read(tmp_path)[0].previous]

    def test_without_an_overlap_nothing_of_before_works(self, tmp_path: Path) -> None:
        keys.add(tmp_path, "app", ["dev"])
        keys.rotate(tmp_path, "app", 3600.0, 1_800_000_000.0)
        keys.rotate(tmp_path, "app", 0.0, 1_800_000_001.0)

        assert keys.read(tmp_path)[0].previous == ()

    def test_the_overlap_does_not_outlive_the_key(self, tmp_path: Path) -> None:
        keys.add(tmp_path, "app", ["dev"], expires="2027-01-15T08:30:00Z")

        assert keys.rotate(tmp_path, "app", 3600.0, 1_800_000_000.0)[1] == "2027-01-15T08:30:00Z"

    @pytest.mark.parametrize(("name", "says"), [("station", "station.key"), ("ann", "since"), ("bob", "no key")])
    def test_what_the_playbook_makes_is_renewed_by_it(self, tmp_path: Path, name: str, says: str) -> None:
        row = {"name": "ann", "sha256": "a" * 64, "environments": ["dev"], "managed": True}
        station = {"name": "station", "sha256": "b" * 64, "environments": ["dev"], "admin": True}
        (tmp_path / "keys.json").write_text(json.dumps({"schema": 1, "keys": [row, station]}))

        with pytest.raises(KeysError, match=says):
            keys.rotate(tmp_path, name, 60.0, 1_800_000_000.0)


class TestAudit:
    def test_every_change_is_noted_with_who_made_it_and_without_its_hash(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SUDO_USER", "ann")
        key = keys.add(tmp_path, "app", ["dev"], limits=Limits(requests_per_minute=60))
        keys.edit(tmp_path, "app", lambda row: replace(row, limits=Limits()))
        keys.rotate(tmp_path, "app", 60.0, 1_800_000_000.0)
        keys.revoke(tmp_path, "app")
        lines = audit.read(audit.of_host(tmp_path))

        assert [line["what"] for line in lines] == ["key added", "key changed", "key rotated", "key revoked"]
        assert {(line["key"], line["sudo_user"], line["by"]) for line in lines} == {("app", "ann", "gridtie")}
        assert lines[0]["limits"] == {"requests_per_minute": 60}
        text = (audit.of_host(tmp_path) / audit.FILE).read_text()
        assert key not in text
        assert keys.digest(key) not in text

    def test_what_cannot_be_noted_is_not_done(self, tmp_path: Path) -> None:
        keys.add(tmp_path, "alice", ["dev"])
        log = audit.of_host(tmp_path) / audit.FILE
        log.unlink()
        log.mkdir()

        with pytest.raises(KeysError):
            keys.add(tmp_path, "bob", ["dev"])
        assert [row.name for row in keys.read(tmp_path)] == ["alice"]
