"""What was written is read back; what was torn is told apart."""

from __future__ import annotations

import os
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtie.ledger.entry import Entry
from gridtie.ledger.journal import Begin, Journal, Torn, frame, read
from standins.ledger import cloud, local, refused

RECORDS = [local("a", tags=("x", "y")), Begin(id="b", target="openai/m", time=1.5, reserve_usd=0.25), cloud("b")]


def written(path: Path, *parts: bytes) -> Path:
    path.write_bytes(b"".join(parts))
    return path


def test_records_come_back_in_order_and_equal(tmp_path: Path) -> None:
    assert list(read(written(tmp_path / "s", *map(frame, RECORDS)))) == RECORDS


@given(st.text(), st.text())
def test_any_text_in_a_row_stays_on_one_line(message: str, agent: str) -> None:
    line = frame(refused("a", error=message, agent=agent))
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")


@pytest.mark.parametrize("cut", [1, 2, 10, 60, -2, -1])
def test_a_torn_tail_is_kept_aside_and_what_stands_before_it_is_not_lost(tmp_path: Path, cut: int) -> None:
    tail = frame(local("c"))[:cut]
    assert list(read(written(tmp_path / "s", *map(frame, RECORDS), tail)))[:-1] == RECORDS
    assert list(read(tmp_path / "s"))[-1] == Torn(sum(len(frame(r)) for r in RECORDS), tail)


def test_reading_goes_on_behind_a_damaged_line(tmp_path: Path) -> None:
    damaged = frame(local("c")).replace(b"coder", b"codex", 1)
    found = list(read(written(tmp_path / "s", frame(RECORDS[0]), damaged, frame(RECORDS[2]))))
    assert found == [RECORDS[0], Torn(len(frame(RECORDS[0])), damaged), RECORDS[2]]


def test_a_whole_line_of_another_gridtie_is_kept_aside(tmp_path: Path) -> None:
    body = b'{"of":"the future"}'
    line = b"E %08x %d %b\n" % (crc32(body, crc32(b"E")), len(body), body)
    assert list(read(written(tmp_path / "s", line))) == [Torn(0, line)]


def test_one_record_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    writes: list[bytes] = []
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: writes.append(data) or real(fd, data))
    journal.append(frame(RECORDS[0]))
    journal.close()
    assert writes == [frame(RECORDS[0])]


def test_segments_turn_over_and_none_is_appended_to_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_bytes=1000)
    numbers = [journal.append(frame(local(str(n)))) for n in range(6)]
    journal.close()
    again = Journal(tmp_path, segment_bytes=1000)
    again.close()
    assert numbers == [1, 1, 2, 2, 3, 3]
    assert again.segment == 4


def test_it_can_be_told_to_go_on_in_a_new_segment(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    numbers = [journal.append(frame(local("a"))), journal.turn(), journal.append(frame(local("b")))]
    journal.close()
    assert numbers == [1, 2, 2]


def test_drained_segments_are_dropped_and_the_rest_stay(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_bytes=1000)
    for n in range(6):
        journal.append(frame(local(str(n))))
    journal.drop_before(3)
    journal.close()
    assert [number for number, _ in journal.segments()] == [3]


def test_a_write_that_a_full_disk_cuts_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    journal.append(frame(RECORDS[0]))
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:20]))
    with pytest.raises(OSError, match="only 20 of"):
        journal.append(frame(RECORDS[2]))
    monkeypatch.setattr(os, "write", real)
    journal.append(frame(RECORDS[2]))
    journal.close()
    assert list(read(journal.segments()[0][1])) == [RECORDS[0], RECORDS[2]]


def test_an_entry_needs_few_bytes() -> None:
    """Defaults are left out: rows are written for every request."""
    assert (
        len(frame(Entry(id="a", time=1.0, key="k", environment="dev", surface="openai", asked="m", status=200))) < 150
    )
