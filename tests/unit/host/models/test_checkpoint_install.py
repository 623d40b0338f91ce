"""A checkpoint comes whole or not at all: from a directory, from a commit of the Hub, continued, held to its hashes."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gridtie.host.fit.checkpoint import CheckpointError
from gridtie.host.models import checkpoint_install
from gridtie.host.models.checkpoint_install import RECORD, Installed, Source, digest_of, install
from gridtie.host.models.download import DISK_RESERVE, Fetcher
from gridtie.host.models.hugging_face import Repository, find_repository
from standins import checkpoints
from standins.checkpoints import SMOLLM2
from standins.model_hub import COMMIT, Hub, serving

FETCHER = Fetcher(pause=lambda seconds: None, tries=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = checkpoints.write(tmp_path / "from", SMOLLM2, {"a": (64,), "b": (3, 5)})
    (path / "tokenizer.json").write_text('{"version": "1.0"}')
    (path / "pytorch_model.bin").write_bytes(b"pickled")
    (path / "modeling_mine.py").write_text("import os")
    return path


@pytest.fixture
def hub(folder: Path) -> Iterator[Hub]:
    with serving() as found:
        for file in folder.iterdir():
            found.upload("lab/small", file.name, file)
        yield found


def from_hub(hub: Hub, target: Path, revision: str = COMMIT) -> Installed:
    return install(Source("hf.co/lab/small", revision), target, FETCHER, hub.url)


def names(target: Path) -> set[str]:
    return {path.name for path in target.iterdir()}


def test_a_directory_is_copied_without_what_would_be_run(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "models" / "small"

    done = install(Source(str(folder)), target, FETCHER)

    assert done.changed
    assert names(target) == {"config.json", "model.safetensors", "tokenizer.json", ".gridtie.json"}
    assert (target / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    assert done.digest == digest_of(json.loads((target / RECORD).read_text())["files"])


def test_a_second_run_changes_nothing(folder: Path, tmp_path: Path) -> None:
    target, source = tmp_path / "small", Source(str(folder))
    first = install(source, target, FETCHER)

    again = install(source, target, FETCHER)

    assert not again.changed
    assert (again.digest, again.bytes) == (first.digest, first.bytes)


def test_what_changed_in_its_directory_is_taken_in_the_next_run(folder: Path, tmp_path: Path) -> None:
    target, source = tmp_path / "small", Source(str(folder))
    first = install(source, target, FETCHER)
    (folder / "tokenizer.json").write_text('{"version": "2.0"}')

    again = install(source, target, FETCHER)

    assert again.changed
    assert again.digest != first.digest
    assert (target / "tokenizer.json").read_text() == '{"version": "2.0"}'
    assert not install(source, target, FETCHER).changed


def test_what_was_taken_stays_when_its_directory_is_gone(folder: Path, tmp_path: Path) -> None:
    target, source = tmp_path / "small", Source(str(folder))
    install(source, target, FETCHER)
    shutil.rmtree(folder)

    assert not install(source, target, FETCHER).changed


def test_links_of_a_cache_are_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "tokenizer.json").rename(tmp_path / "blob")
    (folder / "tokenizer.json").symlink_to(tmp_path / "blob")

    install(Source(str(folder)), tmp_path / "small", FETCHER)

    assert not (tmp_path / "small/tokenizer.json").is_symlink()
    assert json.loads((tmp_path / "small/tokenizer.json").read_text()) == {"version": "1.0"}


def test_a_link_to_what_is_another_users_is_not_read_for_whoever_made_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root copies, and everybody may read the copy."""
    (tmp_path / "secret").write_text("of somebody else")
    (folder / "secret.txt").symlink_to(tmp_path / "secret")
    lstat = Path.lstat

    def somebodys(path: Path) -> os.stat_result:
        found = lstat(path)
        return os.stat_result([*found[:4], 4321, *found[5:]]) if stat.S_ISLNK(found.st_mode) else found

    monkeypatch.setattr(Path, "lstat", somebodys)

    with pytest.raises(CheckpointError, match=r"secret.txt is a link of user 4321 to a file of user"):
        install(Source(str(folder)), tmp_path / "small", FETCHER)
    assert not (tmp_path / "small.part/secret.txt").exists()


def test_a_disk_is_not_filled_by_a_copy(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=DISK_RESERVE + 10))

    with pytest.raises(CheckpointError, match=r"GB free, of which 1.07 GB stay free; nothing of it was copied"):
        install(Source(str(folder)), tmp_path / "small", FETCHER)
    assert names(tmp_path / "small.part") == set()


@pytest.mark.parametrize("name", ["a\0.json", "a\ud800.json", "../../a.json"])
def test_a_name_that_is_none_of_a_file_is_passed_over(
    folder: Path, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def with_it(*args: Any) -> Repository:
        found = find_repository(*args)
        return replace(found, files={**found.files, name: found.files["config.json"]})

    monkeypatch.setattr(checkpoint_install, "find_repository", with_it)

    from_hub(hub, tmp_path / "small")

    assert names(tmp_path / "small") == {"config.json", "model.safetensors", "tokenizer.json", ".gridtie.json"}


def test_from_the_hub_it_is_the_same_checkpoint(folder: Path, hub: Hub, tmp_path: Path) -> None:
    local = install(Source(str(folder)), tmp_path / "local", FETCHER)

    assert from_hub(hub, tmp_path / "hub").digest == local.digest
    assert not any("modeling_mine.py" in asked.path or "pytorch_model.bin" in asked.path for asked in hub.asked)


def test_what_was_begun_is_not_fetched_again(hub: Hub, tmp_path: Path) -> None:
    target = tmp_path / "small"
    hub.storage["/lab/small/tokenizer.json"] = tmp_path / "gone"
    with pytest.raises((CheckpointError, OSError)):
        from_hub(hub, target)
    assert not target.exists()
    hub.storage["/lab/small/tokenizer.json"] = hub.repositories["lab/small"]["tokenizer.json"]
    hub.asked.clear()

    assert from_hub(hub, target).changed
    assert not any(asked.path.startswith("/lab/small/model.safetensors") for asked in hub.asked)


@pytest.mark.parametrize("name", ["tokenizer.json", "model.safetensors"])
def test_a_file_with_another_content_than_its_commit_leaves_nothing(hub: Hub, tmp_path: Path, name: str) -> None:
    other = tmp_path / "other"
    real = hub.repositories["lab/small"][name].read_bytes()
    other.write_bytes(bytes(len(real) - 1) + b"x")
    hub.storage[f"/lab/small/{name}"] = other

    with pytest.raises(CheckpointError, match="content"):
        from_hub(hub, tmp_path / "small")

    assert not (tmp_path / "small").exists()


@pytest.mark.parametrize("revision", ["", "main", "b2f6c7d"])
def test_a_repository_is_taken_at_a_commit_alone(hub: Hub, tmp_path: Path, revision: str) -> None:
    with pytest.raises(CheckpointError, match="wanted is a commit, 40 hexadecimal digits"):
        from_hub(hub, tmp_path / "small", revision)


def test_a_gated_one_names_the_variable_of_the_role_that_a_token_is_told_by(hub: Hub, tmp_path: Path) -> None:
    hub.gated.add("lab/small")

    with pytest.raises(CheckpointError, match=r"lab/small is gated: .* a token .*\(gridtie_vllm_token_file\)"):
        from_hub(hub, tmp_path / "small")


def test_a_commit_that_is_not_there_is_said(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="lab/small"):
        from_hub(hub, tmp_path / "small", "0" * 40)


def test_what_was_lost_is_brought_again(folder: Path, tmp_path: Path) -> None:
    target, source = tmp_path / "small", Source(str(folder))
    install(source, target, FETCHER)
    (target / "tokenizer.json").unlink()

    assert install(source, target, FETCHER).changed
    assert (target / "tokenizer.json").is_file()


def test_what_was_damaged_is_found_by_reading_all_of_it_and_brought_again(folder: Path, tmp_path: Path) -> None:
    target, source = tmp_path / "small", Source(str(folder))
    install(source, target, FETCHER)
    weights = target / "model.safetensors"
    weights.write_bytes(b"x" * weights.stat().st_size)

    assert not install(source, target, FETCHER, check=True).changed
    assert install(source, target, FETCHER, check=True, deep=True) == Installed("", 0, True)
    assert install(source, target, FETCHER, deep=True).changed
    assert not install(source, target, FETCHER, deep=True).changed


def test_a_directory_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()

    with pytest.raises(CheckpointError, match=r"it has no config\.json"):
        install(Source(str(tmp_path / "from")), tmp_path / "small", FETCHER)

    assert not (tmp_path / "small").exists()
