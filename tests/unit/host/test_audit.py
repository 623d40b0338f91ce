"""The audit log only grows, up to a bound, and is read whatever happened to it."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gridtie.host import audit


def test_a_line_says_what_when_and_who(tmp_path: Path) -> None:
    audit.note(tmp_path / "audit", "key added", key="app")
    (line,) = audit.read(tmp_path / "audit")

    assert (line["what"], line["key"], line["uid"], line["by"]) == ("key added", "app", os.getuid(), "gridtie")
    assert line["time"].endswith("Z")


def test_what_is_said_of_it_cannot_pass_for_who_did_it(tmp_path: Path) -> None:
    audit.note(tmp_path / "audit", "key added", uid=4711)

    assert audit.read(tmp_path / "audit")[0]["uid"] == os.getuid()


def test_it_is_nobody_elses_to_read(tmp_path: Path) -> None:
    audit.note(tmp_path / "audit", "key added")

    assert (tmp_path / "audit").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "audit" / audit.FILE).stat().st_mode & 0o007 == 0


def test_it_is_bounded_and_the_newest_are_kept_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "MOST_BYTES", 2000)
    for number in range(200):
        audit.note(tmp_path, "key added", number=number)
    numbers = [line["number"] for line in audit.read(tmp_path)]

    assert numbers == list(range(numbers[0], 200))
    assert numbers[0] > 0
    assert len(list(tmp_path.iterdir())) == audit.KEPT + 1
    assert all(path.stat().st_size < 2400 for path in tmp_path.iterdir())


def test_two_at_once_lose_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "MOST_BYTES", 5000)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: audit.note(tmp_path, "key added", number=number), range(60)))

    assert sorted(line["number"] for line in audit.read(tmp_path)) == list(range(60))


def test_a_line_that_was_cut_off_is_passed_over(tmp_path: Path) -> None:
    audit.note(tmp_path, "key added")
    with (tmp_path / audit.FILE).open("a") as log:
        log.write('{"what": "key rev\n[1]\n')
    audit.note(tmp_path, "key revoked")

    assert [line["what"] for line in audit.read(tmp_path)] == ["key added", "key revoked"]


def test_a_line_that_was_cut_off_does_not_take_the_next_with_it(tmp_path: Path) -> None:
    audit.note(tmp_path, "key added")
    with (tmp_path / audit.FILE).open("a") as log:
        log.write('{"what": "key rev')
    audit.note(tmp_path, "key revoked")
    audit.note(tmp_path, "key rotated")

    assert [line["what"] for line in audit.read(tmp_path)] == ["key added", "key revoked", "key rotated"]


def test_a_line_that_is_nested_without_end_hides_no_other(tmp_path: Path) -> None:
    audit.note(tmp_path, "key added")
    with (tmp_path / audit.FILE).open("a") as log:
        log.write("[" * 100_000 + "\n")

    assert [line["what"] for line in audit.read(tmp_path)] == ["key added"]


@pytest.mark.parametrize("put", ["link", "pipe"])
def test_what_is_no_file_is_not_read(tmp_path: Path, put: str) -> None:
    # The router's is in a directory of the router's, and root reads it.
    (tmp_path / "elsewhere").write_text('{"password": "1"}\n')
    if put == "link":
        (tmp_path / audit.FILE).symlink_to(tmp_path / "elsewhere")
    else:
        os.mkfifo(tmp_path / audit.FILE)

    with pytest.raises(OSError, match=audit.FILE):
        audit.read(tmp_path)


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / audit.FILE).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match=audit.FILE):
        audit.note(tmp_path, "key added")
    assert (tmp_path / "elsewhere").read_text() == ""


def test_where_nothing_was_noted_there_is_nothing(tmp_path: Path) -> None:
    assert audit.read(tmp_path / "audit") == []
