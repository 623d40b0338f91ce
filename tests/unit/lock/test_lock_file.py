"""A lock on the disk: several writers lose nothing, and what cannot be used is neither read wrongly nor replaced."""

from __future__ import annotations

import multiprocessing
import threading
from pathlib import Path

import pytest

from gridtie.host.fit.agreed import Pick
from gridtie.lock import Choice, Lock, LockError, choose, file, read, record, take_over

A, B = "a" * 64, "b" * 64


def models(**digests: str) -> dict[str, dict[str, dict[str, str]]]:
    return {"models": {f"{name}:1b": {"manifest": digest} for name, digest in digests.items()}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gridtie.lock.yaml"


def test_what_is_recorded_is_read_by_the_next_run(path: Path) -> None:
    assert read(path) == Lock()

    record(path, "alice", models(coder=A))

    assert read(path).digests("models") == {"coder:1b": {"manifest": A}}
    assert [left.name for left in path.parent.iterdir()] == [path.name]


def test_a_second_host_is_refused_another_digest_and_nothing_of_it_is_written(path: Path) -> None:
    record(path, "alice", models(coder=A))
    before = path.read_bytes()

    with pytest.raises(LockError) as caught:
        record(path, "bob", models(other=A, coder=B))

    assert all(word in str(caught.value) for word in ("alice", A, "bob", B, str(path)))
    assert path.read_bytes() == before


def test_what_is_known_already_writes_nothing(path: Path) -> None:
    record(path, "alice", models(coder=A))
    before = path.stat().st_ino

    record(path, "bob", models(coder=A))

    assert path.stat().st_ino == before


def _learn(path: str, host: str, start: multiprocessing.synchronize.Event, count: int) -> None:
    start.wait()
    for number in range(count):
        record(Path(path), host, models(**{f"{host}{number}": A}))


def test_processes_that_write_at_once_lose_nothing_of_each_other(path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start = context.Event()
    hosts = ["alice", "bob", "carol"]
    writers = [context.Process(target=_learn, args=(str(path), host, start, 15)) for host in hosts]
    for writer in writers:
        writer.start()
    start.set()
    for writer in writers:
        writer.join(60)

    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert set(read(path).digests("models")) == {f"{host}{number}:1b" for host in hosts for number in range(15)}
    assert [left.name for left in path.parent.iterdir()] == [path.name]


def test_of_hosts_that_learn_different_digests_in_the_same_moment_one_wins_and_the_others_are_told(path: Path) -> None:
    told: list[str] = []

    def learn(host: str, digest: str) -> None:
        try:
            record(path, host, models(coder=digest))
        except LockError as error:
            told.append(str(error))

    digests = {f"host{number}": f"{number:064x}" for number in range(8)}
    threads = [threading.Thread(target=learn, args=pair) for pair in digests.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    (winner,) = [entry.learned_by for entry in read(path).entries["models"].values()]
    assert len(told) == 7
    assert all(winner in text and digests[winner] in text for text in told)


def test_a_writer_that_hangs_is_told_after_a_while(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "PATIENCE_S", 0.05)
    with file._alone(path), pytest.raises(LockError, match="another run has been writing"):
        record(path, "alice", models(coder=A))


def test_a_guard_that_a_killed_run_left_is_no_obstacle(path: Path) -> None:
    path.with_name(f".{path.name}.guard").touch()

    record(path, "alice", models(coder=A))

    assert read(path).digests("models")


def test_comments_at_the_top_the_mode_and_a_link_stay(path: Path) -> None:
    shared = path.with_name("shared.yaml")
    shared.write_text("# Ours: ask before you change it.\nschema: 1\n")
    shared.chmod(0o660)
    path.symlink_to(shared)

    record(path, "alice", models(coder=A))

    assert path.is_symlink()
    assert shared.stat().st_mode & 0o777 == 0o660
    assert shared.read_text().startswith("# Ours: ask before you change it.\nschema: 1\n")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"schema: 1\n<<<<<<< HEAD\nmodels: {}\n", ":3: the lock is damaged"),
        (b"schema: 1\nmodels: {}\nmodels: {}\n", ":3: the lock is damaged ('models' is there twice)"),
        (b"schema: 1\nimages: {x: {dig", "the lock is damaged"),
        (b"\xff\xfe\x00", "is no UTF-8"),
        (b"schema: 7\n", "newer version"),
        (b"schema: 1\nmodels: {'x:1': {manifest: abc}}\n", "models.x:1.manifest"),
    ],
    ids=str,
)
def test_a_lock_that_cannot_be_used_is_told_with_its_path_and_left_as_it_is(
    path: Path, content: bytes, said: str
) -> None:
    path.write_bytes(content)

    with pytest.raises(LockError) as caught:
        read(path)
    with pytest.raises(LockError):
        record(path, "alice", models(coder=A))

    assert str(path) in str(caught.value) and said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_what_is_no_digest_is_never_written(path: Path) -> None:
    with pytest.raises(LockError, match=r"models\.coder:1b\.manifest"):
        record(path, "alice", models(coder="none"))
    assert not path.exists()


def test_a_directory_that_is_not_there_is_told_with_the_setting(tmp_path: Path) -> None:
    with pytest.raises(LockError, match="gridtie_lock_file"):
        record(tmp_path / "none" / "lock.yaml", "alice", models(coder=A))


# -- stations of before there was a lock -------------------------------------------------------------------------------


def test_the_pins_of_earlier_stations_are_taken_over_once(path: Path) -> None:
    take_over(path, "alice", models(coder=A))
    # A person has accepted another digest since; the old file is still on the host.
    path.write_text(path.read_text().replace(A, B))

    take_over(path, "alice", models(coder=A))

    assert read(path).digests("models") == {"coder:1b": {"manifest": B}}
    assert read(path).taken_over == ("alice",)


def test_earlier_stations_that_disagree_are_told_and_neither_is_overridden(path: Path) -> None:
    take_over(path, "alice", models(coder=A))

    with pytest.raises(LockError, match="bob found"):
        take_over(path, "bob", models(coder=B, other=A))

    assert read(path).digests("models") == {"coder:1b": {"manifest": A}}
    assert read(path).taken_over == ("alice",)


# -- what groups run ---------------------------------------------------------------------------------------------------

SMALL, LARGE = (Choice((Pick(name, 32768, ("code",)),), "alice") for name in ("coder:1b", "coder:7b"))


def test_a_choice_that_is_there_stays_until_it_is_made_anew(path: Path) -> None:
    choose(path, {"laptops": SMALL})

    assert choose(path, {"laptops": LARGE, "servers": LARGE}).choices == {"laptops": SMALL, "servers": LARGE}
    assert choose(path, {"laptops": LARGE}, anew=True).choices == {"laptops": LARGE, "servers": LARGE}
    assert read(path).choices == {"laptops": LARGE, "servers": LARGE}


def test_what_a_group_runs_and_what_its_hosts_learned_leave_each_other_alone(path: Path) -> None:
    record(path, "alice", models(coder=A))
    choose(path, {"laptops": SMALL})
    record(path, "bob", models(other=B))

    assert set(read(path).digests("models")) == {"coder:1b", "other:1b"}
    assert read(path).choices == {"laptops": SMALL}
