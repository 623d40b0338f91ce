"""A mirror's directory: what lies where, and that nothing half-written is ever seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridtie.host.models.mirror import Mirror, MirrorError, format_sums, parse_sums
from gridtie.host.models.store import CONFIG_TYPE, MODEL_TYPE, Layer, Manifest, Store, build_manifest, sha256_of

ONE, TWO = "1" * 64, "2" * 64


def archive(tmp_path: Path, content: bytes = b"an archive", name: str = "ollama-linux-amd64.tar.zst") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def model(store: Store, weights: bytes = b"weights") -> Manifest:
    config = store.add_bytes(b"{}", CONFIG_TYPE)
    layer = store.add_bytes(weights, MODEL_TYPE)
    return build_manifest(config, (layer,))


def test_sums_are_read_as_upstream_writes_them() -> None:
    text = f"{ONE}  ./ollama-linux-amd64.tar.zst\n{TWO}  ./Ollama-darwin.zip\n"

    assert parse_sums(text, "here") == {"ollama-linux-amd64.tar.zst": ONE, "Ollama-darwin.zip": TWO}


def test_sums_without_the_dot_or_in_binary_mode_are_the_same() -> None:
    assert parse_sums(f"{ONE} *a\n{TWO}  b\n", "here") == {"a": ONE, "b": TWO}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>404</html>\n",
        f"{ONE[:-1]}  ./a\n",
        f"{ONE.replace('1', 'G')}  ./a\n",
        f"{ONE}  ./a\n{ONE[:20]}",
        f"{ONE}  ./\n",
        f"{ONE}\n",
    ],
)
def test_a_list_of_sums_that_is_damaged_anywhere_is_refused_whole(text: str) -> None:
    with pytest.raises(MirrorError, match="here"):
        parse_sums(text, "here")


def test_a_name_with_two_sums_is_refused() -> None:
    with pytest.raises(MirrorError, match="twice"):
        parse_sums(f"{ONE}  ./a\n{TWO}  ./a\n", "here")


def test_what_is_written_is_read_back() -> None:
    sums = {"b": ONE, "a": TWO}

    assert format_sums(sums) == f"{TWO}  ./a\n{ONE}  ./b\n"
    assert parse_sums(format_sums(sums), "here") == sums


def test_a_release_is_moved_in_and_listed_beside_those_that_were_there(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path / "mirror")
    first = mirror.add_release("1.2.3", archive(tmp_path))
    second = mirror.add_release("1.2.3", archive(tmp_path, b"another", "ollama-linux-arm64.tar.zst"))

    listed = (tmp_path / "mirror/ollama/v1.2.3/sha256sum.txt").read_text()
    assert listed == f"{first}  ./ollama-linux-amd64.tar.zst\n{second}  ./ollama-linux-arm64.tar.zst\n"
    assert not (tmp_path / "ollama-linux-amd64.tar.zst").exists()
    assert mirror.has_release("1.2.3", "ollama-linux-amd64.tar.zst", first)


def test_a_release_that_was_damaged_does_not_count_as_there(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    sha256 = mirror.add_release("1.2.3", archive(tmp_path))
    mirror.release("1.2.3", "ollama-linux-amd64.tar.zst").write_bytes(b"an archivf")

    assert not mirror.has_release("1.2.3", "ollama-linux-amd64.tar.zst", sha256)
    assert not mirror.has_release("1.2.4", "ollama-linux-amd64.tar.zst", sha256)


def test_a_model_lies_where_the_puller_asks_for_it(tmp_path: Path) -> None:
    store, mirror = Store(tmp_path / "store"), Mirror(tmp_path / "mirror")
    manifest = model(store)

    mirror.add_model("smollm2:135m", manifest, store)

    directory = tmp_path / "mirror/v2/library/smollm2"
    assert (directory / "manifests/135m").read_bytes() == manifest.raw
    assert {path.name for path in (directory / "blobs").iterdir()} == {layer.digest for layer in manifest.blobs}
    assert all(f"sha256:{sha256_of(path)}" == path.name for path in (directory / "blobs").iterdir())
    assert mirror.has_model("smollm2:135m", manifest)


def test_a_model_of_a_person_keeps_its_namespace(tmp_path: Path) -> None:
    store, mirror = Store(tmp_path / "store"), Mirror(tmp_path / "mirror")

    mirror.add_model("someone/thing", model(store), store)

    assert (tmp_path / "mirror/v2/someone/thing/manifests/latest").is_file()


def test_a_model_with_a_lost_or_cut_blob_does_not_count_as_there(tmp_path: Path) -> None:
    store, mirror = Store(tmp_path / "store"), Mirror(tmp_path / "mirror")
    manifest = model(store)
    mirror.add_model("smollm2:135m", manifest, store)
    blob = tmp_path / "mirror/v2/library/smollm2/blobs" / manifest.model.digest
    blob.unlink()
    assert not mirror.has_model("smollm2:135m", manifest)

    blob.write_bytes(b"weig")
    assert not mirror.has_model("smollm2:135m", manifest)


def test_a_manifest_is_not_shown_before_its_blobs(tmp_path: Path) -> None:
    store, mirror = Store(tmp_path / "store"), Mirror(tmp_path / "mirror")
    known = model(store)
    lost = build_manifest(known.config, (Layer(MODEL_TYPE, f"sha256:{ONE}", 7),))

    with pytest.raises(FileNotFoundError):
        mirror.add_model("smollm2:135m", lost, store)

    assert not (tmp_path / "mirror/v2/library/smollm2/manifests").exists()
