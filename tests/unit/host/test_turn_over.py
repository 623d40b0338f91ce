"""A log that nothing rotates is at most twice as large as it may be, and its newest lines stay."""

from __future__ import annotations

from pathlib import Path

from gridtie.host.turn_over import turn_over


def test_a_large_log_becomes_the_one_before_and_who_writes_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    (tmp_path / "engine.log.1").write_text("the one before that")
    with log.open("ab", buffering=0) as writer:
        writer.write(b"old line\n" * 10)

        assert turn_over(log, 50)

        writer.write(b"new line\n")
    assert log.read_text() == "new line\n"
    assert (tmp_path / "engine.log.1").read_text() == "old line\n" * 10
    assert len(list(tmp_path.iterdir())) == 2


def test_a_small_one_and_one_that_is_not_there_are_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    assert not turn_over(log, 50)
    log.write_text("line\n")
    assert not turn_over(log, 50)
    assert [each.name for each in tmp_path.iterdir()] == ["engine.log"]
