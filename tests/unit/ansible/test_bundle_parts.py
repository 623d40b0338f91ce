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


def test_what_has_arrived_gets_its_place_and_is_there_from_then_on(place: Path, incoming: Path) -> None:
    assert parts_of.there(place, PARTS) == []

    parts_of.put(place, incoming, PARTS)

    assert {path: (place / path).read_bytes() for path in CONTENT} == CONTENT
    assert parts_of.there(place, PARTS) == list(CONTENT)


@pytest.mark.parametrize("path", ["packages/a.deb", "models/blobs/sha256-1"])
def test_two_files_of_the_same_content_each_get_their_place(place: Path, incoming: Path, path: str) -> None:
    """As the manifests of two names of one model, in the box or singly."""
    parts = [*PARTS, {"path": "models/manifests/latest", "bytes": 1, "sha256": sha256(CONTENT[path])}]

    parts_of.put(place, incoming, parts)

    assert parts_of.there(place, parts) == [*CONTENT, "models/manifests/latest"]


def test_apt_takes_packages_from_there_and_from_nowhere_else(place: Path, incoming: Path) -> None:
    parts_of.put(place, incoming, PARTS)

    assert (place / "sources.list").read_text() == f"deb [trusted=yes] file:{place}/packages ./\n"
    assert f'Dir::Etc::SourceList "{place}/sources.list";' in (place / "apt.conf").read_text()
    assert 'Dir::Etc::SourceParts "/dev/null";' in (place / "apt.conf").read_text()


def test_everybody_may_read_it_whatever_roots_umask_was(place: Path, incoming: Path) -> None:
    parts_of.put(place, incoming, PARTS)

    assert oct((place / "packages/a.deb").stat().st_mode & 0o777) == "0o644"
    assert oct((place / "packages").stat().st_mode & 0o777) == "0o755"


def test_a_file_that_is_damaged_later_is_wanted_again(place: Path, incoming: Path) -> None:
    parts_of.put(place, incoming, PARTS)
    (place / "packages/a.deb").write_bytes(b"A package")

    assert parts_of.there(place, PARTS) == ["models/blobs/sha256-1"]


def test_what_arrived_changed_gets_no_place(place: Path, incoming: Path) -> None:
    model = CONTENT["models/blobs/sha256-1"]
    (incoming / sha256(model)).write_bytes(b"Weights")

    with pytest.raises(parts_of.PartsError, match="sha256-1 of the bundle did not arrive whole; run this again"):
        parts_of.put(place, incoming, PARTS)

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
        parts_of.put(place, incoming, PARTS)

    assert list((place / "packages").iterdir()) == []


def test_what_did_not_arrive_is_named(place: Path, incoming: Path) -> None:
    (incoming / "box.tar").unlink()

    with pytest.raises(parts_of.PartsError, match=r"packages/a\.deb of the bundle did not arrive; run this again"):
        parts_of.put(place, incoming, PARTS)


def test_a_bundle_that_was_here_before_goes(place: Path, incoming: Path) -> None:
    old = place.with_name("fedcba987654")
    (old / "packages").mkdir(parents=True)
    parts_of.put(place, incoming, PARTS)

    parts_of.forget_others(place)

    assert [path.name for path in place.parent.iterdir()] == [place.name]


def test_what_a_machine_has_collected_is_told_with_its_sums(place: Path, incoming: Path) -> None:
    for path, content in CONTENT.items():
        (place / path).parent.mkdir(parents=True)
        (place / path).write_bytes(content)

    assert sorted(parts_of.listed(place), key=lambda part: part["bytes"]) == sorted(
        PARTS, key=lambda part: part["bytes"]
    )
