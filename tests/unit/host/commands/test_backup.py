"""`gridtie backup` and `restore`: what is typed, what is said, and what becomes of the router."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridtie.host import cli
from gridtie.host.backup.make import dated
from gridtie.host.backup.places import Places
from standins.httpd import Httpd, serving
from standins.ledger import local
from standins.station_files import rows_of, station, tree

LOST = "gt-" + "a" * 43
ANEW = "gt-" + "b" * 43
# Notes what it was asked, and says that the router runs.
DOCKER = '#!/bin/sh\necho "$*" >>{log}\ncase "$*" in *State.Running*) echo true ;; esac\n'


@pytest.fixture
def router(tmp_path: Path) -> Iterator[Httpd]:
    with serving() as server:
        server.answers["/readyz"] = (200, {"status": "ready", "reasons": []})
        yield server


@pytest.fixture
def here(router: Httpd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """This machine's station, with a Docker."""
    places = station(tmp_path / "here", [local("one")], key=LOST)
    document = {
        **places.station, "endpoint": router.url, "site_command": "make site",
        "engine": {"kind": "embedded", "mode": "container", "container": "gridtie-engine-1"},
        "expected": {"router_container": "gridtie-router-1", "docker_host": "unix:///run/docker.sock"},
    }  # fmt: skip
    (places.config / "station.json").write_text(json.dumps(document))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/docker").write_text(DOCKER.format(log=tmp_path / "asked"))
    (tmp_path / "bin/docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("GRIDTIE_CONFIG_DIR", str(places.config))
    monkeypatch.setenv("GRIDTIE_STATE_DIR", str(places.state))
    return places


def test_a_backup_says_what_is_in_it_and_what_of_that_is_secret(
    here: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["backup", str(tmp_path / "b")]) == 0
    said = capsys.readouterr().out

    assert cli.main(["backup", "--list", str(tmp_path / "b")]) == 0
    listed = capsys.readouterr().out

    assert said.endswith(listed)
    for part in (socket.gethostname(), "1 row, schema", "gridtie/smollm2:135m sha256:5555", "config/llm_routing.yaml"):
        assert part in listed
    secret = [line.split("SECRET: ")[1] for line in listed.splitlines() if "SECRET" in line]
    assert sorted(secret) == [
        "a certificate with its private key",
        "a key of a cloud",
        "the hashes of all keys",
        "the station's own key, which may do everything",
    ]
    assert LOST not in said


def test_json_has_every_hash(here: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["backup", str(tmp_path / "b"), "--json", "--without", "ledger"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ledger_rows"] is None
    assert len(told["members"]["config/keys.json"]["sha256"]) == 64


def test_an_older_backup_that_cannot_be_removed_is_told_and_the_new_one_is_there(
    here: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "to").mkdir()
    old = dated(tmp_path / "to", "gridtie", socket.gethostname(), 1.0)
    old.mkdir()  # Root removes any file.

    assert cli.main(["backup", str(tmp_path / "to"), "--keep", "1"]) == 2

    (made,) = (each for each in (tmp_path / "to").iterdir() if each != old)
    assert f"{made} is made, and an older one cannot be removed: " in capsys.readouterr().err


def test_a_check_is_an_exit_status(here: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "b"
    cli.main(["backup", str(path)])
    assert cli.main(["backup", "--check", str(path)]) == 0
    assert "is whole" in capsys.readouterr().out

    path.write_bytes(path.read_bytes()[:-2000])
    assert cli.main(["backup", "--check", str(path)]) == 1
    assert "no whole backup" in capsys.readouterr().err


def test_in_a_directory_it_has_a_name_of_its_own_and_the_newest_stay(here: Places, tmp_path: Path) -> None:
    directory = tmp_path / "backups"
    directory.mkdir()
    older = directory / f"gridtie-{socket.gethostname()}-20200101T000000Z.tar.gz"
    older.touch()

    assert cli.main(["backup", str(directory), "--keep", "1"]) == 0

    (made,) = directory.iterdir()
    assert made != older
    assert cli.main(["backup", "--check", str(made)]) == 0


@pytest.mark.parametrize("words", [["--keep", "3"], ["--keep", "0"]])
def test_how_many_are_kept_is_asked_of_a_directory_alone(here: Places, tmp_path: Path, words: list[str]) -> None:
    try:
        assert cli.main(["backup", str(tmp_path / "b"), *words]) == 2
    except SystemExit as ended:
        assert ended.code == 2
    assert not (tmp_path / "b").exists()


def test_restored_the_router_is_started_again_and_the_way_back_is_told(
    here: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["backup", str(tmp_path / "b")])
    (here.config / "station.key").write_text(ANEW)
    (tmp_path / "asked").write_text("")
    capsys.readouterr()

    assert cli.main(["restore", str(tmp_path / "b")]) == 0

    said = capsys.readouterr().out
    assert (here.config / "station.key").read_text().strip() == LOST
    assert rows_of(here) == ["one"]
    verbs = [line.split()[2] for line in (tmp_path / "asked").read_text().splitlines()]
    assert verbs == ["inspect", "stop", "start"]
    assert "before-restore-" in said
    assert "Next: `make site`" in said


def test_a_router_that_does_not_serve_with_it_is_told(
    here: Places, router: Httpd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gridtie.host.commands.service._READY_S", 0.0)
    cli.main(["backup", str(tmp_path / "b")])
    router.answers["/readyz"] = (503, {"status": "unready", "reasons": ["the routing file has a mistake"]})

    assert cli.main(["restore", str(tmp_path / "b")]) == 2

    assert "the routing file has a mistake" in capsys.readouterr().err


def test_without_a_file_and_without_anything_broken_off_nothing_is_done(
    here: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(here.config, here.state)
    assert cli.main(["restore"]) == 0
    assert "begins one" in capsys.readouterr().out
    assert tree(here.config, here.state) == before


def test_where_no_station_is_there_is_nothing_to_back_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRIDTIE_CONFIG_DIR", str(tmp_path / "none"))
    assert cli.main(["backup", str(tmp_path / "b")]) == 2
    assert "no station is set up" in capsys.readouterr().err
