"""A change of the keys counts once the router goes by it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from gridtie.host import keys, keys_in_force
from gridtie.host.cli import main
from standins.httpd import Httpd, serving


@pytest.fixture
def router(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Httpd]:
    """A router that goes by whatever keys `goes_by` says, of the station whose configuration is in `tmp_path`."""
    monkeypatch.setenv("GRIDTIE_CONFIG_DIR", str(tmp_path))
    monkeypatch.setattr(keys_in_force, "wait", partial(keys_in_force.wait, seconds=0.3))
    with serving() as server:
        (tmp_path / "station.json").write_text(json.dumps({"schema": 1, "endpoint": server.url}))
        (tmp_path / "station.key").write_text("gt-" + "a" * 43)
        yield server


def goes_by(router: Httpd, content: bytes, error: str | None = None) -> None:
    router.answers["/gridtie/config"] = (200, {"keys": hashlib.sha256(content).hexdigest(), "error": error})


def test_it_has_arrived_once_the_router_names_the_file_on_disk(router: Httpd, tmp_path: Path) -> None:
    keys.add(tmp_path, "alice", ["dev"])
    goes_by(router, (tmp_path / "keys.json").read_bytes())

    assert keys_in_force.wait(tmp_path) == ""
    assert router.asked[0].headers["authorization"] == "Bearer gt-" + "a" * 43


def test_a_router_that_goes_by_other_keys_is_told_and_the_key_is_printed_all_the_same(
    router: Httpd, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    goes_by(router, b"other keys")

    assert main(["keys", "add", "alice", "--environment", "dev"]) == 1

    said = capsys.readouterr()
    assert said.out.startswith("gt-")
    assert "the change is stored, but the router does not go by it yet" in said.err
    assert "keys.json" in said.err


def test_what_the_router_finds_wrong_with_its_files_is_passed_on(router: Httpd, tmp_path: Path) -> None:
    keys.add(tmp_path, "alice", ["dev"])
    goes_by(router, b"other keys", error="keys.json: not a key file")

    assert keys_in_force.wait(tmp_path, seconds=0) == "keys.json: not a key file"


@pytest.mark.parametrize("answer", [(401, {"error": {}}), (200, {"digest": "of a router before this one"})])
def test_where_the_router_cannot_tell_nobody_waits(
    router: Httpd, tmp_path: Path, answer: tuple[int, dict[str, object]]
) -> None:
    keys.add(tmp_path, "alice", ["dev"])
    router.answers["/gridtie/config"] = answer

    assert keys_in_force.wait(tmp_path) == ""
    assert len(router.asked) == 1


def test_without_a_station_or_a_router_that_runs_there_is_nothing_to_wait_for(tmp_path: Path) -> None:
    keys.add(tmp_path, "alice", ["dev"])

    assert keys_in_force.wait(tmp_path) == ""

    (tmp_path / "station.json").write_text(json.dumps({"schema": 1, "endpoint": "http://127.0.0.1:1"}))
    (tmp_path / "station.key").write_text("gt-" + "a" * 43)
    assert keys_in_force.wait(tmp_path) == ""
