"""A release of Ollama is made beside the one that runs, and is there only when it is whole, checked and proven."""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from plugins.module_utils.gridtie_host.models import download
from plugins.module_utils.gridtie_pins import PinError
from plugins.module_utils.gridtie_release import ReleaseError, Trees, told_version, tree_name, unpack
from plugins.modules import gridtie_release
from plugins.modules.gridtie_release import Maker

from standins.model_registry import Registry, serving

OLD, NEW = "0.31.0", "0.32.15"
# What upstream's client prints where no server runs.
PROGRAM = """#!/bin/sh
echo "Warning: could not connect to a running Ollama instance"
echo "Warning: client version is {version}"
"""


def program(path: Path, text: str) -> Path:
    """A real program at this place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def release(tree: Path, version: str = NEW) -> Path:
    """A tree with upstream's layout."""
    program(tree / "bin/ollama", PROGRAM.format(version=version))
    program(tree / "lib/ollama/llama-server", "#!/bin/sh\n")
    (tree / "lib/ollama/libggml.so").write_text("library")
    return tree


def packed(tree: Path, archive: Path) -> bytes:
    """A real archive of a tree, compressed by what is here."""
    subprocess.run(["tar", "--create", "--gzip", "--file", archive, "--directory", tree, "."], check=True)
    return archive.read_bytes()


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    """One release runs."""
    made = Trees(tmp_path / "ollama")
    release(made.directory / "old", OLD)
    (made.directory / "current").symlink_to("old")
    return made


def content(directory: Path) -> dict[str, str]:
    """All that lies there, and where the link leads."""
    files = {str(p.relative_to(directory)): p.read_text() for p in directory.rglob("*") if p.is_file()}
    return {**files, "current": str((directory / "current").readlink())}


# -- names ------------------------------------------------------------------------------------------------------------


def test_a_trees_name_tells_its_version_and_what_it_is_made_of() -> None:
    assert tree_name(NEW, ["aa"]).startswith(f"{NEW}-")
    assert tree_name(NEW, ["aa"]) == tree_name(NEW, ["aa"])


@pytest.mark.parametrize("parts", [["ab"], ["aa", "bb"], []], ids=["another archive", "an extra archive", "nothing"])
def test_other_parts_make_another_tree(parts: list[str]) -> None:
    assert tree_name(NEW, parts) != tree_name(NEW, ["aa"])


# -- trees ------------------------------------------------------------------------------------------------------------


def test_the_tree_that_runs_is_the_one_that_the_link_names(trees: Trees) -> None:
    assert trees.current == "old"


def test_where_nothing_is_installed_nothing_runs(tmp_path: Path) -> None:
    assert Trees(tmp_path).current == ""


def test_a_tree_gets_its_name_when_its_program_has_run(trees: Trees) -> None:
    trees.finish(release(trees.begin()), "new", NEW)

    assert trees.has("new")
    assert trees.current == "old", "switching is somebody else's work"


def test_what_a_killed_run_left_of_a_tree_is_not_part_of_the_next(trees: Trees) -> None:
    (trees.begin() / "half").write_text("unpacked")

    assert list(trees.begin().iterdir()) == []
    assert not trees.has(".new")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (PROGRAM.format(version=OLD), f"says that it is {OLD}, wanted {NEW}"),
        ("#!/bin/sh\necho something else\n", f"says that it is nothing, wanted {NEW}"),
        ("#!/bin/sh\necho 'libstdc++.so.6: version not found' >&2; exit 1\n", "does not run on this machine: libstdc"),
        ("#!/nonexistent/loader\n", "does not run on this machine"),
    ],
    ids=["another version", "no version", "a library is missing", "made for another machine"],
)
def test_a_program_that_is_not_what_was_wanted_changes_nothing(trees: Trees, text: str, says: str) -> None:
    before, scratch = content(trees.directory), trees.begin()
    program(scratch / "bin/ollama", text)

    with pytest.raises(ReleaseError, match=says):
        trees.finish(scratch, "new", NEW)
    assert not trees.has("new")
    assert {name: text for name, text in content(trees.directory).items() if not name.startswith(".new")} == before


def test_a_tree_that_lost_its_program_is_made_again(trees: Trees) -> None:
    (release(trees.directory / "new") / "bin/ollama").unlink()
    assert not trees.has("new")

    trees.finish(release(trees.begin()), "new", NEW)

    assert trees.has("new")


def test_the_engines_user_may_run_it_whatever_roots_umask_is(trees: Trees) -> None:
    before = os.umask(0o077)
    try:
        trees.finish(release(trees.begin()), "new", NEW)
    finally:
        os.umask(before)

    tree = trees.directory / "new"
    modes = {str(path.relative_to(tree)): path.stat().st_mode & 0o777 for path in [tree, *tree.rglob("*")]}
    assert modes == {
        ".": 0o755, "bin": 0o755, "bin/ollama": 0o755, "lib": 0o755, "lib/ollama": 0o755,
        "lib/ollama/llama-server": 0o755, "lib/ollama/libggml.so": 0o644,
    }  # fmt: skip


def test_the_tree_that_runs_and_the_new_one_stay_and_older_ones_go(trees: Trees) -> None:
    for name in ("new", "older", "oldest"):
        release(trees.directory / name)
    trees.begin()
    (trees.directory / ".incoming").mkdir()

    assert [path.name for path in trees.others(["new"])] == ["older", "oldest"]


# -- archives and programs --------------------------------------------------------------------------------------------


def test_an_archive_with_upstreams_layout_becomes_a_tree(tmp_path: Path, trees: Trees) -> None:
    packed(release(tmp_path / "made"), tmp_path / "archive.tgz")

    unpack(tmp_path / "archive.tgz", trees.begin())

    assert told_version(trees.directory / ".new/bin/ollama") == NEW


def test_a_second_archive_is_unpacked_over_the_first(tmp_path: Path, trees: Trees) -> None:
    (tmp_path / "extra/lib/ollama/rocm").mkdir(parents=True)
    (tmp_path / "extra/lib/ollama/rocm/libggml-hip.so").write_text("library")
    packed(release(tmp_path / "made"), tmp_path / "archive.tgz")
    packed(tmp_path / "extra", tmp_path / "extra.tgz")
    scratch = trees.begin()

    for name in ("archive.tgz", "extra.tgz"):
        unpack(tmp_path / name, scratch)

    assert sorted(path.name for path in (scratch / "lib/ollama").iterdir()) == ["libggml.so", "llama-server", "rocm"]


def test_an_archive_with_another_layout_is_refused_with_what_it_holds(tmp_path: Path, trees: Trees) -> None:
    program(tmp_path / "made/ollama", "#!/bin/sh\n")
    packed(tmp_path / "made", tmp_path / "archive.tgz")

    with pytest.raises(ReleaseError, match=r"archive\.tgz holds ollama; wanted bin/ollama"):
        unpack(tmp_path / "archive.tgz", trees.begin())


def test_names_in_an_archive_lead_nowhere_else(tmp_path: Path, trees: Trees) -> None:
    release(tmp_path / "made")
    (tmp_path / "made/evil").write_text("x")
    command = ["tar", "-czf", tmp_path / "archive.tgz", "-C", tmp_path / "made", "-P", "--transform"]
    subprocess.run([*command, f"s,^evil$,{tmp_path}/escaped,", "bin", "lib", "evil"], check=True)

    unpack(tmp_path / "archive.tgz", trees.begin())

    assert not (tmp_path / "escaped").exists()


# -- the module: fetch, check, unpack, prove, keep --------------------------------------------------------------------


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Registry]:
    """A server of plain files with the release."""
    with serving() as server:
        server.files["/blobs/ollama.tgz"] = packed(release(tmp_path / "upstream"), tmp_path / "upstream.tgz")
        yield server


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other at once."""
    monkeypatch.setattr(gridtie_release, "Fetcher", functools.partial(download.Fetcher, pause=lambda seconds: None))


Make = Callable[..., Maker]


@pytest.fixture
def maker(trees: Trees, upstream: Registry, tmp_path: Path) -> Make:
    """The module's work with these arguments."""
    (tmp_path / "config").mkdir()

    def made(**changes: Any) -> Maker:
        sha256 = hashlib.sha256(upstream.files["/blobs/ollama.tgz"]).hexdigest()
        given = {
            "directory": str(trees.directory), "version": NEW, "base_url": f"{upstream.url}/blobs",
            "archives": [{"file": "ollama.tgz", "sha256": sha256}], "image": "", "docker": {},
            "learned": {}, "learn": True, "ca_bundle": "", "keep": [], "incoming": None,
        }  # fmt: skip
        return Maker({**given, **changes})

    return made


def unpinned() -> list[dict[str, Any]]:
    return [{"file": "ollama.tgz", "sha256": None}]


def test_a_release_is_fetched_once_and_found_from_then_on(maker: Make, upstream: Registry) -> None:
    tree = maker().make()
    asked = len(upstream.requests)

    assert maker().find() == tree
    assert told_version(Path(tree) / "bin/ollama") == NEW
    assert len(upstream.requests) == asked


def test_archives_that_were_fetched_beforehand_are_taken_without_asking_anybody(
    maker: Make, upstream: Registry, tmp_path: Path
) -> None:
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives/0.1-ollama.tgz").write_text("of a version before")
    (archive,) = maker(incoming=str(tmp_path / "archives")).fetch_only()
    assert list((tmp_path / "archives").iterdir()) == [archive]
    asked = len(upstream.requests)

    tree = maker(incoming=str(tmp_path / "archives")).make()

    assert told_version(Path(tree) / "bin/ollama") == NEW
    assert len(upstream.requests) == asked
    assert archive.is_file()


def test_the_release_that_runs_stays_whole_while_another_is_made_and_afterwards(maker: Make, trees: Trees) -> None:
    before = content(trees.directory)

    maker().make()

    assert content(trees.directory).items() >= before.items()


def test_no_library_of_the_release_before_is_left_in_the_new_one(maker: Make, trees: Trees) -> None:
    (trees.directory / "old/lib/ollama/libggml-cuda-11.so").write_text("of an older build")

    tree = Path(maker().make())

    assert sorted(path.name for path in (tree / "lib/ollama").iterdir()) == ["libggml.so", "llama-server"]


def test_downloads_and_older_releases_are_gone_when_a_release_is_there(maker: Make, trees: Trees) -> None:
    release(trees.directory / "older")

    tree = maker().make()

    assert {path.name for path in trees.directory.iterdir()} == {"current", "old", Path(tree).name}


def test_the_way_back_of_an_upgrade_that_was_killed_stays(maker: Make, trees: Trees) -> None:
    """What runs then need not be what ran well before."""
    before = release(trees.directory / "before")

    maker(keep=[str(before)]).make()

    assert {"before", "old"} <= {path.name for path in trees.directory.iterdir()}


def test_a_wrong_checksum_is_told_and_nothing_was_unpacked(maker: Make, trees: Trees) -> None:
    before = content(trees.directory)

    with pytest.raises(download.FetchError, match="has the wrong content"):
        maker(archives=[{"file": "ollama.tgz", "sha256": "0" * 64}]).make()
    assert content(trees.directory) == before


def test_nothing_is_unpacked_before_all_archives_are_checked(maker: Make, trees: Trees, upstream: Registry) -> None:
    upstream.files["/blobs/extra.tgz"] = b"not what it should be"
    sound = maker()._given["archives"]

    with pytest.raises(download.FetchError, match=r"extra\.tgz has the wrong content"):
        maker(archives=[*sound, {"file": "extra.tgz", "sha256": "0" * 64}]).make()
    assert not (trees.directory / ".new").exists()


def test_a_download_that_was_cut_is_continued_by_the_next_run(maker: Make, trees: Trees, upstream: Registry) -> None:
    whole = upstream.files["/blobs/ollama.tgz"]
    (trees.directory / ".incoming").mkdir()
    (trees.directory / f".incoming/{NEW}-ollama.tgz").write_bytes(whole[:100])

    maker().make()

    assert upstream.ranges("ollama.tgz") == ["bytes=100-"]


def test_the_remainder_of_another_version_is_no_beginning(maker: Make, trees: Trees, upstream: Registry) -> None:
    (trees.directory / ".incoming").mkdir()
    (trees.directory / f".incoming/{OLD}-ollama.tgz").write_bytes(b"old")

    maker().make()

    assert upstream.ranges("ollama.tgz") == [""]


def test_a_run_that_was_killed_while_it_unpacked_is_made_good(maker: Make, trees: Trees) -> None:
    (trees.begin() / "bin").mkdir()
    program(trees.directory / ".new/bin/ollama", "half of it")

    assert told_version(Path(maker().make()) / "bin/ollama") == NEW


def test_a_release_of_another_version_than_its_name_says_leaves_nothing(maker: Make, trees: Trees) -> None:
    before = content(trees.directory)

    with pytest.raises(ReleaseError, match=r"wanted 0\.33\.0"):
        maker(version="0.33.0", archives=unpinned()).make()
    assert content(trees.directory) == before


def test_the_first_use_tells_a_checksum_that_is_not_pinned(maker: Make, upstream: Registry) -> None:
    made = maker(archives=unpinned())
    tree = made.make()
    sha256 = hashlib.sha256(upstream.files["/blobs/ollama.tgz"]).hexdigest()

    assert made.learned == {f"{NEW}/ollama.tgz": sha256}
    assert maker(archives=unpinned(), learned=made.learned).find() == tree


def test_what_another_host_learned_is_all_that_is_accepted(maker: Make, upstream: Registry) -> None:
    sha256 = hashlib.sha256(upstream.files["/blobs/ollama.tgz"]).hexdigest()
    upstream.files["/blobs/ollama.tgz"] += b"changed"

    with pytest.raises(download.FetchError, match="has the wrong content"):
        maker(archives=unpinned(), learned={f"{NEW}/ollama.tgz": sha256}).make()


def test_a_checksum_of_the_project_outranks_a_learned_one(maker: Make) -> None:
    assert maker(learned={f"{NEW}/ollama.tgz": "0" * 64}).make()


def test_where_pins_are_required_the_first_use_is_refused_before_anything_is_fetched(
    maker: Make, upstream: Registry
) -> None:
    with pytest.raises(PinError, match="gridtie_pins"):
        maker(archives=unpinned(), learn=False)
    assert upstream.requests == []


def test_only_a_connection_that_was_not_made_lets_another_source_be_tried(maker: Make) -> None:
    with pytest.raises(download.NotReachedError, match="refused"):
        maker(base_url="http://127.0.0.1:9").make()


@pytest.mark.parametrize("status", [403, 404, 503])
def test_an_answer_that_is_wrong_is_no_reason_for_another_source(maker: Make, upstream: Registry, status: int) -> None:
    upstream.statuses = [status] * 6

    with pytest.raises(download.FetchError, match=f"HTTP {status}") as raised:
        maker().make()
    assert not isinstance(raised.value, download.NotReachedError)
