"""Files of a bundle on a host: each has its place when it is what the list says, and nothing else has one."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path
from typing import Any

import pytest
from plugins.modules import gridtie_bundle_parts as parts_of

CONTENT = {"packages/a.deb": b"a package", "models/blobs/sha256-1": b"weights"}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


PARTS: list[dict[str, Any]] = [
    {"path": path, "bytes": len(content), "sha256": sha256(content)} for path, content in CONTENT.items()
]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "bundle" / "0123456789ab"


@pytest.fixture
def incoming(tmp_path: Path) -> Path:
    """The package has come in the box, the model singly."""
    package, model = CONTENT.values()
    (tmp_path / "in").mkdir()
    (tmp_path / "a.deb").write_bytes(package)
    with tarfile.open(tmp_path / "in" / "box.tar", "w:") as box:
        box.add(tmp_path / "a.deb", arcname=sha256(package))
    (tmp_path / "in" / sha256(model)).write_bytes(model)
    return tmp_path / "in"


def arrive(place: Path, incoming: Path, parts: list[dict[str, Any]] = PARTS) -> None:
    """All of the parts get their place, and nothing is left to do."""
    parts_of.put(place, parts_of.Sources(incoming), parts)
    parts_of.complete(place, incoming)


def test_what_has_arrived_gets_its_place_and_is_there_from_then_on(place: Path, incoming: Path) -> None:
    assert parts_of.there(place, PARTS) == []

    arrive(place, incoming)

    assert {path: (place / path).read_bytes() for path in CONTENT} == CONTENT
    assert parts_of.there(place, PARTS) == list(CONTENT)
    assert parts_of.is_complete(place)
    assert not incoming.exists()


def test_a_part_that_has_its_place_takes_no_room_where_it_arrived(place: Path, incoming: Path) -> None:
    """The next one comes only then: nothing but one large file is ever there twice."""
    for part in PARTS:
        parts_of.put(place, parts_of.Sources(incoming), [part])
        assert not (incoming / part["sha256"]).exists()

    assert list(incoming.iterdir()) == []
    assert not parts_of.is_complete(place)


def test_large_files_travel_one_at_a_time_and_small_ones_together() -> None:
    sizes = {"a": 1, "b": parts_of.SMALL, "c": 2, "d": parts_of.SMALL + 1}
    parts = [{"path": path, "bytes": size, "sha256": path} for path, size in sizes.items()]

    assert [[part["path"] for part in parcel] for parcel in parts_of.parcels(parts)] == [["a", "c"], ["b"], ["d"]]
    assert parts_of.parcels([]) == []


@pytest.fixture
def nearby(tmp_path: Path) -> Path:
    """The bundle itself, as on a stick in this machine."""
    for path, content in CONTENT.items():
        (tmp_path / "stick" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "stick" / path).write_bytes(content)
    return tmp_path / "stick"


def test_where_the_bundle_lies_on_the_machine_itself_nothing_is_sent(place: Path, tmp_path: Path, nearby: Path) -> None:
    sources = parts_of.Sources(tmp_path / "nothing came", nearby)

    assert parts_of.arrived(place, sources, PARTS) == list(CONTENT)
    parts_of.put(place, sources, PARTS)

    assert {path: (place / path).read_bytes() for path in CONTENT} == CONTENT


def test_what_changed_on_the_stick_meanwhile_gets_no_place(place: Path, tmp_path: Path, nearby: Path) -> None:
    (nearby / "packages/a.deb").write_bytes(b"A package")

    with pytest.raises(parts_of.PartsError, match=r"a\.deb of the bundle did not arrive whole"):
        parts_of.put(place, parts_of.Sources(tmp_path / "nothing came", nearby), PARTS)

    assert not (place / "packages/a.deb").exists()
    assert (nearby / "packages/a.deb").exists()


def test_what_root_may_not_read_there_is_sent(
    place: Path, tmp_path: Path, nearby: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a person's own mount, which the kernel closes to everybody else."""
    monkeypatch.setattr(parts_of.os, "access", lambda path, mode: False)

    assert parts_of.arrived(place, parts_of.Sources(tmp_path / "in", nearby), PARTS) == []


def test_of_a_newer_bundle_only_what_is_new_is_sent_and_takes_room(place: Path, incoming: Path, tmp_path: Path) -> None:
    old = place.with_name("fedcba987654")
    arrive(old, incoming)
    (tmp_path / "in").mkdir()
    new = {"path": "packages/b.deb", "bytes": 3, "sha256": sha256(b"new")}
    (tmp_path / "in" / new["sha256"]).write_bytes(b"new")

    assert parts_of.arrived(place, parts_of.Sources(tmp_path / "nothing came"), [*PARTS, new]) == list(CONTENT)
    inode = (old / "models/blobs/sha256-1").stat().st_ino
    arrive(place, tmp_path / "in", [*PARTS, new])

    assert {path: (place / path).read_bytes() for path in CONTENT} == CONTENT
    assert (place / "models/blobs/sha256-1").stat().st_ino == inode
    assert not old.exists()


def test_what_the_bundle_before_has_damaged_or_of_another_version_is_sent(place: Path, incoming: Path) -> None:
    old = place.with_name("fedcba987654")
    arrive(old, incoming)
    (old / "packages/a.deb").write_bytes(b"A package")
    other = {"path": "models/blobs/sha256-1", "bytes": 7, "sha256": sha256(b"WEIGHTS")}

    assert parts_of.arrived(place, parts_of.Sources(incoming), [PARTS[0], other]) == []


def room(monkeypatch: pytest.MonkeyPatch, **free: float) -> None:
    """Free bytes by the last word of a path; each word is a disk of its own."""

    def disk(path: str) -> dict[str, object]:
        name = "home" if path.endswith("in") else "cache"
        return {"path": path, "device": free.get("device", name), "free": free[name]}

    monkeypatch.setattr(parts_of, "free_disk", disk)


GB = 10**9
LARGE = [
    {"path": f"models/blobs/{name}", "bytes": size, "sha256": name} for name, size in (("a", 4 * GB), ("b", 3 * GB))
]


def test_where_it_has_no_room_it_is_told_before_anything_is_sent(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = parts_of.Sources(tmp_path / "in")
    room(monkeypatch, cache=7 * GB, home=90 * GB)
    with pytest.raises(parts_of.PartsError, match=r"takes 7\.00 GB at \S+/bundle .* 7\.00 GB are free.* nothing of it"):
        parts_of.arrived(place, sources, LARGE)

    room(monkeypatch, cache=90 * GB, home=4 * GB)
    with pytest.raises(parts_of.PartsError, match=r"takes 4\.00 GB at \S+ .* 4\.00 GB are free"):
        parts_of.arrived(place, sources, LARGE)


def test_only_the_largest_file_needs_its_room_twice(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources, device = parts_of.Sources(tmp_path / "in"), {"device": 1}
    room(monkeypatch, cache=12.1 * GB, home=12.1 * GB, **device)
    assert parts_of.arrived(place, sources, LARGE) == []

    room(monkeypatch, cache=12 * GB, home=12 * GB, **device)
    with pytest.raises(parts_of.PartsError, match=r"takes 11\.00 GB"):
        parts_of.arrived(place, sources, LARGE)


@pytest.mark.parametrize("path", ["packages/a.deb", "models/blobs/sha256-1"])
def test_two_files_of_the_same_content_each_get_their_place(place: Path, incoming: Path, path: str) -> None:
    """As the manifests of two names of one model, in the box or singly."""
    parts = [*PARTS, {"path": "models/manifests/latest", "bytes": 1, "sha256": sha256(CONTENT[path])}]

    arrive(place, incoming, parts)

    assert parts_of.there(place, parts) == [*CONTENT, "models/manifests/latest"]


def test_apt_takes_packages_from_there_and_from_nowhere_else(place: Path, incoming: Path) -> None:
    arrive(place, incoming)

    assert (place / "sources.list").read_text() == f"deb [trusted=yes] file:{place}/packages ./\n"
    assert f'Dir::Etc::SourceList "{place}/sources.list";' in (place / "apt.conf").read_text()
    assert 'Dir::Etc::SourceParts "/dev/null";' in (place / "apt.conf").read_text()


def test_everybody_may_read_it_whatever_roots_umask_was(place: Path, incoming: Path) -> None:
    arrive(place, incoming)

    assert oct((place / "packages/a.deb").stat().st_mode & 0o777) == "0o644"
    assert oct((place / "packages").stat().st_mode & 0o777) == "0o755"


def test_a_file_that_is_damaged_later_is_wanted_again(place: Path, incoming: Path) -> None:
    arrive(place, incoming)
    (place / "packages/a.deb").write_bytes(b"A package")

    assert parts_of.there(place, PARTS) == ["models/blobs/sha256-1"]


def test_what_arrived_changed_gets_no_place(place: Path, incoming: Path) -> None:
    model = CONTENT["models/blobs/sha256-1"]
    (incoming / sha256(model)).write_bytes(b"Weights")

    with pytest.raises(parts_of.PartsError, match="sha256-1 of the bundle did not arrive whole; run this again"):
        parts_of.put(place, parts_of.Sources(incoming), PARTS)

    assert not (place / "models/blobs/sha256-1").exists()
    # The next run sends it again: what is there under its name counts as arrived.
    assert not (incoming / sha256(model)).exists()


def test_on_a_full_disk_it_is_told_what_needs_room_and_no_half_file_takes_it(
    place: Path, incoming: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(content: object, target: Path) -> str:
        target.write_bytes(b"a pack")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parts_of, "copy_and_hash", full)

    with pytest.raises(parts_of.PartsError, match=r"packages/a\.deb .* No space left on device; .* make room there"):
        parts_of.put(place, parts_of.Sources(incoming), PARTS)

    assert list((place / "packages").iterdir()) == []


def test_what_did_not_arrive_is_named(place: Path, incoming: Path) -> None:
    (incoming / "box.tar").unlink()

    with pytest.raises(parts_of.PartsError, match=r"packages/a\.deb of the bundle did not arrive; run this again"):
        parts_of.put(place, parts_of.Sources(incoming), PARTS)


def test_a_bundle_that_was_here_before_goes(place: Path, incoming: Path) -> None:
    old = place.with_name("fedcba987654")
    (old / "packages").mkdir(parents=True)
    arrive(place, incoming)

    assert [path.name for path in place.parent.iterdir()] == [place.name]


def test_what_a_machine_has_collected_is_told_with_its_sums(place: Path, incoming: Path) -> None:
    for path, content in CONTENT.items():
        (place / path).parent.mkdir(parents=True)
        (place / path).write_bytes(content)

    assert sorted(parts_of.listed(place), key=lambda part: part["bytes"]) == sorted(
        PARTS, key=lambda part: part["bytes"]
    )
