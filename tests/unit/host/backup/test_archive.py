"""A backup is read only as far as it is what its manifest says, whoever wrote it."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gridtie.host.backup.archive import Archive, BackupError, Manifest, member_of, write

CONTENTS = {"config/keys.json": b"{}", "config/secrets/openai": b"sk-1", "ledger/ledger.sqlite": b"x" * 3_000_000}


def manifest(**changes: Any) -> Manifest:
    members = {name: member_of(content) for name, content in CONTENTS.items()}
    given = {"made": "2026-11-29T12:00:00Z", "version": "1.1.0", "host": "here", "project": "gridtie", **changes}
    return Manifest(members=members, **given)


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    path = tmp_path / "backup.tar.gz"
    with path.open("wb") as file:
        write(file, manifest(), CONTENTS)
    return path


def contents_of(path: Path) -> dict[str, bytes]:
    with Archive(path) as archive:
        return {name: b"".join(pieces) for name, pieces in archive.members()}


def forged(path: Path, members: list[tuple[tarfile.TarInfo, bytes]], document: Any = None) -> Path:
    """A tar with the manifest of a real backup, or this one, and then whatever is given."""
    text = json.dumps(manifest().document() if document is None else document).encode()
    first = tarfile.TarInfo("manifest.json")
    first.size = len(text)
    with tarfile.open(path, "w:gz", format=tarfile.GNU_FORMAT) as tar:
        tar.addfile(first, io.BytesIO(text))
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return path


def plain(name: str, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info, content


def special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def test_what_was_written_is_read_again_and_any_tar_can_list_it(backup: Path) -> None:
    assert contents_of(backup) == CONTENTS
    with Archive(backup) as archive:
        assert archive.manifest == manifest()
    with tarfile.open(backup) as tar:
        assert tar.getnames() == ["manifest.json", *CONTENTS]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_cut_backup_is_told(backup: Path, share: float) -> None:
    whole = backup.read_bytes()
    backup.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(BackupError, match="no whole backup"):
        contents_of(backup)


@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_a_changed_byte_is_told(backup: Path, place: float) -> None:
    whole = bytearray(backup.read_bytes())
    whole[int(len(whole) * place)] ^= 0x10
    backup.write_bytes(whole)
    with pytest.raises(BackupError, match="no whole backup"):
        contents_of(backup)


def test_another_content_than_the_manifest_has_is_told(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match=r"keys\.json has another SHA-256"):
        contents_of(forged(tmp_path / "b", [plain("config/keys.json", b"[]")]))


@pytest.mark.parametrize(
    "member",
    [
        special("config/keys.json", tarfile.SYMTYPE, "/etc/shadow"),
        special("config/keys.json", tarfile.LNKTYPE, "/etc/shadow"),
        special("config/keys.json", tarfile.CHRTYPE),
        special("config/keys.json", tarfile.FIFOTYPE),
        special("config/keys.json", tarfile.DIRTYPE),
        special("config/keys.json", tarfile.GNUTYPE_SPARSE),
        plain("../../etc/shadow", b"{}"),
        plain("/etc/shadow", b"{}"),
        plain("config/secrets/openai", b"sk-1"),
        plain("config/keys.json", b"{ }"),
    ],
)
def test_what_is_not_the_next_plain_file_of_the_manifest_is_refused(
    tmp_path: Path, member: tuple[tarfile.TarInfo, bytes]
) -> None:
    with pytest.raises(BackupError, match="no whole backup"):
        contents_of(forged(tmp_path / "b", [member]))


@pytest.mark.parametrize(
    "name",
    [
        "../etc/shadow",
        "/etc/shadow",
        "config/../../x",
        "config/.hidden",
        "config//x",
        "config",
        "config/a\n",
        "x/" * 60,
    ],
)
def test_a_manifest_cannot_name_what_lies_elsewhere(tmp_path: Path, name: str) -> None:
    document = manifest().document()
    document["members"] = {name: {"sha256": "0" * 64, "bytes": 1}}
    with pytest.raises(BackupError, match="is no name of a member"):
        contents_of(forged(tmp_path / "b", [], document))


def test_more_than_the_manifest_names_is_refused(tmp_path: Path) -> None:
    members = [plain(name, content) for name, content in CONTENTS.items()]
    with pytest.raises(BackupError, match="more in it than its manifest says"):
        contents_of(forged(tmp_path / "b", [*members, plain("config/extra", b"x")]))


def test_a_header_that_announces_gigabytes_is_refused_before_they_are_read(tmp_path: Path) -> None:
    """Of zeros a megabyte holds a gigabyte; who reads a name of that length is out of memory."""
    info = tarfile.TarInfo("config/keys.json")
    info.type, info.size = tarfile.XHDTYPE, 1 << 40
    with gzip.open(tmp_path / "b", "wb") as file:
        text = json.dumps(manifest().document()).encode()
        first, _ = plain("manifest.json", text)
        file.write(first.tobuf(tarfile.GNU_FORMAT) + text + bytes(-len(text) % 512))
        file.write(info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20))
    with pytest.raises(BackupError, match="no plain file"):
        contents_of(tmp_path / "b")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda document: document.pop("members"),
        lambda document: document.update(members=[]),
        lambda document: document["members"].update({"config/keys.json": {"sha256": "zz", "bytes": 2}}),
        lambda document: document["members"].update({"config/keys.json": {"sha256": "0" * 64, "bytes": -2}}),
        lambda document: document.update(ledger_schema="many"),
        lambda document: document.update(ledger_schema=float("inf")),
    ],
)
def test_a_manifest_that_is_none_is_told(tmp_path: Path, spoil: Callable[[dict[str, Any]], None]) -> None:
    document = manifest().document()
    spoil(document)
    with pytest.raises(BackupError, match="its manifest is none"):
        contents_of(forged(tmp_path / "b", [], document))


def test_a_manifest_that_is_nested_without_end_is_told(tmp_path: Path) -> None:
    text = b'{"schema": ' + b"[" * 200_000
    info, _ = plain("manifest.json", text)
    with tarfile.open(tmp_path / "b", "w:gz", format=tarfile.GNU_FORMAT) as tar:
        tar.addfile(info, io.BytesIO(text))
    with pytest.raises(BackupError, match="its manifest is none"):
        contents_of(tmp_path / "b")


def test_the_form_of_a_newer_gridtie_is_told(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="of a newer gridtie"):
        contents_of(forged(tmp_path / "b", [], {"schema": 2}))


@pytest.mark.parametrize(
    "content", [b"", b"no gzip at all", gzip.compress(b"no tar at all" * 100)], ids=["empty", "no gzip", "no tar"]
)
def test_another_file_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b").write_bytes(content)
    with pytest.raises(BackupError, match="no whole backup"):
        contents_of(tmp_path / "b")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="cannot be read: No such file"):
        Archive(tmp_path / "none")
