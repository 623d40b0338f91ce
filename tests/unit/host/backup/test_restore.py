"""A backup is put back whole or not at all, and what was there before can be had back."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gridtie.host import audit
from gridtie.host.backup.archive import Archive, BackupError, Manifest, member_of, write
from gridtie.host.backup.make import make
from gridtie.host.backup.places import Places
from gridtie.host.backup.restore import BEFORE, Restore
from gridtie.host.paths import RESTORE_PLAN, StationError
from standins.ledger import local, open_ledger
from standins.station_files import HOST, ROUTING, RouterFile, rows_of, station, tree

TESTS = Path(__file__).parents[3]
LOST = "gt-" + "a" * 43
ANEW = "gt-" + "b" * 43


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """Of a station whose machine is lost."""
    make(station(tmp_path / "lost", [local("one"), local("two")], key=LOST), tmp_path / "b", HOST)
    return tmp_path / "b"


@pytest.fixture
def anew(tmp_path: Path) -> Places:
    """A station that was made in its place, and has answered a request already."""
    return station(tmp_path / "anew", [local("later")], key=ANEW)


@pytest.fixture
def router(tmp_path: Path) -> RouterFile:
    (tmp_path / "runs").touch()
    return RouterFile(tmp_path / "runs")


def key_of(places: Places) -> str:
    return (places.config / "station.key").read_text().strip()


def test_keys_configuration_and_ledger_are_those_of_the_backup(backup: Path, anew: Places, router: RouterFile) -> None:
    (anew.config / "llm_routing.yaml").write_text("version: 1\n")
    done = Restore(anew, router, HOST).run(backup)

    assert key_of(anew) == LOST
    assert (anew.config / "llm_routing.yaml").read_text() == ROUTING
    assert (anew.config / "secrets/openai").stat().st_mode & 0o777 == 0o640
    assert rows_of(anew) == ["one", "two"]
    assert router.asked == ["stop", "start"]
    assert not done.finished
    assert not (anew.config / RESTORE_PLAN).exists()


def test_an_audit_log_is_put_back_where_there_is_none_and_never_replaced(
    backup: Path, anew: Places, router: RouterFile, tmp_path: Path
) -> None:
    """Both say that the backup was restored."""
    before = (anew.config / "audit/audit.jsonl").read_text()
    done = Restore(anew, router, HOST).run(backup)
    noted = (anew.config / "audit/audit.jsonl").read_text()
    assert noted.startswith(before)
    assert [line["what"] for line in audit.read(audit.of_host(anew.config))][-1] == "backup restored"
    assert sum("none is ever replaced" in each for each in done.kept) == 2

    places = Places(tmp_path / "none/etc", tmp_path / "none/var")
    Restore(places, RouterFile(tmp_path / "never"), HOST).run(backup)
    assert (places.config / "audit").stat().st_mode & 0o777 == 0o700
    assert [line["what"] for line in audit.read(audit.of_host(places.config))] == ["key added", "backup restored"]
    assert [line["what"] for line in audit.read(audit.of_router(places.state))] == ["started"]


def test_the_machine_of_a_new_station_stays_what_it_is(backup: Path, anew: Places, router: RouterFile) -> None:
    before = (anew.config / "station.json").read_bytes()
    Restore(anew, router, HOST).run(backup)
    assert (anew.config / "station.json").read_bytes() == before


def test_before_there_is_a_station_the_files_wait_for_it(backup: Path, tmp_path: Path) -> None:
    places = Places(tmp_path / "none/etc", tmp_path / "none/var")
    router = RouterFile(tmp_path / "never")
    done = Restore(places, router, HOST).run(backup)

    assert (key_of(places), rows_of(places)) == (LOST, ["one", "two"])
    assert (done.plan.before, router.asked) == ("", [])
    assert (places.config / "secrets").stat().st_mode & 0o777 == 0o750
    assert [each.partition(":")[0] for each in done.kept] == ["controller/lock"]


def test_the_way_back_is_the_backup_of_what_was(backup: Path, anew: Places, router: RouterFile) -> None:
    done = Restore(anew, router, HOST).run(backup)
    assert Path(done.plan.before).stat().st_mode & 0o777 == 0o600
    assert (anew.state / BEFORE).stat().st_mode & 0o777 == 0o700

    Restore(anew, router, HOST).run(Path(done.plan.before))
    assert (key_of(anew), rows_of(anew)) == (ANEW, ["later"])


def test_a_ledger_that_is_damaged_is_no_obstacle_and_stays_as_it_was(
    backup: Path, anew: Places, router: RouterFile
) -> None:
    anew.ledger.write_bytes(b"no ledger any more")
    done = Restore(anew, router, HOST).run(backup)

    assert rows_of(anew) == ["one", "two"]
    (kept,) = (anew.state / BEFORE).glob("*-ledger")
    assert (kept / "ledger.sqlite").read_bytes() == b"no ledger any more"
    with Archive(Path(done.plan.before)) as archive:
        assert "config/keys.json" in archive.manifest.members


def test_nothing_of_the_ledger_before_is_taken_for_a_part_of_this_one(
    backup: Path, anew: Places, router: RouterFile
) -> None:
    """The router of the new station was killed: its last rows are beside the file."""
    ledger = open_ledger(anew.state)
    ledger.record(local("unfinished"))
    ledger.flush()
    left = tree(anew.state / "ledger")
    ledger.close()
    for path, content in left.items():
        Path(path).write_bytes(content)
    assert any(path.endswith("-wal") for path in left)

    done = Restore(anew, router, HOST).run(backup)

    assert rows_of(anew) == ["one", "two"]
    with Archive(Path(done.plan.before)) as archive:
        assert archive.manifest.ledger_rows == 2


def test_a_backup_without_the_ledger_leaves_that_alone(tmp_path: Path, anew: Places, router: RouterFile) -> None:
    make(station(tmp_path / "lost", key=LOST), tmp_path / "b", HOST, ledger=False)
    Restore(anew, router, HOST).run(tmp_path / "b")
    assert (key_of(anew), rows_of(anew)) == (LOST, ["later"])


def test_a_router_that_did_not_run_is_not_started(backup: Path, anew: Places, tmp_path: Path) -> None:
    router = RouterFile(tmp_path / "off")
    Restore(anew, router, HOST).run(backup)
    assert router.asked == []


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3000])


def of_a_newer_version(path: Path) -> None:
    rewritten(path, version="1.2.0")


def of_a_newer_schema(path: Path) -> None:
    rewritten(path, ledger_schema=99)


def of_another_machine(path: Path) -> None:
    rewritten(path, host="bob-laptop")


def rewritten(path: Path, **changes: object) -> None:
    """The same backup, whose manifest says something else."""
    with Archive(path) as archive:
        contents = {name: b"".join(pieces) for name, pieces in archive.members()}
        manifest = replace(archive.manifest, **changes)  # type: ignore[arg-type]
    with path.open("wb") as file:
        write(file, manifest, contents)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (cut, "no whole backup"),
        (of_a_newer_version, r"made by gridtie 1\.2\.0"),
        (of_a_newer_schema, "ledger schema 99"),
        (of_another_machine, "is of the station on bob-laptop.*--from-other"),
    ],
)
def test_what_does_not_belong_here_is_told_and_nothing_is_changed(
    backup: Path, anew: Places, router: RouterFile, spoil: Callable[[Path], None], told: str
) -> None:
    spoil(backup)
    before = tree(anew.config, anew.state)
    with pytest.raises(BackupError, match=told):
        Restore(anew, router, HOST).run(backup)
    assert tree(anew.config, anew.state) == before
    assert router.running()


def test_a_ledger_that_is_newer_than_the_manifest_says_is_told_as_well(
    tmp_path: Path, anew: Places, router: RouterFile
) -> None:
    lost = station(tmp_path / "lost", key=LOST)
    with sqlite3.connect(lost.ledger) as opened:
        opened.execute("PRAGMA user_version = 99")
    opened.close()
    make(lost, tmp_path / "b", HOST)
    rewritten(tmp_path / "b", ledger_schema=1)
    with pytest.raises(BackupError, match="ledger schema 99"):
        Restore(anew, router, HOST).run(tmp_path / "b")
    assert (key_of(anew), router.asked) == (ANEW, [])


def test_a_backup_of_another_machine_is_taken_where_that_is_meant(
    backup: Path, anew: Places, router: RouterFile
) -> None:
    of_another_machine(backup)
    Restore(anew, router, HOST).run(backup, other=True)
    assert key_of(anew) == LOST


def test_a_member_that_is_no_part_of_a_station_is_refused(tmp_path: Path, anew: Places, router: RouterFile) -> None:
    for name in ("config/station.json", "models/blobs", "programs/gridtie", "ledger/journal/x.log"):
        manifest = Manifest("2026-11-29T12:00:00Z", "1.1.0", HOST, "gridtie", members={name: member_of(b"x")})
        with (tmp_path / "b").open("wb") as file:
            write(file, manifest, {name: b"x"})
        with pytest.raises(BackupError, match="is no part of a station"):
            Restore(anew, router, HOST).run(tmp_path / "b")


def test_a_ledger_that_somebody_elses_router_uses_is_not_touched(
    backup: Path, anew: Places, router: RouterFile
) -> None:
    ledger = open_ledger(anew.state)
    try:
        with pytest.raises(BackupError, match="uses"):
            Restore(anew, router, HOST).run(backup)
    finally:
        ledger.close()
    assert (key_of(anew), rows_of(anew)) == (ANEW, ["later"])
    assert router.running()


def test_where_the_router_cannot_be_stopped_nothing_is_changed(
    backup: Path, anew: Places, router: RouterFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot() -> None:
        raise StationError("no Docker")

    monkeypatch.setattr(router, "stop", cannot)
    before = tree(anew.config, anew.state)
    with pytest.raises(StationError, match="no Docker"):
        Restore(anew, router, HOST).run(backup)
    assert tree(anew.config, anew.state) == before


def test_the_lock_comes_back_where_there_is_none_and_replaces_another_only_if_told(
    backup: Path, anew: Places, router: RouterFile
) -> None:
    lock = anew.controller["lock"]
    lock.unlink()
    Restore(anew, router, HOST).run(backup)
    assert lock.read_text() == "schema: 1\n"

    lock.write_text("schema: 1\nmodels: {}\n")
    done = Restore(anew, router, HOST).run(backup)
    assert lock.read_text() == "schema: 1\nmodels: {}\n"
    assert any("--with-controller" in each for each in done.kept)

    Restore(anew, router, HOST).run(backup, controller=True)
    assert lock.read_text() == "schema: 1\n"


def test_who_may_not_write_is_told_before_anything_is_read(
    anew: Places, router: RouterFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(BackupError, match="run it with sudo"):
        Restore(anew, router, HOST).run(Path("/nowhere"))


# In a process of its own with one thread, which is what may be forked.
KILLED = """
import json, os, shutil, sys
from pathlib import Path
from gridtie.host.backup.places import Places
from gridtie.host.backup.restore import Restore
from gridtie.host.paths import RESTORE_PLAN, read_station
from standins.killed import kill_everywhere
from standins.station_files import HOST, RouterFile, tree

os.fsync = lambda descriptor: None
root, pristine, backup = map(Path, sys.argv[1:])

def places():
    return Places(root / "etc", root / "var", read_station(root / "etc"))

def prepare():
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(pristine, root)
    (root / "runs").touch()

def work():
    Restore(places(), RouterFile(root / "runs"), HOST).run(backup)

seen = []

def check(step):
    here = places()
    assert (here.config / "station.key").read_text().strip() == "gt-" + "a" * 43, step
    assert (root / "runs").exists(), f"the router does not run after step {step}"
    left = [each for each in tree(here.config, here.state) if "gridtie-restore" in each or RESTORE_PLAN in each]
    assert not left, (step, left)
    assert "lost" in (here.journal / "000000000007.log").read_text(), step
    everything = tree(here.config, here.state).items()
    # Each run has its time.
    seen.append({each: text for each, text in everything if "/backups/" not in each and "/audit" not in each})

steps = kill_everywhere(prepare, work, check)
for step, each in enumerate(seen, 1):
    assert each == seen[-1], (step, {path for path in {**each, **seen[-1]} if each.get(path) != seen[-1].get(path)})
print(steps)
"""


def test_killed_at_any_step_and_run_again_it_is_as_if_nothing_had_been(anew: Places, tmp_path: Path) -> None:
    """Also where a part of the journal there has the name of one that is put back."""
    lost, backup = station(tmp_path / "lost", [local("one"), local("two")], key=LOST), tmp_path / "b"
    for each in (lost, anew):
        each.journal.mkdir(exist_ok=True)
        (each.journal / "000000000007.log").write_text(f"of {each.config}\n")
    make(lost, backup, HOST)
    environ = {**os.environ, "PYTHONPATH": f"{TESTS.parent / 'src'}:{TESTS}"}
    command = [sys.executable, "-c", KILLED, str(tmp_path / "target"), str(tmp_path / "anew"), str(backup)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) > 30


@pytest.mark.parametrize(("stage", "key"), [("staging", ANEW), ("decided", LOST), ("moved", ANEW)])
def test_without_a_file_what_was_broken_off_is_finished_or_undone(
    backup: Path, anew: Places, router: RouterFile, stage: str, key: str
) -> None:
    assert Restore(anew, router, HOST).finish() is None

    staged = anew.config / ".station.key.gridtie-restore"
    if stage != "moved":
        staged.write_text(LOST)
    plan = {"backup": str(backup), "made": "", "stage": stage, "running": True,
            "moves": [[str(staged), str(anew.config / "station.key")]], "remove": [], "before": ""}  # fmt: skip
    (anew.config / RESTORE_PLAN).write_text(json.dumps(plan))
    router.stop()

    done = Restore(anew, router, HOST).finish()

    assert done
    assert done.finished
    assert key_of(anew) == key
    assert router.running()
    assert not staged.exists()
    assert not (anew.config / RESTORE_PLAN).exists()


class CannotStart(RouterFile):
    """Cannot serve with the routing file of the lost station."""

    def __init__(self, path: Path, places: Places) -> None:
        super().__init__(path)
        self._routing = places.config / "llm_routing.yaml"

    def start(self) -> None:
        if self._routing.read_text() == ROUTING:
            self.path.unlink(missing_ok=True)
            raise StationError("the router runs, and does not serve yet")
        super().start()


def test_where_the_router_cannot_serve_with_a_backup_the_way_back_is_open(
    backup: Path, anew: Places, tmp_path: Path
) -> None:
    (anew.config / "llm_routing.yaml").write_text("version: 1\n")
    (tmp_path / "runs").touch()
    router = CannotStart(tmp_path / "runs", anew)
    with pytest.raises(BackupError, match="what was before is in"):
        Restore(anew, router, HOST).run(backup)
    assert key_of(anew) == LOST

    (before,) = (anew.state / BEFORE).glob("*.tar.gz")
    done = Restore(anew, router, HOST).run(before)

    assert (key_of(anew), rows_of(anew)) == (ANEW, ["later"])
    assert (done.plan.running, router.running()) == (True, True)
    assert not (anew.config / RESTORE_PLAN).exists()


def test_a_router_that_an_earlier_run_left_stopped_is_started_where_the_next_backup_is_damaged(
    backup: Path, anew: Places, router: RouterFile
) -> None:
    plan = {"backup": str(backup), "made": "", "stage": "moved", "running": True}
    (anew.config / RESTORE_PLAN).write_text(json.dumps(plan))
    router.stop()
    cut(backup)
    with pytest.raises(BackupError, match="no whole backup"):
        Restore(anew, router, HOST).run(backup)
    assert router.running()


def test_where_the_router_does_not_start_again_either_both_reasons_are_told(
    backup: Path, anew: Places, router: RouterFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot() -> None:
        raise StationError("no Docker any more")

    ledger = open_ledger(anew.state)
    monkeypatch.setattr(router, "start", cannot)
    try:
        with pytest.raises(BackupError, match=r"a router .* uses(.|\n)*no Docker any more"):
            Restore(anew, router, HOST).run(backup)
    finally:
        ledger.close()


def test_the_loss_of_power_leaves_no_plan_that_cannot_be_read(
    backup: Path, anew: Places, router: RouterFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is on the disk before its name is."""
    written: list[str] = []
    sync = os.fsync

    def noted(file: int) -> None:
        written.append(str(Path(f"/proc/self/fd/{file}").readlink()))
        sync(file)

    monkeypatch.setattr(os, "fsync", noted)
    Restore(anew, router, HOST).run(backup)
    assert sum(RESTORE_PLAN in each for each in written) == 3
