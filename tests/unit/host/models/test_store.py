"""Ollama's store on disk: names, manifests, blobs, and what counts as damaged."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from gridtie.host.models.store import (
    MODEL_TYPE,
    PROJECTOR_TYPE,
    Checked,
    Layer,
    Store,
    StoreError,
    build_manifest,
    own_name,
    parse_manifest,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def checked(tmp_path: Path) -> Checked:
    return Checked(tmp_path / "checked.json")


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("gridtie/smollm2:135m", "manifests/registry.ollama.ai/gridtie/smollm2/135m"),
        ("qwen2.5-coder:7b", "manifests/registry.ollama.ai/library/qwen2.5-coder/7b"),
        ("llama3", "manifests/registry.ollama.ai/library/llama3/latest"),
    ],
)
def test_a_manifest_lies_where_ollama_looks_for_it(store: Store, name: str, path: str) -> None:
    assert store.manifest_path(name) == store.root / path


@pytest.mark.parametrize("name", ["../x:1", "a/b/c:1", "x:../1", ":1", "a/..:1"])
def test_a_name_that_would_leave_the_store_is_refused(store: Store, name: str) -> None:
    with pytest.raises(StoreError, match="is not a model name"):
        store.manifest_path(name)


@pytest.mark.parametrize("digest", ["sha256:abc", "md5:" + "a" * 64, "sha256:" + "A" * 64, "../../etc/passwd"])
def test_a_digest_that_is_none_is_refused(store: Store, digest: str) -> None:
    with pytest.raises(StoreError, match="is not a digest"):
        store.blob(digest)


def test_a_written_model_is_read_back_with_the_digest_of_its_bytes(store: Store) -> None:
    layer = store.add_bytes(b"weights", MODEL_TYPE)
    manifest = build_manifest(store.add_bytes(b"{}", "config"), (layer,))
    store.write("gridtie/m:1", manifest)

    assert store.read("gridtie/m:1") == manifest
    assert manifest.digest == digest_of(store.manifest_path("gridtie/m:1").read_bytes())


def test_models_are_listed_as_ollama_lists_them(store: Store) -> None:
    manifest = build_manifest(store.add_bytes(b"{}", "config"), ())
    for name in ("gridtie/m:1", "plain:2"):
        store.write(name, manifest)

    assert list(store.names()) == ["gridtie/m:1", "plain:2"]


def test_a_manifest_whose_blobs_are_not_there_is_never_made_visible(store: Store) -> None:
    layer = Layer(MODEL_TYPE, digest_of(b"absent"), 6)

    with pytest.raises(StoreError, match="blobs that are not there"):
        store.write("gridtie/m:1", build_manifest(store.add_bytes(b"{}", "config"), (layer,)))
    assert store.read("gridtie/m:1") is None


def test_nothing_but_blobs_and_manifests_is_left_in_the_store(store: Store) -> None:
    store.write("m:1", build_manifest(store.add_bytes(b"{}", "config"), ()))

    assert sorted(path.name for path in store.root.iterdir()) == ["blobs", "manifests"]


def test_a_file_that_is_no_manifest_counts_as_absent(store: Store) -> None:
    path = store.manifest_path("m:1")
    path.parent.mkdir(parents=True)
    path.write_text("<html>")

    assert store.read("m:1") is None


def test_a_manifest_with_a_bad_digest_is_refused() -> None:
    raw = b'{"config":{"mediaType":"c","digest":"sha256:../../x","size":1},"layers":[]}'

    with pytest.raises(StoreError, match="is not a digest"):
        parse_manifest(raw)


def test_a_blob_of_the_right_size_with_other_content_is_damaged(store: Store, checked: Checked) -> None:
    layer = store.add_bytes(b"weights", MODEL_TYPE)
    assert store.has(layer, checked)

    store.blob(layer.digest).write_bytes(b"weightz")
    assert not store.has(layer, checked)


def test_a_file_is_hashed_once_and_again_when_it_changed(
    store: Store, checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = store.add_bytes(b"weights", MODEL_TYPE)
    assert store.has(layer, checked)
    checked.save()

    hashed: list[Path] = []
    monkeypatch.setattr("gridtie.host.models.store.sha256_of", lambda path: hashed.append(path) or "")
    later = Checked(checked.path)
    assert store.has(layer, later) and not hashed

    os.utime(store.blob(layer.digest), ns=(1, 1))
    store.has(layer, later)
    assert len(hashed) == 1


def test_deep_checking_hashes_what_looks_unchanged(store: Store, checked: Checked) -> None:
    layer = store.add_bytes(b"weights", MODEL_TYPE)
    store.has(layer, checked)
    checked.save()
    path = store.blob(layer.digest)
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    path.write_bytes(b"weightz")
    os.utime(path, ns=times)

    assert store.has(layer, Checked(checked.path))
    assert not store.has(layer, Checked(checked.path, deep=True))


def test_our_own_names_are_in_our_own_namespace() -> None:
    assert own_name("smollm2:135m") == "gridtie/smollm2:135m"


def test_a_projector_is_known_by_its_layer() -> None:
    plain = Layer(MODEL_TYPE, digest_of(b"weights"), 7)
    projector = Layer(PROJECTOR_TYPE, digest_of(b"eyes"), 4)
    config = Layer("application/json", digest_of(b"{}"), 2)

    assert build_manifest(config, (plain, projector)).projector_bytes == 4
    assert build_manifest(config, (plain,)).projector_bytes == 0
