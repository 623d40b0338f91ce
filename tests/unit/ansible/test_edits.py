"""A person's edit of a file on the host is known as such, and never lost."""

from __future__ import annotations

import datetime
import os
import time
from pathlib import Path
from typing import Any

import pytest
from plugins.module_utils import gridtie_edits
from plugins.modules import gridtie_host_state

NOW = datetime.datetime(2026, 11, 29, 6, 15, tzinfo=datetime.UTC)


def write(path: Path, content: str, edits: str = "keep", *, check: bool = False, day: int = 0) -> Any:
    entry = {"path": str(path), "content": content, "mode": "0640", "edits": edits}
    return gridtie_edits.ensure(entry, check, NOW + datetime.timedelta(days=day))


@pytest.fixture
def routing(tmp_path: Path) -> Path:
    """As a run has left it."""
    path = tmp_path / "llm_routing.yaml"
    write(path, "ours\n")
    return path


def copies(path: Path) -> list[str]:
    return [Path(copy).read_text() for copy in gridtie_edits.copies(str(path))]


def test_what_nobody_edited_is_brought_up_to_date_and_its_copy_stays(routing: Path) -> None:
    assert not gridtie_edits.edited(str(routing))
    assert write(routing, "newer\n")
    assert write(routing, "newer\n") is None
    assert (routing.read_text(), copies(routing)) == ("newer\n", ["ours\n"])


def test_an_edit_stays_in_force_unless_it_is_given_up(routing: Path) -> None:
    routing.write_text("a person's\n")

    assert write(routing, "newer\n") is None
    assert gridtie_edits.edited(str(routing))
    assert (routing.read_text(), copies(routing)) == ("a person's\n", [])


def test_an_edit_that_is_given_up_stays_as_a_copy_with_its_mode(routing: Path) -> None:
    routing.write_text("a person's\n")
    routing.chmod(0o600)

    assert write(routing, "newer\n", "replace")

    (copy,) = gridtie_edits.copies(str(routing))
    assert Path(copy).name == "llm_routing.yaml.20261129T061500Z"
    assert (Path(copy).read_text(), Path(copy).stat().st_mode & 0o777) == ("a person's\n", 0o600)
    assert routing.read_text() == "newer\n"
    assert not gridtie_edits.edited(str(routing))


def test_an_edit_that_was_taken_over_is_ours_from_then_on(routing: Path) -> None:
    routing.write_text("a person's\n")

    write(routing, "a person's\n")
    write(routing, "newer\n")

    assert routing.read_text() == "newer\n"


def test_check_mode_tells_and_changes_nothing(routing: Path) -> None:
    routing.write_text("a person's\n")
    before = sorted(routing.parent.iterdir())

    assert write(routing, "newer\n", "replace", check=True)["diff"]["before"] == "a person's\n"
    assert (routing.read_text(), sorted(routing.parent.iterdir())) == ("a person's\n", before)


def test_only_the_newest_copies_stay(routing: Path) -> None:
    for day in range(8):
        routing.write_text(f"edit {day}\n")
        write(routing, f"newer {day}\n", "replace", day=day)

    assert copies(routing) == [f"edit {day}\n" for day in range(3, 8)]


def test_an_edit_keeps_the_mode_that_the_router_needs(routing: Path) -> None:
    routing.write_text("a person's\n")
    routing.chmod(0o600)

    assert write(routing, "newer\n")
    assert (routing.read_text(), routing.stat().st_mode & 0o777) == ("a person's\n", 0o640)


def test_a_station_without_a_record_is_taken_as_edited_unless_all_of_it_was_written_at_once(tmp_path: Path) -> None:
    routing, other = tmp_path / "llm_routing.yaml", tmp_path / "models.yaml"
    for path in (routing, other):
        path.write_text("1.0.0\n")
    assert not gridtie_edits.edited(str(routing))

    # An editor that sets the time of the content back cannot set back when it did so.
    routing.write_text("a person's\n")
    other_time = other.stat().st_mtime - 3600
    os.utime(other, (other_time, other_time))

    assert gridtie_edits.edited(str(routing))
    write(routing, "1.1.0\n")
    assert routing.read_text() == "a person's\n"


def test_a_record_that_was_cut_short_counts_as_none(routing: Path) -> None:
    (routing.parent / gridtie_edits.RECORD).write_text('{"llm_rou')
    later = time.time() + 60
    os.utime(routing, (later, later))

    assert gridtie_edits.edited(str(routing))


def test_what_a_host_shows_is_told_without_its_keys(tmp_path: Path) -> None:
    key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"
    certificate = "-----BEGIN CERTIFICATE-----\nTUlJ\n-----END CERTIFICATE-----\n"
    (tmp_path / "server.pem").write_text(key + certificate)
    (tmp_path / "pool-gpu.pem").write_text(certificate * 2)

    assert gridtie_host_state.certificates(tmp_path) == {"pool-gpu.pem": certificate * 2, "server.pem": certificate}
    assert gridtie_host_state.certificates(tmp_path / "none") == {}
