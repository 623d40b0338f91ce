"""A backup has all that no run can make again, also while the router writes."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from gridtie.host.backup.archive import Archive, BackupError
from gridtie.host.backup.make import dated, keep_newest, make
from gridtie.host.backup.places import Places
from gridtie.host.backup.restore import Restore
from gridtie.host.ledger_file import SCHEMA
from gridtie.ledger import schema
from standins.ledger import local, open_ledger
from standins.station_files import HOST, MODEL, RouterFile, rows_of, station


def names(path: Path) -> set[str]:
    with Archive(path) as archive:
        return {name for name, _ in archive.members()}


def test_it_has_keys_configuration_ledger_and_lock_and_no_more(tmp_path: Path) -> None:
    places = station(tmp_path / "a", [local("one"), local("two")])
    manifest = make(places, tmp_path / "b", HOST)

    assert names(tmp_path / "b") == {
        *("config/keys.json", "config/station.key", "config/llm_routing.yaml", "config/secrets/openai"),
        *("config/tls/server.pem", "models/added.json", "controller/lock", "ledger/ledger.sqlite"),
        *("config/audit/audit.jsonl", "ledger/audit.jsonl"),
    }
    assert (manifest.host, manifest.project, manifest.ledger_schema, manifest.ledger_rows) == (
        HOST, "gridtie", schema.VERSION, 2,
    )  # fmt: skip
    assert manifest.models == (MODEL,)


def test_it_is_its_owners_alone_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    places = station(tmp_path / "a")
    (tmp_path / "to").mkdir()
    mask = os.umask(0)
    try:
        make(places, tmp_path / "to" / "b", HOST)
    finally:
        os.umask(mask)

    assert (tmp_path / "to" / "b").stat().st_mode & 0o777 == 0o600
    assert [each.name for each in (tmp_path / "to").iterdir()] == ["b"]


def left_by_a_killed_one(places: Places, to: Path, host: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What lies in the directory where nothing could be tidied up."""
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        make(places, to / "killed", host)
    (to / "killed").unlink()
    (left,) = to.iterdir()
    assert (left / "ledger.sqlite").stat().st_size
    return left


def test_what_a_killed_one_left_goes_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = station(tmp_path / "a", [local("one")])
    (tmp_path / "to").mkdir()
    left = left_by_a_killed_one(places, tmp_path / "to", HOST, monkeypatch)
    make(places, tmp_path / "to/b", HOST)
    assert not left.exists()


def test_what_another_station_is_writing_into_the_same_directory_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a share no lock is seen by other machines."""
    places = station(tmp_path / "a", [local("one")])
    (tmp_path / "to").mkdir()
    under_way = left_by_a_killed_one(places, tmp_path / "to", f"{HOST}-2", monkeypatch)
    make(places, tmp_path / "to/b", HOST)
    assert (under_way / "ledger.sqlite").exists()


def test_a_file_that_is_there_stays_unless_told(tmp_path: Path) -> None:
    places = station(tmp_path / "a")
    (tmp_path / "b").write_text("mine")
    with pytest.raises(BackupError, match="is there already"):
        make(places, tmp_path / "b", HOST)
    assert (tmp_path / "b").read_text() == "mine"

    make(places, tmp_path / "b", HOST, over=True)
    assert "config/keys.json" in names(tmp_path / "b")


def test_the_ledger_can_be_left_out(tmp_path: Path) -> None:
    manifest = make(station(tmp_path / "a", [local("one")]), tmp_path / "b", HOST, ledger=False)
    # What the router took up lies beside the ledger and is none of it.
    assert [name for name in names(tmp_path / "b") if name.startswith("ledger/")] == ["ledger/audit.jsonl"]
    assert (manifest.ledger_schema, manifest.ledger_rows) == (0, None)


def restored(places: Places, backup: Path, root: Path) -> list[str]:
    """The rows that a station elsewhere has after it got the backup."""
    target = Places(root / "etc", root / "var")
    Restore(target, RouterFile(root / "runs"), HOST).run(backup)
    return rows_of(target)


def test_a_row_that_is_in_the_journal_alone_is_not_missing(tmp_path: Path) -> None:
    places = station(tmp_path / "a", [local("stored")])
    other = station(tmp_path / "other")
    ledger = open_ledger(other.state)
    ledger.record(local("journalled"))
    segment = next(each for each in sorted(other.journal.glob("*.log")) if each.stat().st_size)
    places.journal.mkdir(exist_ok=True)
    (places.journal / "000000000007.log").write_bytes(segment.read_bytes() + b"E 0badc0de 12 {half a rec")
    ledger.close()
    make(places, tmp_path / "b", HOST)

    assert restored(places, tmp_path / "b", tmp_path / "anew") == ["journalled", "stored"]
    # The record that was being written is no damage.
    assert not (tmp_path / "anew/var/ledger/torn").exists()


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_the_routers_user_put_in_the_place_of_a_part_of_the_journal_is_not_read(tmp_path: Path, kind: str) -> None:
    """Root would put what it points to where that user can read it, or wait for ever."""
    places = station(tmp_path / "a")
    places.journal.mkdir(exist_ok=True)
    odd = places.journal / "000000000007.log"
    if kind == "link":
        (tmp_path / "roots").write_text("of root alone\n")
        odd.symlink_to(tmp_path / "roots")
    else:
        os.mkfifo(odd)
    with pytest.raises(BackupError, match=r"000000000007\.log is a link, no plain file"):
        make(places, tmp_path / "b", HOST)


def test_beside_a_router_that_writes_no_row_that_had_ended_is_missing(tmp_path: Path) -> None:
    places = station(tmp_path / "a")
    ledger = open_ledger(places.state)
    ended: list[str] = []
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            id = f"r{len(ended):06}"
            ledger.record(local(id))
            ended.append(id)
            stop.wait(0.0005)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        for number in range(6):
            before = list(ended)
            make(places, tmp_path / f"b{number}", HOST)
            found = restored(places, tmp_path / f"b{number}", tmp_path / f"anew{number}")
            assert set(before) <= set(found)
            assert len(found) == len(set(found))
    finally:
        stop.set()
        thread.join()
        ledger.close()
    assert len(ended) > 50


def test_a_damaged_ledger_is_told_and_no_backup_is_left(tmp_path: Path) -> None:
    places = station(tmp_path / "a", [local(str(number)) for number in range(500)])
    content = bytearray(places.ledger.read_bytes())
    content[8192:16384] = os.urandom(8192)
    places.ledger.write_bytes(content)
    with pytest.raises(BackupError, match=r"ledger\.sqlite"):
        make(places, tmp_path / "b", HOST)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("kind", ["link", "link to a directory", "pipe", "long name"])
def test_what_could_not_be_put_back_is_told(tmp_path: Path, kind: str) -> None:
    places = station(tmp_path / "a")
    odd = places.config / "secrets" / ("x" * 120 if kind == "long name" else "odd")
    if kind == "link":
        odd.symlink_to("/etc/passwd")
    elif kind == "link to a directory":
        odd.symlink_to(places.state)
    elif kind == "pipe":
        os.mkfifo(odd)
    else:
        odd.touch()
    with pytest.raises(BackupError, match="move it away"):
        make(places, tmp_path / "b", HOST)


def test_what_may_not_be_read_is_told_and_not_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a member of the station's group, who reads all but the audit log."""
    places = station(tmp_path / "a")
    scan = os.scandir

    def denied(path: str) -> object:
        if str(path).endswith("/audit"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(BackupError, match="audit: Permission denied; run it with sudo"):
        make(places, tmp_path / "b", HOST)


def test_of_dated_ones_the_newest_stay_and_other_files_do_too(tmp_path: Path) -> None:
    made = [dated(tmp_path, "gridtie", HOST, 1_795_000_000.0 + day * 86400) for day in range(4)]
    others = [tmp_path / f"gridtie-{HOST}-old.tar.gz", dated(tmp_path, "gridtie", "bob", 1.0)]
    for path in (*made, *others):
        path.touch()

    assert keep_newest(made[3], "gridtie", HOST, 2) == made[:2]
    assert set(tmp_path.iterdir()) == {*made[2:], *others}


def test_the_one_that_was_just_made_stays_also_where_the_clock_was_ahead_before(tmp_path: Path) -> None:
    ahead = [dated(tmp_path, "gridtie", HOST, 2_000_000_000.0 + day) for day in range(3)]
    made = dated(tmp_path, "gridtie", HOST, 1_795_000_000.0)
    for path in (*ahead, made):
        path.touch()

    assert keep_newest(made, "gridtie", HOST, 2) == ahead[:2]
    assert keep_newest(made, "gridtie", HOST, 1) == ahead[2:]
    assert list(tmp_path.iterdir()) == [made]


def test_the_schema_that_a_host_knows_is_the_routers() -> None:
    assert schema.VERSION == SCHEMA
